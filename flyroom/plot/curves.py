"""Means against x: training curves, sweeps over width or examples, double descent."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flyroom.plot._axes import positive, round_ends, ticks
from flyroom.plot._labels import line_ends
from flyroom.plot._panels import facetted
from flyroom.plot._rows import Row, distinct, numbers, table
from flyroom.records import Json

PUBLISHED = "published"


class _Fields(NamedTuple):
    """What the entries of a row are called, how their axes are titled and their numbers written."""

    x: str
    y: str
    low: str
    high: str
    group: str
    panel: str
    x_title: str
    y_title: str
    number: str


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
    log_x: bool = False,
    log_y: bool = False,
    rules: Iterable[Row] = (),
    published: Iterable[Row] = (),
    y_format: str | None = None,
    columns: int = 2,
    points: bool = False,
) -> dict[str, Json]:
    """Lines of a mean against x with the band of its interval: one colour a group, one panel a kind of data.

    A row is `{group, panel, x, y, low, high}` under the names that the arguments give; groups and panels stand in
    the order of first appearance. The last point of each line carries its name, moved apart where two would overlap.
    A row whose interval is not known has None, or no entry, for low and high; on a logarithmic axis an interval that
    reaches 0 is drawn to the bottom of the axis.

    `rules` are `{panel, x, label}`: dashed lines across, in every panel where `panel` is missing. `published` are
    `{group, panel, x, y}`, with `plus_minus` where one is given: diamonds in the colour of their group. `points`
    marks what was measured. `y_format` is a d3 format for the axis and the tooltips in place of the usual one.

    Raises ValueError for rows without a needed entry, numbers that are not finite, and numbers that have no place on
    a logarithmic axis.
    """
    import altair as alt

    needed = (x, y, group, panel)
    data = table(rows, needed, (low, high))
    panels = distinct(data, panel)
    marks = _published(published, needed, y, low, high)
    across = _rules(rules, x, panel, panels)
    panels, groups = distinct([*data, *marks], panel), distinct([*data, *marks], group)
    shown = [*data, *marks]
    positive([*shown, *across], *([x] if log_x else []))
    positive(shown, *([y] if log_y else []))
    fields = _Fields(x, y, low, high, group, panel, x_title, y_title, y_format or (".1%" if percent else ".4~g"))
    domain = y_domain or _domain(numbers(shown, y), numbers(shown, low, high), percent=percent, log=log_y)
    with_line = {(row[panel], row[group]) for row in data}
    named = [*data, *(row for row in marks if (row[panel], row[group]) not in with_line)]
    names = line_ends(named, x, y, group, panel, domain=domain, log=log_y)
    places, floor = numbers([*shown, *across], x), domain[0] if log_y else None
    sides = _sides(across, places, x, panel, log=log_x)
    nice = not percent and not log_y and y_domain is None
    form = y_format or ("~%" if percent else "~g")
    axes = _axes(fields, domain, places, form, log_x=log_x, log_y=log_y, nice=nice)
    layers = _lines(fields, groups, axes, floor, points=points, clip=y_domain is not None)
    layers += _rule_marks(fields, axes, 1 + max(row["label_line"] for row in sides)) if sides else []
    layers += [*(_published_marks(fields, groups, axes, floor) if marks else []), _names(fields, groups, axes)]
    layered = alt.layer(*layers).properties(width=290 if len(panels) > 1 else 560, height=280)
    everything = [*data, *names, *marks, *sides]
    return facetted(layered, everything, panel, panels, columns=columns, title=title, subtitle=subtitle)


def _published(rows: Iterable[Row], needed: Sequence[str], y: str, low: str, high: str) -> list[dict[str, Json]]:
    return [
        {**row, low: row[y] - spread, high: row[y] + spread, "part": PUBLISHED}
        for row in table(rows, needed)
        for spread in [row.get("plus_minus") or 0.0]
    ]


def _rules(rows: Iterable[Row], x: str, panel: str, panels: Sequence[Json]) -> list[dict[str, Json]]:
    """One row a rule and panel."""
    return [
        {**row, panel: place, "part": "rule"}
        for row in table(rows, (x, "label"))
        for place in ([row[panel]] if row.get(panel) is not None else panels)
    ]


def _sides(
    rules: Sequence[dict[str, Json]], seen: Sequence[float], x: str, panel: str, *, log: bool
) -> list[dict[str, Json]]:
    """Rules that know on which side of them there is room for their label, and on which line it stands."""
    middle = math.sqrt(min(seen) * max(seen)) if log else (min(seen) + max(seen)) / 2
    before: Counter[Json] = Counter()
    placed = []
    for row in rules:
        placed.append({**row, "side": "left" if row[x] > middle else "right", "label_line": before[row[panel]]})
        before[row[panel]] += 1
    return placed


def _domain(means: Sequence[float], bounds: Sequence[float], *, percent: bool, log: bool) -> tuple[float, float]:
    """Where the y axis starts and ends. On a logarithmic one a bound far below every mean does not set the scale."""
    if log:
        least = min(means) / 10
        seen = [max(value, least) for value in (*means, *bounds) if value > 0]
        return round_ends(min(seen), max(seen))
    if percent:
        return 0.0, 1.0
    bottom, top = min((*means, *bounds)), max((*means, *bounds))
    return (bottom, top) if bottom < top else (bottom - 0.5, top + 0.5)


def _axes(
    fields: _Fields,
    domain: tuple[float, float],
    seen: Sequence[float],
    form: str,
    *,
    log_x: bool,
    log_y: bool,
    nice: bool,
) -> tuple[Any, Any]:
    import altair as alt

    wide = alt.Scale(type="log", nice=False) if log_x else alt.Undefined
    places: dict[str, Any] = {"values": ticks(min(seen), max(seen))} if log_x else {"tickCount": 4}
    across = alt.X(
        f"{fields.x}:Q",
        title=fields.x_title,
        axis=alt.Axis(grid=False, format=",~r", labelFlush=False, **places),
        scale=wide,
    )
    scale = alt.Scale(type="log" if log_y else "linear", domain=list(domain), nice=nice)
    heights: dict[str, Any] = {"values": ticks(*domain)} if log_y else {"tickCount": 6}
    up = alt.Y(f"{fields.y}:Q", title=fields.y_title, scale=scale, axis=alt.Axis(format=form, **heights))
    return across, up


def _colour(fields: _Fields, groups: Sequence[Json]) -> Any:
    import altair as alt

    return alt.Color(f"{fields.group}:N", sort=list(groups), legend=None, scale=alt.Scale(domain=list(groups)))


def _tooltip(fields: _Fields) -> list[Any]:
    import altair as alt

    shown = [
        alt.Tooltip(f"{fields.group}:N"),
        alt.Tooltip(f"{fields.x}:Q", title=fields.x_title, format=","),
        alt.Tooltip(f"{fields.y}:Q", title=fields.y_title, format=fields.number),
    ]
    between = [alt.Tooltip(f"{name}:Q", format=fields.number) for name in (fields.low, fields.high)]
    return [*shown, *between]


def _between(chart: Any, fields: _Fields, floor: float | None, scale: Any) -> tuple[Any, Any]:
    """A chart that has the rows with an interval, and where theirs start: at the bottom of the axis if below it."""
    import altair as alt

    low, high = (f"datum[{name!r}]" for name in (fields.low, fields.high))
    known = chart.transform_filter(f"isValid({low}) && isValid({high})")
    if floor is None:
        return known, alt.Y(f"{fields.low}:Q", title=fields.y_title, scale=scale)
    start = alt.Y("from_here:Q", title=fields.y_title, scale=scale)
    return known.transform_calculate(from_here=f"max({low}, {floor!r})"), start


def _lines(
    fields: _Fields, groups: Sequence[Json], axes: Any, floor: float | None, *, points: bool, clip: bool
) -> list[Any]:
    """The band, the line, and what the pointer finds."""
    import altair as alt

    across, up = axes
    base = alt.Chart().encode(x=across, color=_colour(fields, groups)).transform_filter("datum.part === 'line'")
    known, start = _between(base, fields, floor, up["scale"])
    band = known.mark_area(opacity=0.22, clip=clip).encode(y=start, y2=f"{fields.high}:Q")
    line = base.mark_line(strokeWidth=2, strokeJoin="round", clip=clip).encode(y=up)
    measured = [base.mark_point(size=26, filled=True, opacity=1, clip=clip).encode(y=up)] if points else []
    point = base.mark_point(size=90, filled=True, opacity=0, clip=clip).encode(y=up, tooltip=_tooltip(fields))
    return [band, line, *measured, point]


def _names(fields: _Fields, groups: Sequence[Json], axes: Any) -> Any:
    import altair as alt

    ends = alt.Chart().transform_filter("datum.part === 'name'")
    return ends.mark_text(align="left", baseline="middle", dx=7, fontWeight="bold").encode(
        x=axes[0], y=alt.Y("label_at:Q"), text=f"{fields.group}:N", color=_colour(fields, groups)
    )


def _published_marks(fields: _Fields, groups: Sequence[Json], axes: Any, floor: float | None) -> list[Any]:
    import altair as alt

    across, up = axes
    base = alt.Chart().transform_filter(alt.datum.part == PUBLISHED).encode(x=across, color=_colour(fields, groups))
    shape = alt.Shape(
        "part:N",
        scale=alt.Scale(domain=[PUBLISHED], range=["diamond"]),
        legend=alt.Legend(symbolStrokeColor="#888888", symbolFillColor="#888888"),
    )
    known, start = _between(base, fields, floor, up["scale"])
    whisker = known.mark_rule(strokeWidth=1.5).encode(y=start, y2=f"{fields.high}:Q")
    tooltip = [alt.Tooltip("part:N", title="value"), *_tooltip(fields)]
    diamond = base.mark_point(size=120, filled=True, opacity=1, style="published").encode(
        y=up, shape=shape, tooltip=tooltip
    )
    return [whisker, diamond]


def _rule_marks(fields: _Fields, axes: Any, lines: int) -> list[Any]:
    """Dashed lines, and their labels at the top: one below the other, with paper around them."""
    import altair as alt

    base = alt.Chart().transform_filter("datum.part === 'rule'").encode(x=axes[0])
    marks: list[Any] = [base.mark_rule(strokeDash=[5, 4], strokeWidth=1.2, style="aside")]
    for line in range(lines):
        for side in ("right", "left"):
            of_side = base.transform_filter(f"datum.label_line === {line} && datum.side === '{side}'")
            for style in ("halo", "aside-text"):
                text = (
                    of_side.mark_text(align="left", baseline="top", dx=5, style=style)
                    if side == "right"
                    else of_side.mark_text(align="right", baseline="top", dx=-5, style=style)
                )
                marks.append(text.encode(text="label:N", y=alt.value(3 + 16 * line)))
    return marks
