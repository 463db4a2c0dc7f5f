"""One layered chart becomes a figure: a panel for each kind of data, a title, a description, the house theme."""

from collections.abc import Sequence
from typing import Any

from flyroom.plot._style import theme
from flyroom.records import Json


def facetted(
    layered: Any,
    data: list[dict[str, Json]],
    panel: str,
    panels: Sequence[Json],
    *,
    columns: int,
    title: str,
    subtitle: str,
    spacing: int = 36,
    header: dict[str, Any] | None = None,
    own_axes: bool = False,
) -> dict[str, Json]:
    """The specification of `layered`, drawn once for each of `panels`, `columns` beside each other.

    `own_axes` gives every panel scales of its own; `header` changes how the names of the panels are set.
    """
    import altair as alt

    if columns < 1:
        raise ValueError(f"columns = {columns}: a figure has one column of panels or more")
    head = alt.Header(**{"labelExpr": "datum.value", "title": None, **(header or {})})
    chart = layered.facet(
        facet=alt.Facet(f"{panel}:N", sort=list(panels), header=head), columns=columns, data=alt.Data(values=data)
    ).properties(spacing=spacing)
    if own_axes:
        chart = chart.resolve_scale(x="independent", y="independent")
    if title:
        chart = chart.properties(title=alt.TitleParams(text=title, subtitle=subtitle or alt.Undefined))
    with alt.data_transformers.disable_max_rows():
        spec = chart.to_dict()
    return {**spec, "description": " ".join(part for part in (title, subtitle) if part), "config": theme()}
