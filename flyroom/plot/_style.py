"""Colours, sizes and type of every figure, for light and for dark paper.

Whatever differs between the two stands here and never in a figure, so that a page may swap one for the other.
"""

from flyroom.records import Json

FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"

# After Paul Tol's "bright" scheme (SRON/EPS/TN/09-002, 2021), told apart with every common colour blindness; each
# is dark enough, or light enough, to be read as text on its paper (WCAG AA), for lines carry their names in it.
LIGHT = ("#4477aa", "#d63a52", "#1f7d2f", "#aa3377", "#8a7300", "#1a7f9e", "#6b6b6b")
DARK = ("#77aadd", "#ff8a96", "#55bb66", "#dd77aa", "#d9c14a", "#66ccee", "#aaaaaa")

# Ten colours for marks that carry no text: each 3 to 1 or more against its paper (WCAG 2.2, 1.4.11), any two of them
# 0.09 or more apart in OKLab, as they are seen with normal vision and with each kind of dichromacy (Machado, Oliveira
# and Fernandes 2009). Found by exchange from random starts.
TEN_LIGHT = (
    *("#0096f5", "#b04400", "#74a000", "#871eff", "#4b3c00"),
    *("#e12db4", "#007878", "#b38989", "#001ec3", "#780069"),
)
TEN_DARK = (
    *("#0096f0", "#ffe100", "#ff4b96", "#a5f0e1", "#875a4b"),
    *("#c3b4ff", "#699600", "#ffa578", "#2d4bff", "#b40fa5"),
)


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
        "range": {"category": list(DARK if dark else LIGHT), "ordinal": list(TEN_DARK if dark else TEN_LIGHT)},
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
            "titleFontSize": 12,
            "titleFontWeight": "normal",
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
        "style": _styles(paper, quiet, line),
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": ink},
        "tick": {"color": ink},
    }


def _styles(paper: str, quiet: str, line: str) -> dict[str, Json]:
    """Marks that are neither data nor axis, and take a colour from the paper that they stand on."""
    return {
        "aside": {"color": quiet},
        "aside-text": {"color": quiet},
        "halo": {"stroke": paper, "strokeWidth": 4, "strokeJoin": "round"},
        "published": {"stroke": paper, "strokeWidth": 1.5},
        "missing": {"color": line},
    }
