"""One self-contained HTML page for a judged claim, and a gallery of them. Nothing is fetched from anywhere.

The page's own content security policy forbids every request, so that a page sent by e-mail or put in an archive
shows the same for ever, and a hostile text in a record can neither run nor call home. It is readable without
JavaScript: figures are pictures first, and become interactive where scripts run.
"""

import base64
import html
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from flyroom import plot
from flyroom.records import Account, Evidence, Json, Provenance, Result, Statement, Verdict

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "script-src 'unsafe-inline' 'unsafe-eval'"  # Vega compiles its expressions
)
SIGNS = {
    Verdict.supported: "✓",
    Verdict.refuted: "✗",
    Verdict.undecided: "?",
    Verdict.compatible: "≈",
    Verdict.excluded: "≠",
}


def page(account: Account, results: Sequence[Result], made_by: Sequence[Provenance] = ()) -> str:
    """The page of one claim: verdict, figures, tables, every seed, provenance, and how to do it again.

    `made_by` is under what the runs were made, where that was not all by the command that judged them.
    """
    about, judgement = account.about, account.judgement
    figures = "".join(
        _figure(f"{about.id}-{number}", caption, spec)
        for number, (caption, spec) in enumerate(account.figures.items(), start=1)
    )
    main = f"""
<p class="eyebrow">Claim {_text(about.id)}, version {about.version}</p>
<h1>{_text(about.title)}</h1>
<p class="claim">{_text(about.sentence)}</p>
<div class="verdict">{_badge(judgement.verdict)}<p>{_text(judgement.sentence)}</p></div>
{_list({"Source": about.source, "Predicted before the first run": about.prediction, "Runs": f"{judgement.runs:,}"})}
{_section("Result", _table(judgement.table[0], judgement.table[1:]) if judgement.table else "")}
{_section("Figures", figures)}
{_section("Statements", _statements(judgement.statements))}
{_section("Every seed", _seeds(results))}
{_section("How to reproduce", _reproduce(account.provenance))}
{_section("Provenance", _provenance(account, results, made_by))}"""
    return _document(f"{about.title}: {judgement.verdict.value}", main, scripts=True)


def gallery(accounts: Sequence[Account]) -> str:
    """An index of judged claims, each linking to its page under the name that `filename` gives."""
    counts = {verdict: sum(a.judgement.verdict == verdict for a in accounts) for verdict in Verdict}
    summary = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)
    cards = "".join(_card(account) for account in accounts)
    main = f"""
<h1>Claims put to the test</h1>
<p class="claim">{summary or "No claim has been judged yet: <code>flyroom run</code> judges the first."}</p>
<ul class="cards">{cards}</ul>"""
    return _document("Flyroom: claims put to the test", main, scripts=False)


def filename(account: Account) -> str:
    """The name of the file that the gallery links to."""
    return f"{quote(account.about.id, safe='')}.html"


def write(text: str, path: str | Path) -> Path:
    """Write a page; the file takes its name only when it is complete, and an older one stands until then."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: give the name of a file, such as {path / 'claim.html'}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} does not exist: make the directory first, or write somewhere else")
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
    return path


def _document(title: str, main: str, *, scripts: bool) -> str:
    code = ""
    if scripts:
        themes = {"light": plot.theme(), "dark": plot.theme(dark=True)}
        bundle = plot.bundle().replace("</script", "<\\/script").replace("<!--", "<\\!--")
        code = (
            f'<script type="application/json" id="themes">{_json(themes)}</script>\n'
            f'<script type="module">{bundle}</script>\n'
            f'<script type="module">{_part("page.js")}</script>\n'
        )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<link rel="icon" href="data:,">
<style>{_part("page.css")}</style>
</head>
<body>
<main>{main}
</main>
<footer>Made by Flyroom, a laboratory for the science of deep learning. This file is whole: it loads nothing.</footer>
{code}</body>
</html>
"""


def _figure(name: str, caption: str, spec: Json) -> str:
    """A picture in light and dark, with the specification beside it for the script to bring to life."""
    light, dark, pdf = plot.render(spec, "svg"), plot.render(spec, "svg", dark=True), plot.render(spec, "pdf")
    described = spec.get("description") or caption
    return f"""
<figure data-name="{_text(name)}">
<div class="box" tabindex="0" role="group" aria-label="{_text(caption)}">
<div class="live"></div>
<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{_data("image/svg+xml", dark)}">
<img alt="{_text(described)}" src="{_data("image/svg+xml", light)}"></picture></div>
<figcaption>{_text(caption)}</figcaption>
<div class="save"><a download="{_text(name)}.pdf" href="{_data("application/pdf", pdf)}">Save PDF</a></div>
<script type="application/json">{_json(spec)}</script>
</figure>"""


def _statements(statements: Sequence[Statement]) -> str:
    head = ("Statement", "Verdict", "Value", "95 % interval", "Published", "p (Holm)", "n", "Evidence")
    rows = [
        (
            f'<td class="text">{_text(s.sentence)}{" <strong>(headline)</strong>" if s.headline else ""}</td>'
            f"<td>{_badge(s.verdict)}</td>{_number(s.value, s.unit)}"
            f'<td class="number">{_interval(s.interval, s.unit)}</td><td>{_text(s.published or "")}</td>'
            f"{_number(s.p)}{_number(s.n)}<td>{_evidence(s)}</td>"
        )
        for s in statements
    ]
    return _rows(head, rows, label="Statements") if statements else ""


def _evidence(statement: Statement) -> str:
    return Evidence(statement.evidence).name if statement.value is not None else ""


def _seeds(results: Sequence[Result]) -> str:
    """One row a run: its settings, its seed, every value that it left, and its share of the time."""
    settings = _names(result.run.settings for result in results)
    values = _names(result.values for result in results)
    rows = [
        "".join(
            [
                *(f"<td>{_text(_plain(result.run.settings.get(name, '')))}</td>" for name in settings),
                _number(result.run.seed),
                *(_number(result.values.get(name)) for name in values),
                _number(result.wall_s),
                _number(result.cpu_s),
            ]
        )
        for result in results
    ]
    head = (*settings, "seed", *values, "wall (s)", "cpu (s)")
    numeric = set(range(len(settings), len(head)))
    return _rows(head, rows, label="Every seed", sortable=True, numeric=numeric) if results else ""


def _reproduce(provenance: Provenance) -> str:
    words = provenance.command.removeprefix("flyroom ")
    return (
        f'<pre tabindex="0"><code>python3 lab.py {_text(words)}</code></pre>'
        f"<p>In a clone of the repository at version {_text(provenance.version)}, source digest"
        f" <code>{_text(provenance.source[:12])}</code> (<code>flyroom doctor</code> prints it).</p>"
        "<p>The same seeds, versions and kind of machine give the same numbers; other machines give numbers that"
        " agree within the intervals.</p>"
    )


def _provenance(account: Account, results: Sequence[Result], made_by: Sequence[Provenance]) -> str:
    origin, judgement = account.provenance, account.judgement
    keys = "".join(f"<li><code>{_text(key)}</code></li>" for key in account.keys)
    data = list(dict.fromkeys(json.dumps(dict(result.run.data), default=str) for result in results))
    facts = {
        "Flyroom": origin.version,
        "Source digest": origin.source,
        "Packages": ", ".join(f"{name} {version}" for name, version in origin.packages.items()),
        **{f"Machine: {name}": _plain(value) for name, value in origin.machine.items()},
        "Started (UTC)": origin.started,
        **{f"Runs made by {i + 1}": _circumstances(one) for i, one in enumerate(made_by) if list(made_by) != [origin]},
        "Time": f"{_format(judgement.wall_s)} s wall, {_format(judgement.cpu_s)} s processor",
        **{f"Setting: {name}": _plain(value) for name, value in account.settings.items()},
        **{"Data" if not i else f"Data {i + 1}": recipe for i, recipe in enumerate(data)},
    }
    return (
        f"{_list(facts)}<details><summary>Keys of the {len(account.keys)} runs in the store</summary>"
        f'<ul class="keys">{keys}</ul></details>'
    )


def _circumstances(made_by: Provenance) -> str:
    where = f"{made_by.machine.get('processor', 'unknown processor')}, {made_by.machine.get('cores', '?')} cores"
    packages = ", ".join(f"{name} {made_by.packages[name]}" for name in ("jax", "numpy") if name in made_by.packages)
    source = f"Flyroom {made_by.version} (source {made_by.source[:12]})"
    return f"{made_by.command}, {made_by.started}: {source}, {packages}; {where}"


def _card(account: Account) -> str:
    picture = ""
    if account.figures:
        caption, spec = next(iter(account.figures.items()))
        dark, light = plot.render(spec, "svg", dark=True), plot.render(spec, "svg")
        picture = (
            f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{_data("image/svg+xml", dark)}">'
            f'<img alt="{_text(caption)}" src="{_data("image/svg+xml", light)}"></picture>'
        )
    return (
        f"<li>{_badge(account.judgement.verdict)}"
        f'<h2><a href="{_text(quote(filename(account)))}">{_text(account.about.title)}</a></h2>'
        f'<p>{_text(account.judgement.sentence)}</p><p class="eyebrow">{_text(account.about.source)};'
        f" {account.judgement.runs:,} runs</p>{picture}</li>"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table of text: columns whose entries all start like a number are set to the right."""
    numeric = {
        column
        for column in range(1, len(head))
        if body and all(row[column][:1] in "0123456789-\u2212+.\u2014" for row in body if column < len(row))
    }
    rows = [
        f'<th scope="row">{_text(row[0])}</th>'
        + "".join(
            f"<td{' class=number' if column in numeric else ''}>{_text(entry)}</td>"
            for column, entry in enumerate(row[1:], start=1)
        )
        for row in body
    ]
    return _rows(head, rows, label="Result", numeric=numeric)


def _rows(
    head: Sequence[str], rows: Sequence[str], *, label: str, sortable: bool = False, numeric: set[int] | None = None
) -> str:
    cells = "".join(
        f'<th scope="col"{" class=number" if column in (numeric or ()) else ""}>{_text(name)}</th>'
        for column, name in enumerate(head)
    )
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="box{" tall" if sortable else ""}" tabindex="0" role="region" aria-label="{label}">'
        f"<table{kind}><thead><tr>{cells}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _list(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{_text(k)}</dt><dd>{_text(v)}</dd>' for k, v in facts.items() if v)}</dl>"


def _badge(verdict: Verdict) -> str:
    return (
        f'<span class="badge {verdict.value}"><span aria-hidden="true">{SIGNS[verdict]}</span> {verdict.value}</span>'
    )


def _number(value: float | int | None, unit: str = "") -> str:
    """A cell with a number to four digits; the whole of it is kept for sorting and copying."""
    if value is None:
        return '<td class="number"></td>'
    shown = _in_units(value, unit)
    return f'<td class="number" data-value="{value!r}" title="{value!r}">{shown}</td>'


def _interval(interval: tuple[float, float] | None, unit: str = "") -> str:
    return f"{_in_units(interval[0], unit)} to {_in_units(interval[1], unit)}" if interval else ""


def _in_units(value: float | int, unit: str) -> str:
    """Accuracies are shares of one, and are read in per cent."""
    if unit == "accuracy":
        return f"{value:.1%}".replace("-", "\u2212")
    return f"{_format(value)} {_text(unit)}".strip()


def _format(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}".replace("-", "\u2212") if math.isfinite(value) else str(value)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _names(maps) -> list[str]:
    return list(dict.fromkeys(name for one in maps for name in one))


def _text(value: str) -> str:
    return html.escape(value, quote=True)


def _json(value: Json) -> str:
    """JSON that may stand in a script element: no `<` is left to end it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _part(name: str) -> str:
    return resources.files("flyroom").joinpath(name).read_text("utf-8")
