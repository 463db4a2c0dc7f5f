"""Points keep their place, their class and their panel; what could not be told apart is refused."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from flyroom import plot

POINTS = [
    {"x": float(np.cos(i)), "y": float(np.sin(i)), "class": i % 3, "data": panel, "seed": i}
    for panel in ("pixels", "features")
    for i in (2, 0, 1, 5, 4)
]


def marks(spec, *, dark=False):
    svg: Any = ElementTree.fromstring(plot.render(spec, "svg", dark=dark).decode())
    return [node.get("fill") for node in svg.iter() if node.get("aria-roledescription") == "point"]


def test_points_are_held_without_what_is_not_drawn():
    spec = plot.scatter(POINTS)
    assert [(row["class"], row["data"]) for row in spec["data"]["values"]] == [(p["class"], p["data"]) for p in POINTS]
    for row, point in zip(spec["data"]["values"], POINTS, strict=True):
        assert set(row) == {"x", "y", "class", "data"}
        assert (row["x"], row["y"]) == pytest.approx((point["x"], point["y"]), rel=1e-4)
    assert spec["facet"]["sort"] == ["pixels", "features"]
    assert spec["spec"]["encoding"]["color"]["scale"]["domain"] == [2, 0, 1]  # as they came
    assert spec["resolve"]["scale"] == {"x": "independent", "y": "independent"}


@pytest.mark.parametrize("dark", [False, True])
def test_ten_classes_have_ten_colours_on_light_and_dark_paper(dark):
    ten = [{"x": i, "y": -i, "class": str(i), "data": "d"} for i in range(10)]
    found = marks(plot.scatter(ten, axes=False), dark=dark)
    assert found == plot.theme(dark=dark)["range"]["ordinal"]
    assert marks(plot.scatter(ten[:7]), dark=dark) == plot.theme(dark=dark)["range"]["category"]  # as lines have


def test_axes_can_be_left_out():
    def words(spec):
        svg: Any = ElementTree.fromstring(plot.render(spec, "svg").decode())
        return {"".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")}

    assert words(plot.scatter(POINTS, axes=False)) == {"pixels", "features", "0", "1", "2"}
    assert {"sharpness", "accuracy"} <= words(plot.scatter(POINTS, x_title="sharpness", y_title="accuracy"))


def test_what_cannot_be_drawn_is_refused():
    eleven = [{"x": i, "y": i, "class": i, "data": "d"} for i in range(11)]
    with pytest.raises(ValueError, match="11 groups cannot be told apart by colour"):
        plot.scatter(eleven)
    crowd = [{"x": i, "y": i, "class": 0, "data": "d"} for i in range(5000)]
    assert len(plot.scatter(crowd)["data"]["values"]) == 5000
    with pytest.raises(ValueError, match="panel 'd' has 5001 points"):
        plot.scatter([*crowd, {**crowd[0], "x": 0.5}])
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.scatter([])
    with pytest.raises(ValueError, match="x = nan cannot be drawn"):
        plot.scatter([{**POINTS[0], "x": float("nan")}])
    with pytest.raises(ValueError, match="a row without 'class'"):
        plot.scatter([{"x": 0, "y": 0, "data": "d"}])
