"""A value over a grid: sweeps of two settings, confusion, landscapes."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from flyroom.plot._axes import positive
from flyroom.plot._panels import facetted
from flyroom.plot._rows import Row, distinct, numbers, table
from flyroom.records import Json

SCHEME = "cividis"  # Nunez, Anderton and Renslow, PLOS ONE 2018: the same to readers with and without colour vision
WHITE_BELOW = 0.48  # of the scale: from here up, black is read better than white on its tile


def tiles(
    rows: Iterable[Row],
    *,
    x: str = "x",
    y: str = "y",
    value: str = "value",
    panel: str = "data",
    x_title: str = "",
    y_title: str = "",
    value_title: str = "",
    log_x: bool = False,
    percent: bool = False,
    title: str = "",
    subtitle: str = "",
    text: bool = True,
    missing: str = "diverged",
    domain: tuple[float, float] | None = None,
    columns: int = 2,
) -> dict[str, Json]:
    """One coloured tile a row `{x, y, value, panel}`, with its number inside where `text` is true.

    Tiles are of one size, and stand in the order of their numbers (y upwards), or of first appearance where x or y
    are words. With `log_x` they reach halfway to their neighbours on a logarithmic axis instead. A row whose value
    is None has a grey tile with a cross, explained as `missing`. All panels share one scale of colours, `domain`.

    Raises ValueError for two rows on one tile, and for figures without any value.
    """
    import altair as alt

    data = [
        {name: row.get(name) for name in (x, y, value, panel)} | {"part": missing if row[value] is None else "value"}
        for row in table(rows, (x, y, panel), (value,))
    ]
    panels = distinct(data, panel)
    _once(data, x, y, panel)
    seen = numbers(data, value)
    if not seen and domain is None:
        raise ValueError(f"no row has a {value}: there is no colour to give")
    low, high = domain or (min(seen), max(seen))
    if log_x:
        data = _edges(data, x)
    number = ".0%" if percent else _number(seen)
    widest = max(len({row[x] for row in data if row[panel] == name}) for name in panels)
    tallest = max(len({row[y] for row in data if row[panel] == name}) for name in panels)
    across, centre = _across(x, x_title, _order(data, x), log=log_x)
    up = alt.Y(f"{y}:O", title=y_title or None, sort=_order(data, y, upwards=True), axis=_axis())
    base = alt.Chart().encode(y=up)
    known = base.transform_filter("datum.part === 'value'")
    tooltip = [
        alt.Tooltip(f"{x}:N", title=x_title or x),
        alt.Tooltip(f"{y}:N", title=y_title or y),
        alt.Tooltip(f"{value}:Q", title=value_title or value, format=".2%" if percent else ".4~g"),
    ]
    rect = known.mark_rect().encode(**across, color=_colour(value, value_title, (low, high), percent), tooltip=tooltip)
    layers = [rect]
    if text:
        dark = f"datum[{value!r}] > {low + WHITE_BELOW * (high - low)!r}"
        ink = alt.condition(dark, alt.value("#111111"), alt.value("#ffffff"))
        size = 11 if widest <= 8 else 9
        layers.append(
            known.mark_text(fontSize=size).encode(x=centre, text=alt.Text(f"{value}:Q", format=number), color=ink)
        )
    if any(row["part"] == missing for row in data):
        layers += _missing(base, across, centre, missing, tooltip[:2])
    layered = alt.layer(*layers).properties(
        width=max(180, min(340, 44 * widest)), height=max(120, min(320, 34 * tallest))
    )
    return facetted(layered, data, panel, panels, columns=columns, title=title, subtitle=subtitle)


def _once(data: Sequence[Row], x: str, y: str, panel: str) -> None:
    seen = set()
    for row in data:
        place = (row[panel], row[x], row[y])
        if place in seen:
            raise ValueError(
                f"two rows stand on the tile {x} = {row[x]}, {y} = {row[y]} of {row[panel]!r}: give their mean"
            )
        seen.add(place)


def _order(data: Sequence[Row], name: str, *, upwards: bool = False) -> list[Any]:
    """The values along an axis, from its start: numbers rise, words stand as they came. An axis starts at the top."""
    found = distinct(data, name)
    if all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in found):
        return sorted(found, reverse=upwards)
    return found


def _edges(data: Sequence[dict[str, Json]], x: str) -> list[dict[str, Json]]:
    """Rows with the borders of their tile: halfway to the neighbours, by ratio; at the ends as far out as in."""
    positive(data, x)
    places = sorted(set(numbers(data, x)))
    logs = [math.log(place) for place in places]
    halves = [(a + b) / 2 for a, b in pairwise(logs)]
    first = 2 * logs[0] - halves[0] if halves else logs[0] - 0.5
    last = 2 * logs[-1] - halves[-1] if halves else logs[0] + 0.5
    borders = [math.exp(edge) for edge in (first, *halves, last)]
    at = {place: (borders[i], borders[i + 1]) for i, place in enumerate(places)}
    return [{**row, "from": at[row[x]][0], "to": at[row[x]][1]} for row in data]


def _number(seen: Sequence[float]) -> str:
    """A d3 format that writes every value short enough for a tile."""
    largest = max(map(abs, seen), default=0.0)
    if 0.1 <= largest < 10:
        return ".2f"
    return ".3~s" if largest >= 1000 else ".3~g"


def _axis() -> Any:
    import altair as alt

    plain = "isNumber(datum.value) ? format(datum.value, '.6~g') : datum.label"  # 0.3, not 0.30000000000000004
    return alt.Axis(grid=False, labelAngle=0, labelOverlap=True, labelExpr=plain)


def _across(x: str, x_title: str, order: Sequence[Json], *, log: bool) -> tuple[dict[str, Any], Any]:
    """How tiles stand along x, and where the middle of one is."""
    import altair as alt

    title = x_title or None
    if not log:
        place = alt.X(f"{x}:O", title=title, sort=list(order), axis=_axis())
        return {"x": place}, place
    scale, axis = (
        alt.Scale(type="log", nice=False),
        alt.Axis(grid=False, values=list(order), format=",~r", labelOverlap=True),
    )
    borders = {"x": alt.X("from:Q", title=title, scale=scale, axis=axis), "x2": alt.X2("to:Q")}
    return borders, alt.X(f"{x}:Q", title=title, scale=scale, axis=axis)


def _colour(value: str, title: str, domain: tuple[float, float], percent: bool) -> Any:
    import altair as alt

    legend = alt.Legend(
        title=title or None, format="~%" if percent else "~g", gradientLength=180, tickCount=5, titleLimit=400
    )
    return alt.Color(f"{value}:Q", scale=alt.Scale(scheme=SCHEME, domain=list(domain)), legend=legend)


def _missing(base: Any, across: dict[str, Any], centre: Any, missing: str, tooltip: list[Any]) -> list[Any]:
    import altair as alt

    empty = base.transform_filter("datum.part !== 'value'")
    cross = alt.Shape(
        "part:N",
        scale=alt.Scale(domain=[missing], range=["M-.7,-.7L.7,.7M.7,-.7L-.7,.7"]),
        legend=alt.Legend(symbolStrokeColor="#888888", symbolStrokeWidth=1.5),
    )
    return [
        empty.mark_rect(style="missing").encode(**across, tooltip=tooltip),
        empty.mark_point(size=60, filled=False, strokeWidth=1.5, style="aside").encode(
            x=centre, shape=cross, tooltip=tooltip
        ),
    ]
