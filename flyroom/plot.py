"""Figures in one house style, as plain Vega-Lite specifications; the only file that imports Altair.

A specification holds its data and the light theme; a page may put `theme(dark=True)` in its place. Rows are plain
dictionaries, already summarised: nothing here draws random numbers, so a figure is the same each time.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flyroom.records import Json

Row = Mapping[str, Any]

SUFFIXES = (".svg", ".pdf", ".png", ".json")
FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"

# After Paul Tol's "bright" scheme (SRON/EPS/TN/09-002, 2021), told apart with every common colour blindness; each
# is dark enough, or light enough, to be read as text on its paper (WCAG AA), for lines carry their names in it.
LIGHT = ("#4477aa", "#d63a52", "#1f7d2f", "#aa3377", "#8a7300", "#1a7f9e", "#6b6b6b")
DARK = ("#77aadd", "#ff8a96", "#55bb66", "#dd77aa", "#d9c14a", "#66ccee", "#aaaaaa")
PARTS = ("one run", "mean, 95 % interval", "published")


def theme(*, dark: bool = False) -> dict[str, Json]:
    """The Vega-Lite configuration of the house, for light or dark paper."""
    paper, ink, quiet, line = (
        ("#16181d", "#e6e6e3", "#b4b6ba", "#34373e") if dark else ("#ffffff", "#1c1d20", "#55585e", "#e4e4e0")
    )
    return {
        "background": paper,
        "font": FONT,
        "padding": 8,
        "view": {"stroke": None},
        "range": {"category": list(DARK if dark else LIGHT)},
        "axis": {
            "domain": False,
            "ticks": False,
            "grid": True,
            "gridColor": line,
            "labelColor": quiet,
            "labelFontSize": 12,
            "labelPadding": 6,
            "titleColor": quiet,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 10,
        },
        "axisY": {"labelColor": ink},
        "header": {
            "labelColor": ink,
            "labelFontSize": 13,
            "labelFontWeight": "bold",
            "labelAnchor": "start",
            "labelPadding": 8,
            "title": None,
        },
        "legend": {
            "labelColor": quiet,
            "labelFontSize": 12,
            "titleColor": quiet,
            "orient": "bottom",
            "title": None,
            "symbolSize": 70,
        },
        "title": {
            "color": ink,
            "subtitleColor": quiet,
            "fontSize": 15,
            "subtitleFontSize": 12,
            "anchor": "start",
            "frame": "group",
            "offset": 14,
            "subtitlePadding": 5,
        },
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": ink},
        "tick": {"color": ink},
    }


def curves(
    rows: Iterable[Row],
    *,
    x: str = "step",
    y: str = "mean",
    low: str = "low",
    high: str = "high",
    group: str = "net",
    panel: str = "data",
    x_title: str = "training step",
    y_title: str = "test accuracy",
    title: str = "",
    subtitle: str = "",
    percent: bool = True,
    y_domain: tuple[float, float] | None = None,
) -> dict[str, Json]:
    """Lines of a mean against x with the band of its interval: one colour a group, one panel a kind of data.

    A row is `{group, panel, x, y, low, high}`; groups and panels stand in the order of first appearance. The
    last point of each line carries its name, moved apart where two would overlap. A row whose interval is not
    known has None, or no entry, for low and high.
    """
    import altair as alt

    data = _table(rows, (x, y, group, panel), (low, high))
    groups, panels = _distinct(data, group), _distinct(data, panel)
    seen = [row[name] for row in data for name in (low, y, high) if row.get(name) is not None]
    bottom, top = y_domain or ((0.0, 1.0) if percent else (min(seen), max(seen)))
    names = _line_ends(data, x, y, group, panel, gap=(top - bottom) / 18)
    colour = alt.Color(f"{group}:N", sort=groups, legend=None, scale=alt.Scale(domain=groups))
    across = alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(grid=False, tickCount=4, format=",~r"))
    number = ".1%" if percent else ".4~g"
    up = alt.Y(
        f"{y}:Q",
        title=y_title,
        scale=alt.Scale(domain=[bottom, top], nice=not percent),
        axis=alt.Axis(format="~%" if percent else "~g", tickCount=6),
    )
    base = alt.Chart().encode(x=across, color=colour)
    lines = base.transform_filter("datum.part === 'line'")
    band = lines.mark_area(opacity=0.22).encode(y=alt.Y(f"{low}:Q", title=y_title), y2=f"{high}:Q")
    tooltip = [
        alt.Tooltip(f"{group}:N"),
        alt.Tooltip(f"{x}:Q", title=x_title, format=","),
        alt.Tooltip(f"{y}:Q", title=y_title, format=number),
        alt.Tooltip(f"{low}:Q", format=number),
        alt.Tooltip(f"{high}:Q", format=number),
    ]
    line = lines.mark_line(strokeWidth=2, strokeJoin="round").encode(y=up)
    point = lines.mark_point(size=90, filled=True, opacity=0).encode(y=up, tooltip=tooltip)
    ends = alt.Chart().transform_filter("datum.part === 'name'")
    name = ends.mark_text(align="left", baseline="middle", dx=7, fontWeight="bold").encode(
        x=across, y=alt.Y("label_at:Q"), text=f"{group}:N", color=colour
    )
    layered = alt.layer(band, line, point, name).properties(width=290, height=280)
    return _facetted(layered, [*data, *names], panel, panels, columns=2, title=title, subtitle=subtitle)


def finals(
    rows: Iterable[Row],
    means: Iterable[Row],
    published: Iterable[Row] = (),
    *,
    value: str = "value",
    group: str = "net",
    panel: str = "data",
    value_title: str = "final test accuracy",
    title: str = "",
    subtitle: str = "",
    percent: bool = True,
    domain: tuple[float, float] | None = None,
) -> dict[str, Json]:
    """Every run as a dot, the mean with its interval as a bar above, the published figure as a diamond below.

    `rows` are `{group, panel, value, seed}`, one a run; `means` `{group, panel, value, low, high}`; `published`
    `{group, panel, value, plus_minus}`. Groups that only have a mean or a published figure (a baseline, human
    readers) get a line of their own. Dots are moved up and down a little, by their order, to be seen apart.
    """
    import altair as alt

    data = _final_rows(rows, means, published, value, group, panel)
    groups, panels = _distinct(data, group), _distinct(data, panel)
    number = ".1%" if percent else ".4~g"
    scale = alt.Scale(domain=domain) if domain else alt.Scale(zero=False, padding=12)
    across = alt.X(
        f"{value}:Q", title=value_title, scale=scale, axis=alt.Axis(format="~%" if percent else "~g", tickCount=6)
    )
    colour = alt.Color(f"{group}:N", sort=groups, legend=None, scale=alt.Scale(domain=groups))
    base = alt.Chart().encode(
        y=alt.Y(f"{group}:N", sort=groups, title=None, axis=alt.Axis(grid=False, labelFontWeight="bold")),
        yOffset=alt.YOffset("lane:Q", scale=alt.Scale(domain=[-1, 1])),
    )
    shape = alt.Shape(
        "part:N",
        scale=alt.Scale(domain=list(PARTS), range=["circle", "stroke", "diamond"]),
        legend=alt.Legend(symbolStrokeColor="#888888", symbolFillColor="#888888"),
    )
    runs, averages, claimed = (base.transform_filter(alt.datum.part == name) for name in PARTS)
    shown = [alt.Tooltip(f"{group}:N"), alt.Tooltip(f"{value}:Q", title=value_title, format=number)]
    between = [*shown, alt.Tooltip("low:Q", format=number), alt.Tooltip("high:Q", format=number)]
    run = runs.mark_point(size=34, filled=True, opacity=0.6).encode(
        x=across, color=colour, shape=shape, tooltip=[*shown, alt.Tooltip("seed:N")]
    )
    bar = averages.mark_rule(strokeWidth=9, opacity=0.4).encode(
        x=alt.X("low:Q", title=value_title), x2="high:Q", color=colour, tooltip=between
    )
    mean = averages.mark_point(shape="stroke", angle=90, size=130, strokeWidth=2, opacity=1).encode(
        x=across, color=colour, tooltip=between
    )
    whisker = claimed.mark_rule(strokeWidth=1.5).encode(x="low:Q", x2="high:Q", tooltip=between)
    diamond = claimed.mark_point(size=70, filled=True, opacity=1, color="#888888").encode(
        x=across, shape=shape, tooltip=between
    )
    layered = alt.layer(bar, mean, run, whisker, diamond).properties(width=300, height=alt.Step(54))
    return _facetted(layered, data, panel, panels, columns=2, title=title, subtitle=subtitle)


def save(spec: Mapping[str, Json], path: str | Path) -> Path:
    """Write a specification as .svg, .pdf, .png (two pixels a point) or .json, without a browser.

    Raises ValueError for another suffix. The file takes its name only when it is complete.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path.name!r} has no suffix that a figure is saved as: use one of {', '.join(SUFFIXES)}")
    rendered = render(spec, path.suffix.lower()[1:])
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(rendered)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def render(spec: Mapping[str, Json], form: str, *, dark: bool = False) -> bytes:
    """The bytes of a figure as svg, pdf, png or json; the house theme stands in place of the specification's."""
    import vl_convert

    themed = {**spec, "config": theme(dark=dark)}
    match form:
        case "json":
            return json.dumps(themed, indent=1, allow_nan=False).encode()
        case "svg":
            return vl_convert.vegalite_to_svg(themed).encode()
        case "pdf":
            return vl_convert.vegalite_to_pdf(themed)
        case "png":
            return vl_convert.vegalite_to_png(themed, scale=2)
    raise ValueError(f"{form!r} is not a form of figure: use one of svg, pdf, png, json")


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one piece of JavaScript that needs no network.

    It declares names at its top level, and so belongs in a `<script type="module">`; it leaves `vegaEmbed` on the
    window, and nothing else.
    """
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _facetted(
    layered: Any, data: list[dict[str, Json]], panel: str, panels: list[str], *, columns: int, title: str, subtitle: str
) -> dict[str, Json]:
    import altair as alt

    header = alt.Header(labelExpr="datum.value", title=None)
    chart = layered.facet(
        facet=alt.Facet(f"{panel}:N", sort=panels, header=header), columns=columns, data=alt.Data(values=data)
    ).properties(spacing=36)
    if title:
        chart = chart.properties(title=alt.TitleParams(text=title, subtitle=subtitle or alt.Undefined))
    with alt.data_transformers.disable_max_rows():
        spec = chart.to_dict()
    return {**spec, "description": " ".join(part for part in (title, subtitle) if part), "config": theme()}


def _final_rows(
    rows: Iterable[Row], means: Iterable[Row], published: Iterable[Row], value: str, group: str, panel: str
) -> list[dict[str, Json]]:
    """One table of what `finals` draws: `part` says which mark a row is, `lane` where it stands in its line."""
    needed = (value, group, panel)
    dots = [{**row, "part": PARTS[0], "lane": _lane(i)} for i, row in enumerate(_table(rows, needed))]
    bars = [{**row, "part": PARTS[1], "lane": -0.62} for row in _table(means, needed, ("low", "high"))]
    marks = [
        {**row, "part": PARTS[2], "lane": 0.66, "low": row[value] - spread, "high": row[value] + spread}
        for row in _table(published, needed)
        for spread in [row.get("plus_minus") or 0.0]
    ]
    data = [*dots, *bars, *marks]
    for row in (*bars, *marks):  # alone in its line, a mark stands in the middle
        if len({other["part"] for other in data if other[group] == row[group]}) == 1:
            row["lane"] = 0.0
    return data


def _table(rows: Iterable[Row], needed: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, Json]]:
    table = [{**row, "part": "line"} for row in rows]
    for row in table:
        for name in needed:
            if row.get(name) is None:
                raise ValueError(f"a row without {name!r} cannot be drawn: {row}; every row needs {', '.join(needed)}")
        for name, entry in row.items():
            if isinstance(entry, float) and not abs(entry) < float("inf"):
                raise ValueError(f"{name} = {entry} cannot be drawn: leave the row out, and say so beside the figure")
        for name in optional:
            row.setdefault(name, None)
    return table


def _distinct(data: Sequence[Row], name: str) -> list[str]:
    if not data:
        raise ValueError("there is nothing to draw: the figure was given no rows")
    return list(dict.fromkeys(row[name] for row in data))


def _lane(index: int) -> float:
    """Where the dot of a run stands in its line: seven places around the middle, neighbours far apart."""
    return ((index * 3) % 7 - 3) / 10


def _line_ends(data: Sequence[Row], x: str, y: str, group: str, panel: str, *, gap: float) -> list[dict[str, Json]]:
    """A row for the name of each line at its last point, those of one panel at least `gap` apart."""
    last: dict[tuple[str, str], Row] = {}
    for row in data:
        key = (row[panel], row[group])
        if key not in last or row[x] >= last[key][x]:
            last[key] = row
    ends: list[dict[str, Json]] = []
    for name in dict.fromkeys(key[0] for key in last):
        found = sorted((row for key, row in last.items() if key[0] == name), key=lambda row: row[y])
        for row, place in zip(found, _apart([row[y] for row in found], gap), strict=True):
            ends.append({group: row[group], panel: name, x: row[x], "label_at": place, "part": "name"})
    return ends


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """The places (rising), moved as little as may be so that neighbours are `gap` apart: blocks that touch are
    merged, and stand around the mean of where their members wanted to be."""
    blocks: list[list[float]] = []  # each: wanted places, less their offset within the block
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _centre(blocks[-1]):
            upper = blocks.pop()
            shift = gap * len(blocks[-1])
            blocks[-1] = [*blocks[-1], *(wanted - shift for wanted in upper)]
    return [_centre(block) + gap * i for block in blocks for i in range(len(block))]


def _centre(block: Sequence[float]) -> float:
    return sum(block) / len(block)


def _top(block: Sequence[float], gap: float) -> float:
    return _centre(block) + gap * (len(block) - 1)
