"""Lines, bands, published points and rules hold the rows that they were given; axes leave them inside."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyroom import plot
from flyroom.plot._axes import round_ends, ticks
from flyroom.plot._labels import apart

CURVES = [
    {"net": net, "data": panel, "step": step, "mean": mean + step / 1e5, "low": mean - 0.01, "high": mean + 0.02}
    for panel in ("plain", "shuffled")
    for net, mean in (("linear", 0.30), ("cnn", 0.90), ("gru", 0.905))
    for step in (0, 100, 200)
]
SWEEP = [
    {"net": net, "data": "labels", "width": width, "mean": mean / width, "low": low, "high": 2 * mean / width}
    for net, mean in (("test", 4.0), ("train", 1.0))
    for width, low in ((1, mean / 2), (10, 0.0), (100, -1.0), (1000, None))
]


def rows(spec, part):
    return [row for row in spec["data"]["values"] if row["part"] == part]


def words(spec, *, dark=False):
    svg = ElementTree.fromstring(plot.render(spec, "svg", dark=dark).decode())
    return ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]


def areas(spec):
    """The corners of every band."""
    svg = ElementTree.fromstring(plot.render(spec, "svg").decode())
    paths = [node.get("d", "") for node in svg.iter() if node.get("aria-roledescription") == "area mark"]
    found = [re.findall(r"(-?[\d.]+),(-?[\d.]+)", path) for path in paths]
    return [[(float(x), float(y)) for x, y in corners] for corners in found if corners]


def layers(spec, mark):
    return [layer for layer in spec["spec"]["layer"] if layer["mark"]["type"] == mark]


def test_curves_draw_every_row_once_and_name_every_line():
    spec = plot.curves(CURVES, title="Learning")
    assert [{k: v for k, v in row.items() if k != "part"} for row in rows(spec, "line")] == CURVES
    names = rows(spec, "name")
    assert [(row["data"], row["net"], row["step"]) for row in names] == [
        (panel, net, 200) for panel in ("plain", "shuffled") for net in ("linear", "cnn", "gru")
    ]
    assert names[2]["label_at"] - names[1]["label_at"] == pytest.approx(1 / 18)  # moved apart
    assert names[0]["label_at"] == pytest.approx(0.302)  # left where it is
    assert spec["facet"]["sort"] == ["plain", "shuffled"] and spec["columns"] == 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_labels_keep_their_order_their_distance_and_their_mean(places):
    places = sorted(places)
    moved = apart(places, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-9)
    if all(b - a >= 0.1 for a, b in itertools.pairwise(places)):
        assert moved == pytest.approx(places)


def test_names_are_apart_by_ratio_on_a_logarithmic_axis():
    flat = [{"net": str(i), "data": "loss", "step": s, "mean": 1e-3 * 1.01**i} for i in range(3) for s in (1, 2)]
    far = {"net": "far", "data": "loss", "step": 2, "mean": 1.0}
    spec = plot.curves([*flat, far], percent=False, log_y=True)
    low, high = layers(spec, "line")[0]["encoding"]["y"]["scale"]["domain"]
    places = [row["label_at"] for row in rows(spec, "name")]
    ratios = [b / a for a, b in itertools.pairwise(places)]
    assert ratios[:2] == pytest.approx([(high / low) ** (1 / 18)] * 2)
    assert places[3] == pytest.approx(1.0)


def test_logarithmic_axes_have_the_ends_and_the_ticks_that_their_numbers_need():
    spec = plot.curves(SWEEP, x="width", percent=False, log_x=True, log_y=True)
    assert [{k: v for k, v in row.items() if k != "part"} for row in rows(spec, "line")] == SWEEP  # as given
    (line,) = layers(spec, "line")
    assert line["encoding"]["x"]["scale"]["type"] == line["encoding"]["y"]["scale"]["type"] == "log"
    assert line["encoding"]["x"]["axis"]["values"] == [1, 10, 100, 1000]
    assert line["encoding"]["y"]["scale"]["domain"] == [pytest.approx(5e-4), 10.0]  # the least mean is 0.001
    deep = plot.curves([*SWEEP[:4], {**SWEEP[4], "low": 1e-9}], x="width", percent=False, log_y=True)
    bottom = layers(deep, "line")[0]["encoding"]["y"]["scale"]["domain"][0]
    assert bottom == pytest.approx(2e-4)  # a tenth of the least mean, 0.004, inside; not the bound
    picture = plot.render(spec, "svg")
    assert b"NaN" not in picture and b"Infinity" not in picture


@given(st.floats(1e-9, 1e9), st.floats(1, 1e6))
def test_round_ends_hold_the_numbers_closely_and_ticks_lie_between(low, ratio):
    bottom, top = round_ends(low, low * ratio)
    assert bottom < low <= low * ratio < top
    assert low / bottom <= 2.5 * (1 + 1e-9) and top / (low * ratio) <= 2.5 * (1 + 1e-9)
    found = ticks(bottom, top)
    assert 1 <= len(found) <= 9 and found == sorted(set(found))
    assert all(bottom * (1 - 1e-9) <= tick <= top * (1 + 1e-9) for tick in found)


def test_ticks_are_few_over_many_decades_and_more_over_one():
    assert ticks(1e-12, 1.0) == pytest.approx([1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 1])
    assert ticks(0.02, 1.0) == pytest.approx([0.02, 0.05, 0.1, 0.2, 0.5, 1])


def test_published_points_wear_the_colour_of_their_group_and_are_named_where_no_line_is():
    published = [
        {"net": "cnn", "data": "plain", "step": 250, "mean": 0.94, "plus_minus": 0.02},
        {"net": "human", "data": "plain", "step": 100, "mean": 0.96},
    ]
    spec = plot.curves(CURVES, published=published)
    first, second = rows(spec, "published")
    assert (first["low"], first["high"]) == pytest.approx((0.92, 0.96)) and second["low"] == second["high"] == 0.96
    diamond = next(m for m in layers(spec, "point") if "shape" in m["encoding"])
    assert diamond["encoding"]["shape"]["scale"] == {"domain": ["published"], "range": ["diamond"]}
    assert diamond["encoding"]["color"]["scale"]["domain"] == ["linear", "cnn", "gru", "human"]
    assert [row["step"] for row in rows(spec, "name") if row["net"] == "human"] == [100]
    assert [row["step"] for row in rows(spec, "name") if row["net"] == "cnn"] == [200, 200]  # the line's, a panel
    assert "published" in words(spec) and "published" not in words(plot.curves(CURVES))


def test_rules_stand_in_their_panel_or_in_all_and_their_labels_apart():
    rules = [{"step": 20, "label": "threshold", "data": "shuffled"}, {"step": 190, "label": "n = p"}]
    spec = plot.curves(CURVES, rules=rules)
    places = [(row["data"], row["step"], row["side"], row["label_line"]) for row in rows(spec, "rule")]
    assert places == [
        ("shuffled", 20, "right", 0),
        ("plain", 190, "left", 0),
        ("shuffled", 190, "left", 1),
    ]
    shown = words(spec)  # twice each: the letters, and paper around them
    assert (shown.count("threshold"), shown.count("n = p")) == (2, 4)
    with pytest.raises(ValueError, match="a row without 'label' cannot be drawn"):
        plot.curves(CURVES, rules=[{"step": 3}])


def test_points_columns_and_formats_are_what_was_asked_for():
    plain, dotted = plot.curves(CURVES), plot.curves(CURVES, points=True, columns=1, y_format=".3f")
    assert len(layers(dotted, "point")) == len(layers(plain, "point")) + 1
    assert dotted["columns"] == 1 and "0.600" in words(dotted)
    with pytest.raises(ValueError, match="columns = 0"):
        plot.curves(CURVES, columns=0)


def test_an_unknown_interval_draws_no_band():
    bare = [{name: row[name] for name in ("net", "data", "step", "mean")} for row in CURVES]
    assert all(row["low"] is None and row["high"] is None for row in rows(plot.curves(bare), "line"))
    mixed = [*CURVES[:3], *({**row, "high": None} for row in CURVES[3:])]
    assert [len(areas(plot.curves(drawn))) for drawn in (CURVES, mixed, bare)] == [6, 1, 0]


def test_an_interval_that_reaches_zero_is_drawn_to_the_bottom_of_a_logarithmic_axis():
    spec = plot.curves(SWEEP[:4], x="width", percent=False, log_x=True, log_y=True)
    (corners,) = areas(spec)
    assert len(corners) == 6  # three widths with an interval, there and back
    ends = sorted((x, y) for x, y in corners)
    assert [max(y for x, y in ends if x == place) for place in (ends[2][0], ends[4][0])] == [280, 280]
    assert all(0 < y < 280 for x, y in ends if x == 0)


def test_numbers_of_numpy_are_numbers():
    spec = plot.curves([{"net": "cnn", "data": "d", "step": np.int64(3), "mean": np.float32(0.5)}])
    (row,) = rows(spec, "line")
    assert (type(row["step"]), type(row["mean"]), row["mean"]) == (int, float, 0.5)


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_logarithmic_axis_has_no_place_for_zero(name):
    zero = {"net": "cnn", "data": "d", "step": 0, "mean": 0.0}
    with pytest.raises(ValueError, match=r"(step|mean) = 0 has no place on a logarithmic axis"):
        plot.curves([zero], log_x=name == "x", log_y=name == "y")
    with pytest.raises(ValueError, match="step = -1 has no place"):
        plot.curves([{**zero, "step": 1}], log_x=True, rules=[{"step": -1, "label": "nowhere"}])


def test_rows_that_cannot_be_drawn_are_named():
    row = {"net": "cnn", "data": "plain", "step": 0}
    with pytest.raises(ValueError, match="a row without 'mean' cannot be drawn"):
        plot.curves([row])
    with pytest.raises(ValueError, match="mean = nan cannot be drawn"):
        plot.curves([{**row, "mean": float("nan")}])
    with pytest.raises(ValueError, match="high = inf cannot be drawn"):
        plot.curves([{**row, "mean": 1.0, "high": np.float32("inf")}])
    with pytest.raises(ValueError, match=r"mean = '0\.5' is not a number"):
        plot.curves([{**row, "mean": "0.5"}])
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.curves([])
