"""Many small one-dimensional signals side by side, as the figures of MNIST-1D show them."""

from collections.abc import Iterable
from typing import Any

from flyroom.plot._panels import facetted
from flyroom.plot._rows import Row, distinct, numbers, table
from flyroom.records import Json

LETTER = 8  # pixels, of the name of a panel


def signals(
    rows: Iterable[Row],
    *,
    x: str = "position",
    y: str = "value",
    panel: str = "digit",
    group: str | None = None,
    columns: int = 10,
    title: str = "",
    subtitle: str = "",
    upright: bool = True,
) -> dict[str, Json]:
    """One tiny panel a signal, without axes; the signals of one panel, one a `group`, lie over each other.

    A row is one point `{x, y, panel, group}`; points are joined in the order of x. Upright signals run from the top
    down, which is how the templates of MNIST-1D look like the digits that they stand for; others run from left to
    right. All panels share their scales. With a group there is a legend.
    """
    import altair as alt

    wanted = (x, y, panel, *([group] if group else []))
    data = [{name: row[name] for name in wanted} for row in table(rows, wanted)]
    panels = distinct(data, panel)
    numbers(data, x, y)
    along = {"scale": alt.Scale(zero=False, nice=False, reverse=upright), "axis": None}
    aside = {"scale": alt.Scale(zero=False, nice=False, padding=4), "axis": None}
    mark = alt.Chart().mark_line(strokeWidth=1.6, strokeJoin="round")
    places = (
        {"x": alt.X(f"{y}:Q", **aside), "y": alt.Y(f"{x}:Q", **along)}
        if upright
        else {"x": alt.X(f"{x}:Q", **along), "y": alt.Y(f"{y}:Q", **aside)}
    )
    encoded = {**places, "order": alt.Order(f"{x}:Q")}
    if group:
        groups = distinct(data, group)
        encoded["color"] = alt.Color(f"{group}:N", sort=groups, scale=alt.Scale(domain=groups))
    else:
        mark = mark.transform_calculate(only="'signal'")  # so that the theme says the colour
        encoded["color"] = alt.Color("only:N", legend=None)
    width, height = (54, 120) if upright else (84, 54)
    chart = mark.encode(**encoded).properties(width=width, height=height)
    head: dict[str, Any] = {"labelAnchor": "middle"}
    if max(len(str(name)) for name in panels) * LETTER > width:  # a name of many words has a line for each
        head |= {"labelExpr": "split(datum.value + '', ' ')", "labelFontSize": 11, "labelFontWeight": "normal"}
    return facetted(
        chart, data, panel, panels, columns=columns, title=title, subtitle=subtitle, spacing=14, header=head
    )
