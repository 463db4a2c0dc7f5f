"""Bounds around a length, lengths by layer, images and a walk along a path as figures."""

import json
from xml.etree import ElementTree

import pytest

from flyroom import plot

BOUNDS = [
    {"name": "supremum", "side": "upper", "value": 20.0, "note": "always"},
    {"name": "integral", "side": "upper", "value": 4.0, "note": "always"},
    {"name": "integral", "side": "lower", "value": 0.5, "note": "always"},
    {"name": "infimum", "side": "lower", "value": 0.0, "note": "never"},
]
TIMES = [i / 8 for i in range(9)]
SPEEDS = [{"step": step, "t": t, "speed": 1 + t} for step in ("input", "relu_1") for t in TIMES]
IMAGES = [{"step": step, "t": t, "x": t, "y": 0.0} for step in ("input", "relu_1") for t in TIMES]
PATTERN = [{"step": "relu_1: 1 of 2", "unit": 1, "place": 0, "from": 0.0, "to": 0.4}]
CHANGES = [{"t": t, "changes": int(t > 0.4)} for t in TIMES]


def words(spec) -> set[str]:
    svg = ElementTree.fromstring(plot.render(spec, "svg").decode())
    return {"".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")}


def named(spec, name: str) -> list[dict]:
    """Every specification inside that has rows with this entry."""
    found = []
    if isinstance(spec, dict):
        rows = spec.get("data", {}).get("values", []) if isinstance(spec.get("data"), dict) else []
        found += [rows] if rows and name in rows[0] else []
        for part in spec.values():
            found += named(part, name)
    elif isinstance(spec, list):
        for part in spec:
            found += named(part, name)
    return found


def test_a_bar_reaches_from_the_length_to_its_bound():
    spec = plot.ladder(BOUNDS, (1.9, 2.1), title="bounds")
    rows = named(spec, "label")[0]
    middle = (1.9 * 2.1) ** 0.5
    assert [row["begin"] for row in rows] == [middle] * 4
    assert [row["end"] for row in rows][:3] == [20.0, 4.0, 0.5]
    assert {"≤ supremum", "≥ infimum", "\u00d7 10", "\u00d7 2", "0", "bounds"} <= words(spec)
    assert [row["label"] for row in rows] == ["≤ supremum", "≤ integral", "≥ integral", "≥ infimum"]


def test_a_bound_of_zero_has_no_bar():
    svg = plot.render(plot.ladder(BOUNDS, (1.9, 2.1)), "svg").decode()
    assert svg.count('aria-roledescription="bar"') == 3


def test_without_a_length_the_bounds_are_said_in_their_own_unit():
    assert {"20", "4", "0.5", "0"} <= words(plot.ladder(BOUNDS, (0.0, 0.0)))


def test_lengths_are_logarithmic_where_they_differ_much():
    def scale(lengths):
        spec = plot.layer_lengths(
            [{"name": f"layer {i}", "low": x, "high": x, "said": f"{x:g}"} for i, x in enumerate(lengths)]
        )
        assert {"layer 0", f"{lengths[0]:g}"} <= words(spec)
        return next(layer["encoding"]["x"]["scale"] for layer in spec["layer"] if "x2" not in layer["encoding"])

    assert scale([1.0, 30.0]).get("type") == "log"
    assert "type" not in scale([1.0, 10.0]) and scale([1.0, 10.0])["domain"][0] == 0
    assert "type" not in scale([0.0, 30.0])


def test_images_are_cut_where_a_step_ends():
    spec = plot.images(IMAGES)
    (rows,) = named(spec, "x2")
    assert len(rows) == 2 * (len(TIMES) - 1) and all(row["x2"] - row["x"] == 0.125 for row in rows)
    assert spec["columns"] == 2 and {"input", "relu_1"} <= words(spec)


def test_a_walk_shows_what_is_the_case_at_one_t():
    spec = plot.motion(SPEEDS, IMAGES, PATTERN, CHANGES)
    shown = words(spec)
    assert "t = 0.500, 1 of 1 changes of units so far" in shown and "relu_1: 1 of 2" in shown
    assert not any(word.startswith("t = 0.625") for word in shown)
    (slider,) = [param for param in spec["params"] if param["name"] == "at"]
    bound = slider["bind"]["t"] if "t" in slider["bind"] else slider["bind"]
    assert (bound["min"], bound["max"], bound["step"]) == (0.0, 1.0, 0.125)
    svg = plot.render(spec, "svg").decode()
    assert svg.count('aria-roledescription="point"') == 2 + 2  # a speed and a place for each step, at one t


def test_a_walk_needs_no_images():
    assert "t = 0.500" in words(plot.motion(SPEEDS))


def test_figures_are_stacked():
    spec = plot.stacked([plot.ladder(BOUNDS, (1.9, 2.1)), plot.images(IMAGES)], title="both", subtitle="of them")
    assert {"≤ supremum", "relu_1", "both", "of them"} <= words(spec)
    assert "config" not in json.dumps(spec["vconcat"])


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="a bound is upper or lower and not negative"):
        plot.ladder([BOUNDS[0] | {"side": "left"}], (1.0, 1.0))
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.layer_lengths([])
    with pytest.raises(ValueError, match="outside the unit circle"):
        plot.images([IMAGES[0] | {"x": 2.0}, IMAGES[1]])
    with pytest.raises(ValueError, match="cannot be drawn"):
        plot.layer_lengths([{"name": "a", "low": 1.0, "high": float("inf")}])
