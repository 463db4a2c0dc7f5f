"""Where runs end: every run, the mean with its interval, the published figure."""

from collections.abc import Iterable

from flyroom.plot._panels import facetted
from flyroom.plot._rows import Row, distinct, table
from flyroom.records import Json

PARTS = ("one run", "mean, 95 % interval", "published")


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
    groups, panels = distinct(data, group), distinct(data, panel)
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
    width = 300 if len(panels) > 1 else 560
    layered = alt.layer(bar, mean, run, whisker, diamond).properties(width=width, height=alt.Step(54))
    return facetted(layered, data, panel, panels, columns=2, title=title, subtitle=subtitle)


def _final_rows(
    rows: Iterable[Row], means: Iterable[Row], published: Iterable[Row], value: str, group: str, panel: str
) -> list[dict[str, Json]]:
    """One table of what `finals` draws: `part` says which mark a row is, `lane` where it stands in its line."""
    needed = (value, group, panel)
    dots = [{**row, "part": PARTS[0], "lane": _lane(i)} for i, row in enumerate(table(rows, needed))]
    bars = [{**row, "part": PARTS[1], "lane": -0.62} for row in table(means, needed, ("low", "high"))]
    marks = [
        {**row, "part": PARTS[2], "lane": 0.66, "low": row[value] - spread, "high": row[value] + spread}
        for row in table(published, needed)
        for spread in [row.get("plus_minus") or 0.0]
    ]
    data = [*dots, *bars, *marks]
    for row in (*bars, *marks):  # alone in its line, a mark stands in the middle
        if len({other["part"] for other in data if other[group] == row[group]}) == 1:
            row["lane"] = 0.0
    return data


def _lane(index: int) -> float:
    """Where the dot of a run stands in its line: seven places around the middle, neighbours far apart."""
    return ((index * 3) % 7 - 3) / 10
