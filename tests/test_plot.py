"""Specifications hold the rows they were given, in the house style; files are what their suffix says."""

import itertools
import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyroom import plot

CURVES = [
    {"net": net, "data": panel, "step": step, "mean": mean + step / 1e5, "low": mean - 0.01, "high": mean + 0.02}
    for panel in ("plain", "shuffled")
    for net, mean in (("linear", 0.30), ("cnn", 0.90), ("gru", 0.905))
    for step in (0, 100, 200)
]
RUNS = [{"net": "cnn", "data": "plain", "seed": i, "value": 0.9 + i / 100} for i in range(5)]
MEANS = [
    {"net": "cnn", "data": "plain", "value": 0.92, "low": 0.91, "high": 0.93},
    {"net": "knn", "data": "plain", "value": 0.596},
]
PUBLISHED = [{"net": "cnn", "data": "plain", "value": 0.94, "plus_minus": 0.02}]


def rows(spec, part):
    return [row for row in spec["data"]["values"] if row["part"] == part]


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
    moved = plot._apart(places, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(sum(places), abs=1e-9)
    if all(b - a >= 0.1 for a, b in itertools.pairwise(places)):
        assert moved == pytest.approx(places)


def test_finals_show_runs_means_and_published_figures():
    spec = plot.finals(RUNS, MEANS, PUBLISHED)
    assert [row["value"] for row in rows(spec, "one run")] == [row["value"] for row in RUNS]
    (published,) = rows(spec, "published")
    assert (published["low"], published["high"]) == pytest.approx((0.92, 0.96))
    of_cnn, of_knn = rows(spec, "mean, 95 % interval")
    assert (of_cnn["low"], of_cnn["high"]) == (0.91, 0.93) and of_knn["low"] is None
    assert of_knn["lane"] == 0.0  # alone in its line
    lanes = [row["lane"] for row in rows(spec, "one run")]
    assert len(set(lanes)) == 5 and max(lanes) < published["lane"] and min(lanes) > of_cnn["lane"]


def test_a_specification_is_plain_json_with_the_theme():
    for spec in (plot.curves(CURVES), plot.finals(RUNS, MEANS, PUBLISHED)):
        assert json.loads(json.dumps(spec, allow_nan=False)) == spec
        assert spec["config"] == plot.theme()


def test_save_writes_each_form(tmp_path):
    spec = plot.curves(CURVES, title="Learning & <more>")
    for suffix in plot.SUFFIXES:
        assert plot.save(spec, tmp_path / f"figure{suffix}") == tmp_path / f"figure{suffix}"
    svg = ElementTree.fromstring((tmp_path / "figure.svg").read_text())
    words = {"".join(node.itertext()) for node in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Learning & <more>", "plain", "shuffled", "linear", "cnn", "gru", "test accuracy", "100%"} <= words
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "figure.json").read_text()) == spec
    assert len(list(tmp_path.iterdir())) == 4  # nothing half-written stays


def test_dark_differs_from_light():
    spec = plot.finals(RUNS, MEANS)
    light, dark = plot.render(spec, "svg").decode(), plot.render(spec, "svg", dark=True).decode()
    assert plot.LIGHT[0] in light and plot.LIGHT[0] not in dark
    assert plot.DARK[0] in dark and plot.DARK[0] not in light


def contrast(one, other):
    """The contrast ratio of WCAG 2.2 of two colours, each #rrggbb."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_lines_can_be_read(dark):
    theme = plot.theme(dark=dark)
    texts = (theme["axis"]["labelColor"], theme["text"]["color"], theme["title"]["subtitleColor"])
    for colour in (*texts, *theme["range"]["category"]):
        assert contrast(colour, theme["background"]) >= 4.5


def test_bad_suffix_names_the_allowed_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'figure\.jpg' has no suffix .* \.svg, \.pdf, \.png, \.json"):
        plot.save(plot.curves(CURVES), tmp_path / "figure.jpg")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="'gif' is not a form of figure"):
        plot.render(plot.curves(CURVES), "gif")


def test_bad_rows_are_named():
    with pytest.raises(ValueError, match="a row without 'mean' cannot be drawn"):
        plot.curves([{"net": "cnn", "data": "plain", "step": 0}])
    with pytest.raises(ValueError, match="mean = nan cannot be drawn"):
        plot.curves([{"net": "cnn", "data": "plain", "step": 0, "mean": float("nan")}])
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.curves([])
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.finals([], [])


def test_the_bundle_needs_no_network():
    script = plot.bundle()
    assert "window.vegaEmbed=" in script and "</script" not in script
    assert 'from"http' not in script and "import(" not in script


def test_the_module_loads_without_altair():
    check = "import sys, flyroom.report; print({'altair', 'vl_convert', 'jax', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
