"""Receptive fields as figures: bars along each axis, frames on an image, nothing outside the input."""

from typing import Any
from xml.etree import ElementTree

import pytest

from flyroom import plot

SIGNAL = [
    {"layer": name, "axis": 0, "first": first, "last": last, "note": "conv"}
    for name, first, last in (("one", 18, 22), ("two", 16, 24), ("dense", 0, 39))
]
IMAGE = [
    {"layer": name, "axis": axis, "first": first, "last": last, "note": "conv"}
    for name, first, last in (("one", 3, 5), ("two", 2, 6), ("again", 2, 6))
    for axis in (0, 1)
]


def words(spec) -> set[str]:
    svg: Any = ElementTree.fromstring(plot.render(spec, "svg").decode())
    return {"".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")}


def test_a_signal_has_a_bar_a_layer():
    spec = plot.fields(SIGNAL, (40,), title="a network")
    assert {"one", "two", "dense", "position", "a network"} <= words(spec)
    bars = spec["data"]["values"]
    assert [(row["first"], row["end"]) for row in bars] == [(18, 23), (16, 25), (0, 40)]  # the last place is seen whole
    assert spec["encoding"]["x"]["scale"]["domain"] == [0, 40]


def test_an_image_has_frames_and_no_frame_twice():
    spec = plot.fields(IMAGE, (9, 9))
    rows, columns, frames = spec["hconcat"]
    assert len(rows["data"]["values"]) == len(columns["data"]["values"]) == 3
    assert [frame["layer"] for frame in frames["data"]["values"]] == ["one", "two"]
    assert frames["encoding"]["y"]["scale"]["reverse"] is True  # rows are counted from the top
    assert {"row", "column"} <= words(spec)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"one cannot see 18 to 22 of an input of shape \(20,\)"):
        plot.fields(SIGNAL, (20,))
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.fields([], (40,))
