"""Draw the pictures of docs/parts/ that are made of formulas, not of results.

    python docs/pictures.py

writes docs/activations.svg. Doing it twice changes nothing.
"""

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from flyroom import plot
from flyroom.nets.derivatives import known, taylor

ROOT = Path(__file__).resolve().parent.parent

# Panel: the activation, and the slope of a leaky one. The parametric ReLU is drawn with its first slope.
PANELS: dict[str, tuple[str, float | None]] = {
    "sigmoid": ("sigmoid", None),
    "tanh": ("tanh", None),
    "hard tanh": ("hard_tanh", None),
    "erf": ("erf", None),
    "sin": ("sin", None),
    "ReLU": ("relu", None),
    "leaky ReLU": ("leaky_relu", 0.01),
    "parametric ReLU, slope 1/4": ("leaky_relu", 0.25),
    "ELU": ("elu", None),
    "softplus": ("softplus", None),
    "GELU": ("gelu", None),
    "SiLU": ("silu", None),
    "square": ("square", None),
    "identity": ("identity", None),
}
FUNCTION, DERIVATIVE = "activation", "its derivative"


def rows(panel: str) -> list[dict[str, Any]]:
    """Points of both curves, to four decimals. Pieces are drawn apart, so that a jump of the derivative is a gap."""
    name, slope = PANELS[panel]
    ends = [-4.0, *known(name, slope).kinks, 4.0]
    found = []
    for piece, (low, high) in enumerate(pairwise(ends)):
        x = np.linspace(low, high, int(16 * (high - low)) + 1)
        inside = np.append(x[:-1], high - 1e-9)  # on a kink the series is that of the piece to its right
        for what, values in zip((FUNCTION, DERIVATIVE), taylor(name, inside, 1, slope), strict=True):
            curve = {"panel": panel, "curve": what, "piece": f"{what} {piece}"}
            places = zip(x.round(4).tolist(), values.round(4).tolist(), strict=True)
            found += [{**curve, "x": across, "y": up} for across, up in places]
    return found


def activations() -> dict[str, Any]:
    """A panel for each activation, with its derivative."""
    place = {"type": "quantitative", "title": None}
    line = {
        "mark": {"type": "line", "clip": True, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "x", **place, "axis": {"tickCount": 4, "grid": True}},
            "y": {"field": "y", **place, "axis": {"tickCount": 4}, "scale": {"domain": [-1.5, 3], "nice": False}},
            "color": {"field": "curve", "type": "nominal", "sort": [FUNCTION, DERIVATIVE]},
            "detail": {"field": "piece", "type": "nominal"},
        },
        "width": 150,
        "height": 110,
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": "Activations and their derivatives, from -4 to 4",
        "data": {"values": [row for panel in PANELS for row in rows(panel)]},
        "facet": {"field": "panel", "type": "nominal", "sort": list(PANELS), "header": {"title": None}},
        "columns": 5,
        "spacing": 24,
        "spec": line,
        "config": plot.theme(),
    }


def main(root: Path = ROOT) -> int:
    """Write every picture."""
    plot.save(activations(), root / "docs" / "activations.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
