"""What every page is made of: the document around it, sections, tables, numbers, badges. All text is escaped."""

import base64
import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from flyroom.records import Json, Verdict

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "script-src 'unsafe-inline'"
)
SIGNS = {
    Verdict.supported: "✓",
    Verdict.refuted: "✗",
    Verdict.undecided: "?",
    Verdict.compatible: "≈",
    Verdict.excluded: "≠",
}


def document(title: str, main: str, *, code: str = "", expressions: bool = False, wide: bool = False) -> str:
    """A whole page. `code` is its scripts; Vega compiles its expressions, which the policy must then let it do."""
    policy = f"{POLICY} 'unsafe-eval'" if expressions else POLICY
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<link rel="icon" href="data:,">
<style>{part("page.css")}</style>
</head>
<body{' class="wide"' if wide else ""}>
<a class="skip" href="#main">Skip to the content</a>
<main id="main" tabindex="-1">{main}
</main>
<footer>Made by Flyroom, a laboratory for the science of deep learning. This file is whole: it loads nothing.</footer>
{code}</body>
</html>
"""


def section(title: str, body: str) -> str:
    """A heading and what stands under it; nothing where there is nothing."""
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table of text: columns whose entries all start like a number are set to the right."""
    numeric = {
        column
        for column in range(1, len(head))
        if body and all(row[column][:1] in "0123456789-\u2212+.\u2014" for row in body if column < len(row))
    }
    body_rows = [
        f'<th scope="row">{text(row[0])}</th>'
        + "".join(
            f"<td{' class=number' if column in numeric else ''}>{text(entry)}</td>"
            for column, entry in enumerate(row[1:], start=1)
        )
        for row in body
    ]
    return rows(head, body_rows, label="Result", numeric=numeric)


def rows(
    head: Sequence[str], body: Sequence[str], *, label: str, sortable: bool = False, numeric: set[int] | None = None
) -> str:
    """A table in a box that scrolls; `body` holds each row's cells as HTML, `numeric` columns stand to the right."""
    cells = "".join(
        f'<th scope="col"{" class=number" if column in (numeric or ()) else ""}>{text(name)}</th>'
        for column, name in enumerate(head)
    )
    filled = "".join(f"<tr>{row}</tr>\n" for row in body)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="box{" tall" if sortable else ""}" tabindex="0" role="region" aria-label="{label}">'
        f"<table{kind}><thead><tr>{cells}</tr></thead>\n<tbody>{filled}</tbody></table></div>"
    )


def facts_list(facts: Mapping[str, str]) -> str:
    """Names and what they are; what is empty is left out."""
    return f"<dl>{''.join(f'<dt>{text(k)}</dt><dd>{text(v)}</dd>' for k, v in facts.items() if v)}</dl>"


def badge(verdict: Verdict) -> str:
    """A verdict as sign and word, so that it does not rest on its colour."""
    return (
        f'<span class="badge {verdict.value}"><span aria-hidden="true">{SIGNS[verdict]}</span> {verdict.value}</span>'
    )


def number(value: float | int | None, unit: str = "") -> str:
    """A cell with a number to four digits; the whole of it is kept for sorting and copying."""
    if value is None:
        return '<td class="number"></td>'
    shown = in_units(value, unit)
    return f'<td class="number" data-value="{value!r}" title="{value!r}">{shown}</td>'


def interval_text(interval: tuple[float, float] | None, unit: str = "") -> str:
    """Both ends in words; nothing where there is no interval."""
    return f"{in_units(interval[0], unit)} to {in_units(interval[1], unit)}" if interval else ""


def in_units(value: float | int, unit: str) -> str:
    """Accuracies are shares of one, and are read in per cent."""
    if unit == "accuracy":
        return f"{value:.1%}".replace("-", "\u2212")
    return f"{format_number(value)} {text(unit)}".strip()


def format_number(value: float | int) -> str:
    """Four digits of a float with a true minus sign; all of a whole number."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}".replace("-", "\u2212") if math.isfinite(value) else str(value)


def duration(seconds: float | int) -> str:
    """A time to be read: 84 s, 12 min, 3.4 h."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plain(value: Json) -> str:
    """Text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def names(maps: Iterable[Mapping[str, Json]]) -> list[str]:
    """Every name that any of the maps has, in the order of their first appearance."""
    return list(dict.fromkeys(name for one in maps for name in one))


def text(value: str) -> str:
    """Escaped for an element and for an attribute."""
    return html.escape(value, quote=True)


def script_json(value: Json) -> str:
    """JSON that may stand in a script element: no `<` is left to end it."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def data_uri(kind: str, content: bytes) -> str:
    """The content itself as an address: nothing is fetched for it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def part(name: str) -> str:
    """A file that stands beside this one: a style or a script."""
    return resources.files("flyroom.report").joinpath(name).read_text("utf-8")
