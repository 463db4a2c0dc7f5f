"""A tiny panel for each signal; the points are joined in the order of their positions."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from flyroom import plot

ROWS = [
    {"position": p, "value": (p * (digit + 1)) % 5 / 5, "digit": digit, "kind": kind}
    for digit in range(9, -1, -1)
    for kind in ("clean", "noisy")
    for p in range(4)
]


def paths(spec):
    svg: Any = ElementTree.fromstring(plot.render(spec, "svg").decode())
    lines = [node for node in svg.iter() if node.get("aria-roledescription") == "line mark"]
    return [[tuple(map(float, point.split(","))) for point in re.split("[ML]", line.get("d"))[1:]] for line in lines]


def words(spec):
    svg: Any = ElementTree.fromstring(plot.render(spec, "svg").decode())
    return ["".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_a_panel_a_signal_in_the_order_of_appearance_and_no_axes():
    spec = plot.signals([row for row in ROWS if row["kind"] == "clean"], title="Digits")
    assert spec["facet"]["sort"] == list(range(9, -1, -1)) and spec["columns"] == 10
    assert words(spec) == [*map(str, range(9, -1, -1)), "Digits"]
    assert all(set(row) == {"position", "value", "digit"} for row in spec["data"]["values"])
    assert len(paths(spec)) == 10


@pytest.mark.parametrize("upright", [True, False])
def test_upright_signals_run_down_and_others_across(upright):
    points = [(0, 0.0), (1, 1.0), (2, 0.5)]
    rows = [{"position": p, "value": v, "digit": 0} for p, v in reversed(points)]
    (path,) = paths(plot.signals(rows, upright=upright))
    along, aside = ([y for _, y in path], [x for x, _ in path]) if upright else zip(*path, strict=True)
    assert sorted(along) == list(along)  # joined in the order of position, however the rows came
    middle = (aside[2] - aside[0]) / (aside[1] - aside[0])
    assert middle == pytest.approx(0.5)
    assert (aside[1] > aside[0]) == upright  # to the right, and on paper "up" is towards zero


def test_groups_lie_over_each_other_with_a_legend():
    spec = plot.signals(ROWS, group="kind", columns=5)
    assert len(paths(spec)) == 20 and spec["columns"] == 5
    assert {"clean", "noisy"} <= set(words(spec))


def test_long_names_are_broken_between_words():
    rows = [{**row, "digit": f"correlated noise {row['digit']}"} for row in ROWS[:8]]
    spec = plot.signals(rows, group="kind", upright=False)
    assert "correlatednoise9" in words(spec)  # three lines of one text


def test_the_colour_is_the_theme_s():
    spec = plot.signals([row for row in ROWS if row["kind"] == "clean"])
    assert plot.LIGHT[0].encode() in plot.render(spec, "svg")
    assert plot.DARK[0].encode() in plot.render(spec, "svg", dark=True)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.signals([])
    with pytest.raises(ValueError, match="value = nan cannot be drawn"):
        plot.signals([{**ROWS[0], "value": float("nan")}])
    with pytest.raises(ValueError, match="a row without 'kind'"):
        plot.signals([{name: ROWS[0][name] for name in ("position", "value", "digit")}], group="kind")
