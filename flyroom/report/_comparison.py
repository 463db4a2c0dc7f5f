"""The page of a comparison of two stores."""

from collections.abc import Mapping
from typing import Any

from flyroom.compare import Agreement, Compared, Comparison, Number, Pair, largest
from flyroom.records import Json, Measurement, Statement, Verdict
from flyroom.report._html import (
    SIGNS,
    badge,
    document,
    duration,
    facts_list,
    format_number,
    in_units,
    interval_text,
    number,
    part,
    plain,
    rows,
    section,
    text,
)

STYLES = {
    Agreement.identical: Verdict.supported,
    Agreement.agrees: Verdict.compatible,
    Agreement.differs: Verdict.refuted,
}

ORDER = [Agreement.differs, Agreement.undecided, Agreement.incomparable, Agreement.only_a, Agreement.only_b]
ORDER += [Agreement.agrees, Agreement.identical]  # what a reader looks for stands first


def comparison(found: Comparison) -> str:
    """The page of what `flyroom.compare.compare` found: claims, statements, numbers and runs beside each other."""
    verdict = _agreement(
        Agreement.differs if found.differs else Agreement.agrees, "differs" if found.differs else "agrees"
    )
    only = {"Only in A": ", ".join(found.only_a), "Only in B": ", ".join(found.only_b)}
    main = f"""
<p class="eyebrow">Two stores of Flyroom</p>
<h1>A and B</h1>
<div class="verdict">{verdict}<p>{text(found.sentence)}</p></div>
{facts_list({"A": found.a, "B": found.b, **only})}
{"".join(map(_claim, found.claims))}"""
    code = f'<script type="module">{part("page.js")}</script>\n'
    return document("Flyroom: two stores compared", main, code=code, wide=True)


def _claim(one: Compared) -> str:
    verdicts = " ".join(
        f"{letter} {badge(verdict) if verdict else 'not judged'}"
        for letter, verdict in zip("AB", one.verdicts, strict=True)
    )
    runs = [run.identical for run in one.shared]
    facts = {
        "Runs": f"{one.runs[0]:,} in A, {one.runs[1]:,} in B; {len(runs):,} in both, {sum(runs):,} bit-identical",
        "Largest differences of a run": _differences(largest(one)),
        "Time of the runs in both": f"A {duration(one.cpu_s[0])}, B {duration(one.cpu_s[1])} of processor time",
        "Version": _pair(*one.versions) if one.versions[0] != one.versions[1] else "",
        "Settings that are not shared": "; ".join(f"{name}: {_pair(*pair)}" for name, pair in one.settings.items()),
    }
    return section(
        text(one.claim),
        f'<p class="pair">{verdicts} {_agreement(one.verdict)}</p>{facts_list(facts)}{_statements(one)}{_numbers(one)}',
    )


def _pair(a: Json, b: Json) -> str:
    return f"A {plain(a)}, B {plain(b)}"


def _differences(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {format_number(value)}" for name, value in found.items())


def _statements(one: Compared) -> str:
    body = [_statement(pair) for pair in one.statements]
    head = ("Statement", "A", "value in A", "B", "value in B", "Agreement")
    return rows(head, body, label=f"Statements of {text(one.claim)}") if body else ""


def _statement(pair: Pair) -> str:
    sentence = next(one.sentence for one in (pair.a, pair.b) if one)
    cells = "".join(f"<td>{_sign(one)}</td><td>{_judged(one)}</td>" for one in (pair.a, pair.b))
    return f'<td class="text">{text(sentence)}</td>{cells}<td>{_agreement(pair.agreement)}</td>'


def _sign(one: Statement | None) -> str:
    return f'<span class="sign {one.verdict.value}">{SIGNS[one.verdict]}</span> {one.verdict.value}' if one else ""


def _judged(one: Statement | None) -> str:
    if one is None or one.value is None:
        return ""
    interval = f" ({interval_text(one.interval, one.unit)})" if one.interval else ""
    return in_units(one.value, one.unit) + interval


def _numbers(one: Compared) -> str:
    body = [_number(found) for found in sorted(one.numbers, key=lambda found: ORDER.index(found.agreement))]
    head = ("Setting", "Value", "A", "n", "B", "n", "B \u2212 A", "95 % interval", "test", "p (Holm)", "Agreement")
    numeric = {2, 3, 4, 5, 6, 7, 9}
    return rows(head, body, label=f"Numbers of {text(one.claim)}", sortable=True, numeric=numeric) if body else ""


def _number(one: Number) -> str:
    setting = ", ".join(f"{name} {plain(value)}" for name, value in one.settings.items())
    lost = f" ({one.lost[0]} and {one.lost[1]} not finite)" if any(one.lost) else ""
    sides = "".join(f"{_mean(side)}{number(side.n if side else 0)}" for side in (one.a, one.b))
    difference = one.difference
    return (
        f'<td class="text">{text(setting)}</td><td>{text(one.value + lost)}</td>{sides}{_mean(difference)}'
        f'<td class="number">{interval_text(difference.interval) if difference else ""}</td>'
        f"<td>{one.test}</td>{number(one.p)}<td>{_agreement(one.agreement)}</td>"
    )


def _mean(found: Measurement | None) -> str:
    return number(found.value if found else None)


def _agreement(found: Agreement, word: str = "") -> str:
    style: Any = STYLES.get(found, Verdict.undecided)
    return f'<span class="badge {style.value}">{word or found.value}</span>'
