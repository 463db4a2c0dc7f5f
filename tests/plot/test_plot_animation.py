"""The animation is one SVG without a script: every frame in its time, every point kept, a still one for who asks."""

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from flyroom import plot

SVG = "{http://www.w3.org/2000/svg}"
FRAMES = [
    {"x": [0, 1, 2], "y": [[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]},
    {"x": np.arange(6), "y": np.array([[0.0, 0.5, 1.0, 0.2, 0.1, 0.0]] * 2)},
    {"x": [0, 1, 2, 3, 4], "y": [[0.0, 0.25, 0.5, 0.75, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]]},
    {"x": [0, 5], "y": [[0.0, 0.0], [0.0, 1.0]]},
]
CAPTIONS = ["template", "padded & <scaled>", 'moved "far"', "done"]


def points(path):
    return [tuple(map(float, point.split())) for point in re.findall(r"-?[\d.]+ -?[\d.]+", path)]


def parsed(**changed) -> Any:
    return ElementTree.fromstring(plot.animation(FRAMES, CAPTIONS, **changed))


def part(svg, name) -> Any:
    (found,) = [group for group in svg.iter(f"{SVG}g") if group.get("class") == name]
    return found


def test_every_frame_has_its_outline_its_caption_and_its_time():
    moving = part(parsed(seconds_per_frame=2.0), "moving")
    paths = moving.findall(f"{SVG}path")
    assert len(paths) == 2
    for path in paths:
        (animate,) = path
        outlines, times = animate.get("values").split(";"), [float(t) for t in animate.get("keyTimes").split(";")]
        assert animate.get("dur") == "8s" and outlines[0] == path.get("d")
        assert len(outlines) == len(times) == len(animate.get("keySplines").split(";")) + 1
        assert times == pytest.approx([0, 0.25, 0.35, 0.5, 0.6, 0.75, 0.85, 1])
        assert outlines[1::2] == [outlines[i] for i in (0, 2, 4, 6)] and len(set(outlines)) == 4
        assert outlines[2] == outlines[3] and outlines[6] == outlines[7]  # each stands after it came
        assert {len(points(outline)) for outline in outlines} == {6}
    captions = moving.findall(f"{SVG}g")
    assert ["".join(group.find(f"{SVG}text").itertext()) for group in captions] == [
        f"{i} / 4{caption}" for i, caption in enumerate(CAPTIONS, start=1)
    ]


def test_one_caption_is_seen_at_any_time():
    captions = part(parsed(), "moving").findall(f"{SVG}g")

    def opacity(group, at):
        animate = group.find(f"{SVG}animate")
        times = [float(t) for t in animate.get("keyTimes").split(";")]
        assert times[0] == 0 and times == sorted(times) and animate.get("calcMode") == "discrete"
        values = animate.get("values").split(";")
        return int([v for t, v in zip(times, values, strict=True) if t <= at][-1])

    for at, number in ((0.0, 0), (0.2, 0), (0.25, 1), (0.3, 1), (0.6, 2), (0.75, 3), (0.99, 3)):
        assert [opacity(group, at) for group in captions] == [int(i == number) for i in range(4)]


def test_outlines_keep_every_point_inside_the_picture():
    svg = parsed(width=400, height=200, upright=False)
    for number, path in enumerate(part(svg, "moving").findall(f"{SVG}path")):
        frames = path[0].get("values").split(";")[::2]
        for frame, outline in zip(FRAMES, frames, strict=True):
            found = points(outline)
            assert all(0 <= x <= 400 and 0 <= y <= 200 for x, y in found)
            corners = list(dict.fromkeys(found))
            assert len(corners) == len(frame["x"])  # repeated, never averaged
            xs, ys = np.array(corners).T
            # Straight lines from the data to the picture: along x, and up the paper.
            assert (
                np.ptp((xs - xs[0]) - (np.array(frame["x"]) - frame["x"][0]) * (xs[-1] - xs[0]) / np.ptp(frame["x"]))
                < 0.2
            )
            assert ys == pytest.approx(186 - 120 * np.array(frame["y"][number]), abs=0.06)


def test_upright_signals_run_down_the_paper():
    first = points(part(parsed(), "moving").find(f"{SVG}path").get("d"))
    assert [y for _, y in first] == sorted(y for _, y in first)
    assert first[2][0] > first[0][0]  # a larger value stands further right


def test_it_is_whole_safe_and_still_for_who_asks():
    text = plot.animation(FRAMES, CAPTIONS, title="How <a> digit & its noise are made")
    svg: Any = ElementTree.fromstring(text)
    tags = {node.tag.removeprefix(SVG) for node in svg.iter()}
    assert tags == {"svg", "title", "style", "rect", "text", "tspan", "g", "path", "animate"}
    assert text.count("http") == 1 and "url(" not in text and "href" not in text and "nan" not in text.lower().split()
    assert svg.find(f"{SVG}title").text == svg.get("aria-label") == "How <a> digit & its noise are made"
    still, moving = part(svg, "still"), part(svg, "moving")
    assert [p.get("d") for p in still.findall(f"{SVG}path")] == [
        p[0].get("values").split(";")[-1] for p in moving.findall(f"{SVG}path")
    ]
    assert "".join(still.find(f"{SVG}text").itertext()) == "4 / 4done" and not list(still.iter(f"{SVG}animate"))
    css = svg.find(f"{SVG}style").text
    assert "@media (prefers-reduced-motion:reduce){.moving{display:none}.still{display:inline}}" in css
    light, dark = css.split("@media screen and (prefers-color-scheme:dark)")
    assert plot.theme()["background"] in light and plot.theme(dark=True)["background"] in dark


def test_one_frame_stands_still():
    svg: Any = ElementTree.fromstring(plot.animation(FRAMES[:1], CAPTIONS[:1]))
    assert not list(svg.iter(f"{SVG}animate")) and "1 / 1template" in [
        "".join(t.itertext()) for t in svg.iter(f"{SVG}text")
    ]


@pytest.mark.parametrize(
    ("frames", "captions", "complaint"),
    [
        ([], [], "there is nothing to draw"),
        (FRAMES, CAPTIONS[:2], "4 frames have 2 captions"),
        ([FRAMES[0], {"x": [0, 1], "y": [[0.0, 1.0]]}], ["a", "b"], "frame 1 has 1 signals, frame 0 has 2"),
        ([{"x": [0, 1], "y": []}], ["a"], "frame 0 has 0 signals"),
        ([{"x": [0, 1, 2], "y": [[0.0, 1.0]]}], ["a"], "frame 0 has a signal of 2 values at 3 positions"),
        ([{"x": [0], "y": [[0.0]]}], ["a"], "a signal of 1 values"),
        ([{"x": [0, 1], "y": [[0.0, float("nan")]]}], ["a"], "frame 0 holds a number that is not finite"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frames, captions, complaint):
    with pytest.raises(ValueError, match=complaint):
        plot.animation(frames, captions)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_frame_lasts_some_time(seconds):
    with pytest.raises(ValueError, match="a frame lasts more than no time"):
        plot.animation(FRAMES, CAPTIONS, seconds_per_frame=seconds)
