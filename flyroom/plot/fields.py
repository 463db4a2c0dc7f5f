"""Receptive fields: what one unit of each layer sees, drawn on the input."""

from collections.abc import Iterable
from typing import Any

from flyroom.plot._rows import Row, distinct, numbers, table
from flyroom.plot._style import theme
from flyroom.records import Json

WIDTH, LINE = 420, 18  # pixels, of the input; of a layer


def fields(
    rows: Iterable[Row], shape: tuple[int, ...], *, title: str = "", subtitle: str = "", axes: tuple[str, ...] = ()
) -> dict[str, Json]:
    """A bar for each layer along each axis of the input, and for images the nested frames on the input itself.

    A row is `{layer, axis, first, last, note}`: the first and the last place that the middle unit of the layer sees
    along the axis of that number, 0 for the first. `shape` has the input's length along each axis, `axes` their names.
    Layers stand in the order of their first appearance. Raises ValueError for places outside the input.
    """
    import altair as alt

    data = [{**row, "end": row["last"] + 1} for row in table(rows, ("layer", "axis", "first", "last"), ("note",))]
    layers = distinct(data, "layer")
    numbers(data, "axis", "first", "last")
    for row in data:
        if not 0 <= row["axis"] < len(shape) or not 0 <= row["first"] <= row["last"] < shape[row["axis"]]:
            raise ValueError(f"{row['layer']} cannot see {row['first']} to {row['last']} of an input of shape {shape}")
    names = axes or tuple(["position", "row", "column"][len(shape) > 1 :][: len(shape)])
    panels = [_bars(alt, data, layers, axis, names[axis], shape[axis]) for axis in range(len(shape))]
    if len(shape) == 2:
        panels.append(_frames(alt, data, shape))
    chart = alt.hconcat(*panels, spacing=28) if len(panels) > 1 else panels[0]
    if title:
        chart = chart.properties(title=alt.TitleParams(text=title, subtitle=subtitle or alt.Undefined))
    with alt.data_transformers.disable_max_rows():
        spec = chart.to_dict()
    return {**spec, "description": " ".join(part for part in (title, subtitle) if part), "config": theme()}


def _bars(alt: Any, data: list[dict[str, Json]], layers: list[Json], axis: int, name: str, length: int) -> Any:
    """One bar a layer; the names of the layers stand beside the first axis only."""
    own = [row for row in data if row["axis"] == axis]
    beside = alt.Axis(labelLimit=260, title=None, grid=False) if axis == 0 else None
    return (
        alt.Chart(alt.Data(values=own))
        .mark_bar(height=0.7 * LINE, cornerRadius=2)
        .transform_calculate(only="'seen'")
        .encode(
            x=alt.X("first:Q", title=name, scale=alt.Scale(domain=[0, length], nice=False), axis=alt.Axis(tickCount=6)),
            x2="end:Q",
            y=alt.Y("layer:N", sort=layers, axis=beside),
            color=alt.Color("only:N", legend=None),
            tooltip=[alt.Tooltip("layer:N"), alt.Tooltip("first:Q"), alt.Tooltip("last:Q"), alt.Tooltip("note:N")],
        )
        .properties(width=WIDTH if len({row["axis"] for row in data}) == 1 else WIDTH // 2, height=LINE * len(layers))
    )


def _frames(alt: Any, data: list[dict[str, Json]], shape: tuple[int, ...]) -> Any:
    """The field of each layer as a frame on the image, rows from the top; the same frame is drawn once."""
    frames: dict[tuple[Json, ...], dict[str, Json]] = {}
    for layer in dict.fromkeys(row["layer"] for row in data):
        down, across = (next((r for r in data if r["layer"] == layer and r["axis"] == a), None) for a in (0, 1))
        if down and across:
            place = (down["first"], down["end"], across["first"], across["end"])
            frames.setdefault(
                place, {"layer": layer, **dict(zip(("top", "bottom", "left", "right"), place, strict=True))}
            )
    height = WIDTH * shape[0] / shape[1]
    return (
        alt.Chart(alt.Data(values=list(frames.values())))
        .mark_rect(fillOpacity=0.06, strokeWidth=1.5)
        .transform_calculate(only="'seen'")
        .encode(
            x=alt.X("left:Q", title="column", scale=alt.Scale(domain=[0, shape[1]], nice=False)),
            x2="right:Q",
            y=alt.Y("top:Q", title="row", scale=alt.Scale(domain=[0, shape[0]], nice=False, reverse=True)),
            y2="bottom:Q",
            color=alt.Color("only:N", legend=None),
            stroke=alt.Stroke("only:N", legend=None),
            tooltip=[alt.Tooltip(name) for name in ("layer:N", "top:Q", "bottom:Q", "left:Q", "right:Q")],
        )
        .properties(width=WIDTH, height=height)
    )
