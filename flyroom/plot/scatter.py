"""Points in the plane: embeddings, decision regions, one number against another."""

from collections.abc import Iterable

from flyroom.plot._panels import facetted
from flyroom.plot._rows import Row, distinct, numbers, table
from flyroom.plot._style import LIGHT
from flyroom.records import Json

MOST = 5000  # points a panel; more only hide one another, and make a page slow
CLASSES = 10  # that a reader can tell apart by colour


def scatter(
    rows: Iterable[Row],
    *,
    x: str = "x",
    y: str = "y",
    group: str = "class",
    panel: str = "data",
    x_title: str = "",
    y_title: str = "",
    title: str = "",
    subtitle: str = "",
    axes: bool = True,
    columns: int = 2,
) -> dict[str, Json]:
    """One small mark a row `{x, y, group, panel}`, a colour a group, with a legend.

    Every panel has axes of its own. `axes=False` leaves them out: the directions and units of an embedding such as
    t-SNE mean nothing. Coordinates are kept to five digits, and entries that are not drawn are left out.

    Raises ValueError for more than 5000 points in one panel, and for more than ten groups: no ten and one colours
    can be told apart.
    """
    import altair as alt

    wanted = (x, y, group, panel)
    data = [{name: _short(row[name]) for name in wanted} for row in table(rows, wanted)]
    groups, panels = distinct(data, group), distinct(data, panel)
    numbers(data, x, y)
    if len(groups) > CLASSES:
        raise ValueError(f"{len(groups)} groups cannot be told apart by colour: draw {CLASSES} or fewer")
    for name in panels:
        count = sum(row[panel] == name for row in data)
        if count > MOST:
            raise ValueError(f"panel {name!r} has {count} points, and {MOST} are drawn at most: give a sample of them")
    scale = alt.Scale(zero=False, nice=axes, padding=8)
    axis = alt.Axis(tickCount=5, format="~g") if axes else None
    colour = alt.Color(
        f"{group}:N",
        sort=groups,
        scale=alt.Scale(domain=groups, range="ordinal" if len(groups) > len(LIGHT) else "category"),
        legend=alt.Legend(symbolOpacity=1, symbolType="circle", columns=5 if len(groups) > 5 else len(groups)),
    )
    crowded = len(data) / len(panels) > 500
    mark = alt.Chart().mark_point(filled=True, size=14 if crowded else 40, opacity=0.7 if crowded else 0.8)
    chart = mark.encode(
        x=alt.X(f"{x}:Q", title=x_title or None, scale=scale, axis=axis),
        y=alt.Y(f"{y}:Q", title=y_title or None, scale=scale, axis=axis),
        color=colour,
        tooltip=[alt.Tooltip(f"{group}:N"), alt.Tooltip(f"{x}:Q", format=".4~g"), alt.Tooltip(f"{y}:Q", format=".4~g")],
    ).properties(width=290 if len(panels) > 1 else 480, height=290 if len(panels) > 1 else 480)
    return facetted(chart, data, panel, panels, columns=columns, title=title, subtitle=subtitle, own_axes=True)


def _short(entry: Json) -> Json:
    return float(f"{entry:.5g}") if isinstance(entry, float) else entry
