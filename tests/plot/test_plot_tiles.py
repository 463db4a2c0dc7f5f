"""A tile for each row, in the order of its numbers, with its value inside; a tile without one is marked."""

import itertools
from typing import Any
from xml.etree import ElementTree

import pytest

from flyroom import plot

GRID = [
    {"rate": rate, "net": net, "value": None if rate == 1.0 and net == "GRU" else 0.1 * i, "data": "Adam"}
    for i, (rate, net) in enumerate(itertools.product((1.0, 0.01, 0.1), ("MLP", "CNN", "GRU")))
]
NAMES: dict[str, Any] = {"x": "rate", "y": "net"}


def drawn(spec) -> Any:
    return ElementTree.fromstring(plot.render(spec, "svg").decode())


def words(spec):
    return ["".join(node.itertext()) for node in drawn(spec).iter("{http://www.w3.org/2000/svg}text")]


def layer(spec, mark):
    return next(part for part in spec["spec"]["layer"] if part["mark"]["type"] == mark)


def test_numbers_rise_along_the_axes_and_words_stand_as_they_came():
    spec = plot.tiles(GRID, **NAMES)
    held = [{name: row[name] for name in ("rate", "net", "value", "data")} for row in spec["data"]["values"]]
    assert held == GRID
    encoding = layer(spec, "rect")["encoding"]
    assert encoding["x"]["sort"] == [0.01, 0.1, 1.0] and encoding["y"]["sort"] == ["MLP", "CNN", "GRU"]
    turned = layer(plot.tiles(GRID, x="net", y="rate"), "rect")["encoding"]
    assert turned["y"]["sort"] == [1.0, 0.1, 0.01]  # an axis starts at the top: numbers rise upwards
    assert encoding["color"]["scale"] == {"scheme": "cividis", "domain": [0.0, 0.8]}


def test_every_value_is_written_and_what_is_missing_is_explained():
    shown = words(plot.tiles(GRID, **NAMES, percent=True, title="What diverges"))
    assert {"0%", "10%", "30%", "80%", "What diverges", "Adam", "diverged"} <= set(shown) and "20%" in shown
    assert "diverged" not in words(plot.tiles(GRID[3:], **NAMES))
    unwritten = words(plot.tiles(GRID, **NAMES, text=False, missing="stopped"))
    third = {"rate": 0.1 + 0.2, "net": "MLP", "value": 1.0, "data": "Adam"}
    assert "0.3" in words(plot.tiles([third], **NAMES)) and "16000" in words(
        plot.tiles([{**third, "rate": 16000}], **NAMES)
    )
    assert "0.10" in words(plot.tiles(GRID, **NAMES)) and "0.10" not in unwritten and "stopped" in unwritten


def test_ink_can_be_read_on_its_tile():
    """The contrast of the number with the tile is 3 to 1 or more at every value (WCAG 2.2, large text)."""
    ramp = [{"x": i, "y": 0, "value": float(i), "data": "d"} for i in range(41)]
    fills = {"rect": [], "text": []}
    for node in drawn(plot.tiles(ramp)).iter():
        if node.get("aria-roledescription") in ("rect mark", "text mark"):
            fills[node.get("aria-roledescription").split()[0]].append(node.get("fill"))

    def luminance(colour):
        if colour.startswith("#"):
            parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        else:
            parts = [int(part) / 255 for part in colour.strip("rgb()").split(",")]
        return sum(
            w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
            for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    assert len(fills["rect"]) == len(fills["text"]) == 41
    for tile, ink in zip(fills["rect"], fills["text"], strict=True):
        low, high = sorted((luminance(tile), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4


def test_logarithmic_tiles_touch_halfway_by_ratio():
    grid = [{"x": x, "y": y, "value": x + y, "data": "d"} for x in (1, 4, 64) for y in (1, 2)]
    spec = plot.tiles(grid, log_x=True)
    edges = {row["x"]: (row["from"], row["to"]) for row in spec["data"]["values"]}
    assert edges[1] == pytest.approx((0.5, 2)) and edges[4] == pytest.approx((2, 16))
    assert edges[64] == pytest.approx((16, 256))
    assert layer(spec, "rect")["encoding"]["x"]["scale"]["type"] == "log"
    assert {"1", "4", "64"} <= set(words(spec)) and b"NaN" not in plot.render(spec, "svg")
    alone = plot.tiles([{"x": 3, "y": 1, "value": 2.0, "data": "d"}], log_x=True)
    assert b"NaN" not in plot.render(alone, "svg")


@pytest.mark.parametrize(("value", "shown"), [(0.5, "0.50"), (0.0123456, "0.0123"), (123.0, "123"), (45678.0, "45.7k")])
def test_numbers_are_short_enough_for_a_tile(value, shown):
    assert shown in words(plot.tiles([{"x": 1, "y": 1, "value": value, "data": "d"}]))


def test_what_cannot_be_drawn_is_refused():
    tile = {"x": 1, "y": 1, "value": 1.0, "data": "d"}
    with pytest.raises(ValueError, match="two rows stand on the tile x = 1, y = 1 of 'd'"):
        plot.tiles([tile, {**tile, "value": 2.0}])
    with pytest.raises(ValueError, match="no row has a value"):
        plot.tiles([{**tile, "value": None}])
    with pytest.raises(ValueError, match="value = nan cannot be drawn: "):
        plot.tiles([{**tile, "value": float("nan")}])
    with pytest.raises(ValueError, match="x = 0 has no place on a logarithmic axis"):
        plot.tiles([{**tile, "x": 0}], log_x=True)
    with pytest.raises(ValueError, match="x = 'wide' is not a number"):
        plot.tiles([{**tile, "x": "wide"}], log_x=True)
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.tiles([])
