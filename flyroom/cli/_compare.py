"""The command that compares two stores."""

import sys
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from flyroom.cli._app import AsJson, PathOrNone, TextOrNone, command
from flyroom.cli._terminal import print_json

StoreA = Positional[Annotated[Path, arg(metavar="A", help="directory of a store", help_behavior_hint="")]]
StoreB = Positional[Annotated[Path, arg(metavar="B", help="directory of another", help_behavior_hint="")]]
COLOURS = {"identical": "green", "agrees": "green", "differs": "red"}


@command("compare")
def compare(a: StoreA, b: StoreB, *, claim: TextOrNone = None, out: PathOrNone = None, json: AsJson = False) -> int:
    """Compare two stores: same bits, same means, same verdicts.

    Two stores from before and after a change, or from two machines. The exit status is 1 if a number, a statement or a
    verdict differs, else 0. Means are compared by tests over seeds, adjusted by Holm within a claim: "agrees" says that
    two were not told apart.

    Args:
        claim: compare only this claim
        out: a file for the comparison as an HTML page
    """
    from flyroom import compare as stores
    from flyroom import report

    found = stores.compare(_side(a, claim), _side(b, claim), () if claim is None else (claim,))
    if out is not None:
        report.write(report.comparison(found), out)
    if json:
        print_json(_contract(found))
    else:
        _show(found)
        if out is not None:
            print(f"page: {out}")
    return 1 if found.differs else 0


def _side(directory: Path, claim: str | None) -> Any:
    from flyroom.compare import Side
    from flyroom.store import open_store

    with open_store(directory, create=False) as opened:
        return Side(str(directory), opened.accounts(every=True), opened.records(claim=claim))


def _contract(found: Any) -> dict[str, Any]:
    """What `compare --json` promises: keys may be added, never renamed."""
    return {
        "a": found.a,
        "b": found.b,
        "differs": found.differs,
        "sentence": found.sentence,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "claims": [_claim(one) for one in found.claims],
    }


def _claim(one: Any) -> dict[str, Any]:
    return {
        "id": one.claim,
        "versions": one.versions,
        "verdicts": one.verdicts,
        "verdict": one.verdict,
        "settings": one.settings,
        "runs": one.runs,
        "cpu_s": one.cpu_s,
        "statements": [
            {"id": pair.id, "a": _judged(pair.a), "b": _judged(pair.b), "agreement": pair.agreement}
            for pair in one.statements
        ],
        "numbers": [
            {
                "version": number.version,
                "settings": number.settings,
                "value": number.value,
                "a": _measured(number.a),
                "b": _measured(number.b),
                "lost": number.lost,
                "difference": _measured(number.difference),
                "test": number.test,
                "p": number.p,
                "agreement": number.agreement,
            }
            for number in one.numbers
        ],
        "shared": [
            {
                "key": r.key,
                "settings": r.settings,
                "seed": r.seed,
                "identical": r.identical,
                "differences": r.differences,
            }
            for r in one.shared
        ],
    }


def _judged(one: Any) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "sentence": one.sentence,
        "verdict": one.verdict,
        "value": one.value,
        "interval": one.interval,
        "unit": one.unit,
        "n": one.n,
    }


def _measured(one: Any) -> dict[str, Any] | None:
    return None if one is None else {"value": one.value, "interval": one.interval, "n": one.n}


def _show(found: Any) -> None:
    """What differs or is open, line by line; what is identical or agrees is counted. As wide as the terminal."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(f"A {escape(found.a)}\nB {escape(found.b)}", soft_wrap=True)
    for one in found.claims:
        a, b = (verdict.value if verdict else "not judged" for verdict in one.verdicts)
        console.print(f"\n[bold]{escape(one.claim)}[/]  A {a}, B {b}: {_coloured(one.verdict)}")
        for line in _circumstances(one):
            console.print(f"  {escape(line)}")
        for table in _tables(one):
            console.print(table)
    colour = "red" if found.differs else "green"
    console.print(f"\n[{colour}]{escape(found.sentence)}[/]")


def _circumstances(one: Any) -> list[str]:
    from flyroom.compare import largest

    identical = sum(run.identical for run in one.shared)
    lines = [
        f"runs: {one.runs[0]} in A, {one.runs[1]} in B; {len(one.shared)} in both, {identical} of them bit-identical"
    ]
    differences = largest(one)
    if differences:
        lines.append("largest difference of a run: " + ", ".join(f"{k} {v:.3g}" for k, v in differences.items()))
    if one.versions[0] != one.versions[1]:
        lines.append(f"versions: A {one.versions[0]}, B {one.versions[1]}")
    if one.settings:
        lines.append("settings: " + "; ".join(f"{name} A {a}, B {b}" for name, (a, b) in one.settings.items()))
    return lines


def _tables(one: Any) -> list[Any]:
    """Statements and numbers that are neither identical nor agree, each kind in a table with a line for the rest."""
    quiet = ("identical", "agrees")
    statements = [
        (
            next(side.sentence for side in (pair.a, pair.b) if side),
            *(_shown(side, side and side.verdict.value) for side in (pair.a, pair.b)),
            pair.agreement,
        )
        for pair in one.statements
    ]
    numbers = [
        (
            ", ".join([*(f"{k} {v}" for k, v in number.settings.items()), number.value]),
            _shown(number.a),
            _shown(number.b),
            _shown(number.difference, number.p is not None and f"{number.test}, p {number.p:.2g}"),
            number.agreement,
        )
        for number in one.numbers
    ]
    tables = []
    for heads, rows in ((("statement", "A", "B", ""), statements), (("number", "A", "B", "B - A", ""), numbers)):
        if rows:
            rest = [row[-1] for row in rows if row[-1] in quiet]
            said = ", ".join(f"{rest.count(kind)} {kind}" for kind in quiet if kind in rest)
            tables.append(_table(heads, [row for row in rows if row[-1] not in quiet], said))
    return tables


def _table(heads: tuple[str, ...], rows: list[Any], rest: str) -> Any:
    from rich.markup import escape
    from rich.table import Table

    caption = f"{heads[0]}s: {rest}" if rest else None
    if not rows:
        return f"  {caption}"
    table = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for *cells, agreement in rows:
        table.add_row(*map(escape, cells), _coloured(agreement))
    return table


def _shown(one: Any, more: Any = None) -> str:
    """A value with its interval, and what else is to be said of it."""
    if one is None:
        return ""
    value = "" if one.value is None else f"{one.value:.4g}"
    interval = f" [{one.interval[0]:.4g}, {one.interval[1]:.4g}]" if one.interval else ""
    return " ".join(part for part in (f"{value}{interval}", f"({more})" if more else "") if part)


def _coloured(agreement: Any) -> str:
    colour = COLOURS.get(agreement.value, "yellow")
    return f"[{colour}]{agreement.value}[/]"
