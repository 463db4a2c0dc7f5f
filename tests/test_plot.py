"""The house style of every figure, and the files that figures become; each kind has tests of its own in plot/."""

import itertools
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

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


def seen_by(colours, matrix):
    """OKLab (Ottosson 2020) of colours, #rrggbb, after a matrix on linear sRGB."""
    parts = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ np.array(matrix).T
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(np.clip(linear, 0, 1) @ cones.T) @ lab.T


# Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, table 1: severity 1.
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("eyes", EYES)
def test_ten_colours_are_told_apart(dark, eyes):
    theme = plot.theme(dark=dark)
    ten = theme["range"]["ordinal"]
    assert len(ten) == 10
    assert all(contrast(colour, theme["background"]) >= 3 for colour in ten)
    seen = seen_by(ten, EYES[eyes])
    assert all(np.linalg.norm(one - other) >= 0.09 for one, other in itertools.combinations(seen, 2))


def test_bad_suffix_names_the_allowed_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'figure\.jpg' has no suffix .* \.svg, \.pdf, \.png, \.json"):
        plot.save(plot.curves(CURVES), tmp_path / "figure.jpg")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="'gif' is not a form of figure"):
        plot.render(plot.curves(CURVES), "gif")


def test_the_bundle_needs_no_network():
    script = plot.bundle()
    assert "window.vegaEmbed=" in script and "</script" not in script
    assert 'from"http' not in script and "import(" not in script


def test_the_module_loads_without_altair():
    check = "import sys, flyroom.report; print({'altair', 'vl_convert', 'jax', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_a_figure_fetches_nothing(form):
    spec = {**plot.finals([{"net": "a", "data": "b", "value": 1.0, "seed": 0}], [])}
    spec["data"] = {"url": "http://127.0.0.1:9/leak.json"}
    with pytest.raises(ValueError, match=r"(?i)allowed|denied|not permitted|url"):
        plot.render(spec, form)
