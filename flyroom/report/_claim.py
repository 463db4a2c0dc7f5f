"""The page of one claim."""

import json
from collections.abc import Sequence

from flyroom.records import About, Account, Evidence, Json, Provenance, Result, Statement
from flyroom.report._figures import figure, moves, scripts
from flyroom.report._files import INDEX, address
from flyroom.report._html import (
    badge,
    document,
    duration,
    facts_list,
    interval_text,
    names,
    number,
    part,
    plain,
    rows,
    section,
    table,
    text,
)

UNSET = object()


def page(
    account: Account,
    results: Sequence[Result],
    made_by: Sequence[Provenance] = (),
    *,
    others: Sequence[Account] = (),
    shelf: Sequence[About] = (),
) -> str:
    """The page of one claim: verdict, figures, tables, every seed, provenance, and how to do it again.

    `made_by` is under what the runs were made, where that was not all by the command that judged them. `others` are
    the claim's accounts under other settings. `shelf` is what the gallery shows, in its order: with it the page links
    to the gallery and to its neighbours there; without it the page stands alone and links nowhere.
    """
    about, judgement = account.about, account.judgement
    figures = "".join(
        figure(f"{about.id}-{place}", caption, spec)
        for place, (caption, spec) in enumerate(account.figures.items(), start=1)
    )
    main = f"""
{_navigation(about, shelf, "All claims, and the neighbours of this one")}
<p class="eyebrow">Claim {text(about.id)}, version {about.version}</p>
<h1>{text(about.title)}</h1>
<p class="claim">{text(about.sentence)}</p>
<div class="verdict">{badge(judgement.verdict)}<p>{text(judgement.sentence)}</p></div>
{_others(account, others)}
{facts_list(_facts(account))}
{section("Result", table(judgement.table[0], judgement.table[1:]) if judgement.table else "")}
{section("Figures", figures)}
{section("Statements", _statements(judgement.statements))}
{section("Every seed", _seeds(results))}
{section("How to reproduce", _reproduce(account.provenance))}
{section("Provenance", _provenance(account, results, made_by))}
{_navigation(about, shelf, "Further claims")}"""
    alive = not all(moves(spec) for spec in account.figures.values())
    code = (scripts() if alive else "") + f'<script type="module">{part("page.js")}</script>\n'
    return document(f"{about.title}: {judgement.verdict.value}", main, code=code, expressions=alive)


def _navigation(about: About, shelf: Sequence[About], label: str) -> str:
    """Links to the gallery and to the claims before and after this one; nothing on a page that stands alone."""
    if not shelf:
        return ""
    ids = [one.id for one in shelf]
    place = ids.index(about.id) if about.id in ids else len(ids)
    before, after = shelf[place - 1 : place] if place else (), shelf[place + 1 : place + 2]
    links = [f'<a href="{INDEX}">All claims</a>']
    links += [f'<a rel="prev" href="{address(one.id)}"><span>Previous:</span> {text(one.title)}</a>' for one in before]
    links += [f'<a rel="next" href="{address(one.id)}"><span>Next:</span> {text(one.title)}</a>' for one in after]
    return f'<nav aria-label="{label}">{"".join(links)}</nav>'


def _facts(account: Account) -> dict[str, str]:
    about = account.about
    return {
        "Source": about.source,
        "Predicted before the first run": about.prediction,
        "Shorter than published": about.shortened,
        "A default run takes": f"about {duration(about.cost_s)} on two cores" if about.cost_s else "",
        "Runs": f"{account.judgement.runs:,}",
    }


def _others(account: Account, others: Sequence[Account]) -> str:
    """What became of the claim under other settings, in a line."""
    said = [f"{badge(one.judgement.verdict)} {text(_differences(account, one))} ({_runs(one)})" for one in others]
    return f'<p class="others">Judged under other settings too: {"; ".join(said)}.</p>' if said else ""


def _runs(account: Account) -> str:
    return "1 run" if account.judgement.runs == 1 else f"{account.judgement.runs:,} runs"


def _differences(account: Account, other: Account) -> str:
    """The settings of the other account that this one does not share."""
    version = [] if other.judgement.version == account.judgement.version else [f"version {other.judgement.version}"]
    missing: Json = UNSET
    changed = [
        f"{name} {plain(other.settings[name])}" if name in other.settings else f"no {name}"
        for name in names([other.settings, account.settings])
        if other.settings.get(name, missing) != account.settings.get(name, missing)
    ]
    return f"with {', '.join([*version, *changed])}" if version or changed else "with the same settings"


def _statements(statements: Sequence[Statement]) -> str:
    head = ("Statement", "Verdict", "Value", "95 % interval", "Published", "p (Holm)", "n", "Evidence")
    body = [
        (
            f'<td class="text">{text(s.sentence)}{" <strong>(headline)</strong>" if s.headline else ""}</td>'
            f"<td>{badge(s.verdict)}</td>{number(s.value, s.unit)}"
            f'<td class="number">{interval_text(s.interval, s.unit)}</td><td>{text(s.published or "")}</td>'
            f"{number(s.p)}{number(s.n)}<td>{_evidence(s)}</td>"
        )
        for s in statements
    ]
    return rows(head, body, label="Statements") if statements else ""


def _evidence(statement: Statement) -> str:
    return Evidence(statement.evidence).name if statement.value is not None else ""


def _seeds(results: Sequence[Result]) -> str:
    """One row a run: its settings, its seed, every value that it left, and its share of the time."""
    settings = names(result.run.settings for result in results)
    values = names(result.values for result in results)
    body = [
        "".join(
            [
                *(f"<td>{text(plain(result.run.settings.get(name, '')))}</td>" for name in settings),
                number(result.run.seed),
                *(number(result.values.get(name)) for name in values),
                number(result.wall_s),
                number(result.cpu_s),
            ]
        )
        for result in results
    ]
    head = (*settings, "seed", *values, "wall (s)", "cpu (s)")
    numeric = set(range(len(settings), len(head)))
    return rows(head, body, label="Every seed", sortable=True, numeric=numeric) if results else ""


def _reproduce(provenance: Provenance) -> str:
    words = provenance.command.removeprefix("flyroom ")
    return (
        f'<pre tabindex="0"><code>python3 lab.py {text(words)}</code></pre>'
        f"<p>In a clone of the repository at version {text(provenance.version)}, source digest"
        f" <code>{text(provenance.source[:12])}</code> (<code>flyroom doctor</code> prints it).</p>"
        "<p>The same seeds, versions and kind of machine give the same numbers; other machines give numbers that"
        " agree within the intervals.</p>"
    )


def _provenance(account: Account, results: Sequence[Result], made_by: Sequence[Provenance]) -> str:
    origin, judgement = account.provenance, account.judgement
    keys = "".join(f"<li><code>{text(key)}</code></li>" for key in account.keys)
    data = list(dict.fromkeys(json.dumps(dict(result.run.data), default=str) for result in results))
    facts = {
        "Flyroom": origin.version,
        "Source digest": origin.source,
        "Packages": ", ".join(f"{name} {version}" for name, version in origin.packages.items()),
        **{f"Machine: {name}": plain(value) for name, value in origin.machine.items()},
        "Started (UTC)": origin.started,
        **{f"Runs made by {i + 1}": _circumstances(one) for i, one in enumerate(made_by) if list(made_by) != [origin]},
        "Time": f"{judgement.wall_s:,.1f} s wall, {judgement.cpu_s:,.1f} s processor",
        **{f"Setting: {name}": plain(value) for name, value in account.settings.items()},
        **{"Data" if not i else f"Data {i + 1}": recipe for i, recipe in enumerate(data)},
    }
    return (
        f"{facts_list(facts)}<details><summary>Keys of the {len(account.keys)} runs in the store</summary>"
        f'<ul class="keys">{keys}</ul></details>'
    )


def _circumstances(made_by: Provenance) -> str:
    where = f"{made_by.machine.get('processor', 'unknown processor')}, {made_by.machine.get('cores', '?')} cores"
    packages = ", ".join(f"{name} {made_by.packages[name]}" for name in ("jax", "numpy") if name in made_by.packages)
    source = f"Flyroom {made_by.version} (source {made_by.source[:12]})"
    return f"{made_by.command}, {made_by.started}: {source}, {packages}; {where}"
