"""What a network makes of a path: bounds around a length, lengths layer by layer, the images themselves."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from flyroom.plot._axes import round_ends, ticks
from flyroom.plot._panels import facetted
from flyroom.plot._rows import Row, distinct, numbers, table
from flyroom.plot._style import theme
from flyroom.records import Json

LINE = 21  # pixels, of a bound or a layer
WIDTH = 420
PANEL = 170  # pixels, of one image
COLUMNS = 4
TIME = ["#2f7de1", "#8a63d8", "#cf4f9b", "#e2702d"]  # from blue to orange; 3 to 1 or more against white and black paper
LOG_FROM = 20  # ratio of the largest to the smallest number from which an axis is logarithmic


def ladder(rows: Iterable[Row], length: tuple[float, float], *, title: str = "", subtitle: str = "") -> dict[str, Json]:
    """A bar a bound, on a logarithmic axis: from the length, which is a line, to the bound.

    A row is `{name, side, value, note}` with a side "upper" or "lower"; they stand as they come. A lower bound of 0 has
    no place on the axis and is said in words; so is everything where the length itself is 0 or not bounded.

    Raises ValueError for another side, for numbers below 0, and where there are no rows.
    """
    import altair as alt

    data = table(rows, ("name", "side", "value"), ("note",))
    distinct(data, "name")
    at = math.sqrt(length[0] * length[1]) if 0 < length[0] <= length[1] < math.inf else 0.0
    seen = [value for value in numbers(data, "value") if value > 0]
    low, high = round_ends(min([*seen, at or 1.0]), max([*seen, at or 1.0]))
    for row in data:
        if row["side"] not in ("upper", "lower") or row["value"] < 0:
            raise ValueError(f"{row['name']}: a bound is upper or lower and not negative; got {row['side']}: {row}")
        row["label"] = f"{'≤' if row['side'] == 'upper' else '≥'} {row['name']}"
        row["end"] = row["value"] or low
        row["begin"] = at or low
        row["said"] = f"\u00d7 {row['value'] / at:.3g}" if at and row["value"] else f"{row['value']:.3g}"
    order = [row["label"] for row in data]
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    y = alt.Y("label:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, grid=False))
    axis = alt.Axis(values=ticks(low, high), format="~g", labelOverlap=True)
    x = alt.X("begin:Q", scale=scale, axis=axis, title="length")
    base = alt.Chart(alt.Data(values=data))
    # Numbers stand to the right: of the bar's end, of the line for a bar that goes to the left.
    text = base.transform_calculate(at="max(datum.begin, datum.end)").encode(
        y=y, x=alt.X("at:Q", scale=scale), text="said:N"
    )
    bars = base.mark_bar(height=0.62 * LINE, cornerRadius=2).transform_filter("datum.value > 0")
    layers = [
        bars.encode(
            y=y,
            x=x,
            x2="end:Q",
            color=alt.Color("side:N", scale=alt.Scale(domain=["upper", "lower"]), legend=None),
            tooltip=[alt.Tooltip("label:N"), alt.Tooltip("value:Q", format=".6g"), alt.Tooltip("note:N")],
        ),
        text.mark_text(align="left", dx=6, fontSize=11, style="aside-text"),
    ]
    if at:
        mark = alt.Chart(alt.Data(values=[{"at": at, "said": f"length {at:.4g}"}])).encode(x=alt.X("at:Q", scale=scale))
        layers += [mark.mark_rule(strokeWidth=1.5), mark.mark_text(y=-8, fontSize=12).encode(text="said:N")]
    chart = alt.layer(*layers).properties(width=WIDTH, height=LINE * len(data))
    return _whole(chart, title, subtitle)


def layer_lengths(rows: Iterable[Row], *, title: str = "", subtitle: str = "") -> dict[str, Json]:
    """The length after each layer, as points from the first layer down; an interval that can be seen is a line.

    A row is `{name, low, high, said}`; `said` is written beside its point. The axis is logarithmic where the lengths
    differ by more than a factor of 20 and none is 0. Raises ValueError where there are no rows or an end is infinite.
    """
    import altair as alt

    data = [
        {**row, "middle": (row["low"] + row["high"]) / 2} for row in table(rows, ("name", "low", "high"), ("said",))
    ]
    names = distinct(data, "name")
    scale, axis = _scale(numbers(data, "low", "high"), room=1.35)
    base = alt.Chart(alt.Data(values=data)).transform_calculate(only="'length'")
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(labelLimit=260, grid=False))
    colour = alt.Color("only:N", legend=None)
    x = alt.X("middle:Q", scale=scale, axis=axis, title="length")
    tooltip = [alt.Tooltip("name:N"), alt.Tooltip("low:Q", format=".10g"), alt.Tooltip("high:Q", format=".10g")]
    layers = [
        base.mark_rule(strokeWidth=3).encode(y=y, x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour),
        base.mark_point(filled=True, size=60, opacity=1).encode(y=y, x=x, color=colour, tooltip=tooltip),
        base.mark_text(align="left", dx=9, fontSize=11, style="aside-text").encode(y=y, x=x, text="said:N"),
    ]
    chart = alt.layer(*layers).properties(width=WIDTH, height=LINE * len(data))
    return _whole(chart, title, subtitle)


def images(rows: Iterable[Row], *, title: str = "", subtitle: str = "") -> dict[str, Json]:
    """Curves in the plane, a panel a step, coloured by t.

    A row is a point `{step, t, x, y}`, with coordinates in the unit circle; points are joined as they come. A step's
    name may have several lines. Raises ValueError for points outside the unit circle.
    """
    import altair as alt

    data = table(rows, ("step", "t", "x", "y"))
    panels = distinct(data, "step")
    chart = _curves(_segments(data)).properties(width=PANEL, height=PANEL)
    return facetted(
        chart,
        _segments(data),
        "step",
        panels,
        columns=min(COLUMNS, len(panels)),
        title=title,
        subtitle=subtitle,
        spacing=22,
        header=_header(alt),
    )


def motion(
    speeds: Sequence[Row],
    images: Sequence[Row] = (),
    patterns: Sequence[Row] = (),
    changes: Sequence[Row] = (),
    *,
    title: str = "",
    subtitle: str = "",
) -> dict[str, Json]:
    """The speed of each step against t; beside it, under a slider or the pointer, what is the case at that t.

    A row of `speeds` is `{step, t, speed}`. What else there is, is shown as well: `images` as in `images`; `patterns`,
    `{step, unit, place, from, to}`, the stretches of t on which a unit is on; `changes`, `{t, changes}`, how many units
    have changed up to t. All have the same values of t.
    """
    import altair as alt

    data = table(speeds, ("step", "t", "speed"))
    steps, times = distinct(data, "step"), distinct(data, "t")
    counted = {row["t"]: row["changes"] for row in table(changes, ("t", "changes"))}
    middle = times[len(times) // 2]
    # The slider has the same steps as the rows, which are therefore found by equality.
    at = alt.selection_point(
        name="at",
        fields=["t"],
        on="pointermove, pointerdown",
        clear=False,
        nearest=True,
        value=[{"t": middle}],
        bind=alt.binding_range(min=times[0], max=times[-1], step=times[1] - times[0], name="t "),
    )
    for row in data:
        row["depth"] = steps.index(row["step"])
    scale, axis = _scale([row["speed"] for row in data])
    every = max(counted.values(), default=0)
    said = [
        {"t": t, "said": f"t = {t:.3f}" + (f", {counted[t]} of {every} changes of units so far" if counted else "")}
        for t in times
    ]
    colour = _step_colour(alt, steps)
    top = alt.hconcat(
        _against_time(alt, data, said, at, scale, axis, colour), _now(alt, data, at, scale, axis, colour, steps)
    )
    parts = [top]
    if images:
        parts.append(_moving(alt, table(images, ("step", "t", "x", "y")), at))
    if patterns:
        parts.append(_patterns(alt, table(patterns, ("step", "unit", "place", "from", "to")), times, at))
    chart = alt.vconcat(*parts, spacing=34).resolve_scale(color="independent")
    return _whole(chart, title, subtitle)


def stacked(specs: Sequence[Mapping[str, Json]], *, title: str = "", subtitle: str = "") -> dict[str, Json]:
    """Several figures as one, below each other."""
    parts = [{name: part for name, part in spec.items() if name not in ("config", "$schema")} for spec in specs]
    head = {"title": {"text": title, **({"subtitle": subtitle} if subtitle else {})}} if title else {}
    described = " ".join(part for part in (title, subtitle) if part)
    return {
        "$schema": specs[0]["$schema"],
        **head,
        "vconcat": parts,
        "spacing": 34,
        "description": described,
        "config": theme(),
    }


def _whole(chart: Any, title: str, subtitle: str) -> dict[str, Json]:
    import altair as alt

    if title:
        chart = chart.properties(title=alt.TitleParams(text=title, subtitle=subtitle or alt.Undefined))
    with alt.data_transformers.disable_max_rows():
        spec = chart.to_dict()
    return {**spec, "description": " ".join(part for part in (title, subtitle) if part), "config": theme()}


def _scale(seen: Sequence[float], room: float = 1.0) -> tuple[Any, Any]:
    """The axis of numbers that are not negative; `room` times as long as they need, for text beside the last."""
    import altair as alt

    low, high = min(seen), max(seen)
    if low > 0 and high > LOG_FROM * low:
        ends = round_ends(low, high)
        ends = (ends[0], ends[1] * (ends[1] / ends[0]) ** (room - 1))
        scale = alt.Scale(type="log", domain=list(ends), nice=False)
        return scale, alt.Axis(values=ticks(*ends), format="~g", labelOverlap=True)
    return alt.Scale(domain=[0, (high or 1.0) * max(room, 1.02)], nice=False), alt.Axis(tickCount=5, format="~g")


def _step_colour(alt: Any, steps: Sequence[Json]) -> Any:
    """From the first step to the last; neighbours are told apart by the names beside their points."""
    scale = alt.Scale(domain=[0, max(1, len(steps) - 1)], range=TIME)
    return alt.Color("depth:Q", legend=None, scale=scale)


def _segments(data: Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    """From each point to the next one of its step: a line has one colour, a path of many lines can have all."""
    for row in data:
        if not math.hypot(row["x"], row["y"]) <= 1.001:
            raise ValueError(f"a point at ({row['x']}, {row['y']}) is outside the unit circle that is drawn: scale it")
    return [
        {"step": a["step"], "t": a["t"], "x": a["x"], "y": a["y"], "x2": b["x"], "y2": b["y"]}
        for a, b in pairwise(data)
        if a["step"] == b["step"]
    ]


def _place(alt: Any, name: str) -> dict[str, Any]:
    return {"field": name, "type": "quantitative", "axis": None, "scale": alt.Scale(domain=[-1.08, 1.08], nice=False)}


def _curves(data: Sequence[Row]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=[0, 1], range=TIME)
    return (
        alt.Chart()
        .mark_rule(strokeWidth=2.2, strokeCap="round")
        .encode(
            x=alt.X(**_place(alt, "x")),
            y=alt.Y(**_place(alt, "y")),
            x2="x2:Q",
            y2="y2:Q",
            color=alt.Color(
                "t:Q",
                scale=scale,
                legend=alt.Legend(title="t", gradientLength=160, titleOrient="left", values=[0, 0.5, 1]),
            ),
        )
    )


def _header(alt: Any) -> dict[str, Any]:
    return {"labelExpr": "split(datum.value, '\\n')", "labelFontSize": 11, "labelFontWeight": "normal"}


def _against_time(alt: Any, data: Any, said: Any, at: Any, scale: Any, axis: Any, colour: Any) -> Any:
    """The lines, with a rule where the slider is. Text above says what is known at that t."""
    across = alt.X("t:Q", title="t", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(format="~g"))
    base = alt.Chart(alt.Data(values=data))
    lines = base.mark_line(strokeWidth=1.8).encode(
        x=across,
        y=alt.Y("speed:Q", title="speed, per unit of t", scale=scale, axis=axis),
        color=colour,
        detail="step:N",
    )
    here = alt.Chart(alt.Data(values=said)).encode(x=across)
    catch = here.mark_rule(strokeWidth=3, opacity=0).add_params(at)
    rule = here.mark_rule(strokeWidth=1.2).transform_filter(at)
    text = alt.Chart(alt.Data(values=said)).mark_text(align="left", y=-9, x=0, fontSize=12).encode(text="said:N")
    return alt.layer(lines, catch, rule, text.transform_filter(at)).properties(width=WIDTH, height=220)


def _now(alt: Any, data: Any, at: Any, scale: Any, axis: Any, colour: Any, steps: Sequence[Json]) -> Any:
    """The speeds at the t of the slider."""
    return (
        alt.Chart(alt.Data(values=data))
        .mark_point(filled=True, size=80, opacity=1)
        .transform_filter(at)
        .encode(
            x=alt.X("speed:Q", title="speed at this t", scale=scale, axis=axis),
            y=alt.Y("step:N", sort=list(steps), title=None, axis=alt.Axis(labelLimit=160)),
            color=colour,
            tooltip=[alt.Tooltip("step:N"), alt.Tooltip("speed:Q", format=".5g")],
        )
        .properties(width=250, height=220)
    )


def _moving(alt: Any, data: list[dict[str, Json]], at: Any) -> Any:
    """The images, with a mark on each at the t of the slider."""
    panels = distinct(data, "step")
    rows = [{**row, "part": "curve"} for row in _segments(data)] + [{**row, "part": "point"} for row in data]
    curve = _curves(rows).transform_filter("datum.part === 'curve'")
    point = (
        alt.Chart()
        .mark_point(filled=True, size=110, opacity=1, style=["aside", "published"])
        .transform_filter("datum.part === 'point'")
        .transform_filter(at)
        .encode(x=alt.X(**_place(alt, "x")), y=alt.Y(**_place(alt, "y")))
    )
    head = alt.Header(**_header(alt), title=None)
    return (
        alt.layer(curve, point)
        .properties(width=PANEL, height=PANEL)
        .facet(
            facet=alt.Facet("step:N", sort=panels, header=head),
            columns=min(COLUMNS, len(panels)),
            data=alt.Data(values=rows),
        )
        .properties(spacing=22)
    )


def _patterns(alt: Any, data: list[dict[str, Json]], times: Sequence[Json], at: Any) -> Any:
    """Where units are on, a row a unit, of the activation that is chosen from a list."""
    steps = distinct(data, "step")
    chosen = alt.param(
        name="activation",
        value=steps[0],
        bind=alt.binding_select(options=steps, labels=[step.partition(":")[0] for step in steps], name="units of "),
    )
    across = alt.X("from:Q", title="t", scale=alt.Scale(domain=[0, 1], nice=False), axis=alt.Axis(format="~g"))
    bars = (
        alt.Chart(alt.Data(values=data))
        .mark_bar()
        .transform_filter("datum.step === activation")
        .transform_calculate(only="'on'")
        .encode(
            x=across,
            x2="to:Q",
            y=alt.Y("place:O", title="unit, by its first change", axis=alt.Axis(labels=False, grid=False)),
            color=alt.Color("only:N", legend=None),
            tooltip=[alt.Tooltip("unit:Q"), alt.Tooltip("from:Q", format=".3f"), alt.Tooltip("to:Q", format=".3f")],
        )
    )
    said = (
        alt.Chart(alt.Data(values=[{"step": step} for step in steps]))
        .mark_text(align="left", x=0, y=-9, fontSize=12)
        .transform_filter("datum.step === activation")
        .encode(text="step:N")
    )
    rule = (
        alt.Chart(alt.Data(values=[{"t": t} for t in times]))
        .mark_rule(strokeWidth=1.2)
        .transform_filter(at)
        .encode(x=alt.X("t:Q", scale=alt.Scale(domain=[0, 1], nice=False)))
    )
    return alt.layer(bars, said, rule).add_params(chosen).properties(width=WIDTH + 290, height=260)
