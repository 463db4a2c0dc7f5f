"""Signals that change from stage to stage: an SVG that moves by itself, without a script and without Altair."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from flyroom.plot._style import FONT, theme

Frame = Mapping[str, Any]

MORPH = 0.4  # of a frame's time goes into becoming it; the rest is for looking
TOP, FOOT, SIDE, GAP = 66, 14, 16, 12  # units of the picture: above, below and beside the signals, and between them


def animation(
    frames: Sequence[Frame],
    captions: Sequence[str],
    *,
    seconds_per_frame: float = 1.5,
    width: int = 640,
    height: int = 240,
    title: str = "",
    upright: bool = True,
) -> str:
    """An animated SVG: signals side by side that turn from one frame into the next, with a caption each.

    A frame is `{"x": [position, ...], "y": [[value, ...], ...]}`: one list of values a signal, as long as x, in the
    order of x. Every frame has the same number of signals; how many points they have may change, and each signal is
    drawn exactly, its points never averaged. All frames and signals share their scales. Upright signals run from
    the top down (see `signals`).

    The picture needs no network. It is light or dark as the reader's screen is; a reader who asked for less motion,
    and a printer, get the last frame, still, with its caption. `seconds_per_frame` is in seconds, `width` and
    `height` in pixels. Raises ValueError for frames that do not fit each other and for numbers that are not finite.
    """
    _check(frames, captions, seconds_per_frame)
    drawn = _outlines(frames, width, height, upright=upright)
    total = f"{seconds_per_frame * len(frames):g}s"
    moving = "".join(
        f'<path d="{outline[0]}">{_morph(outline, total)}</path>' for outline in zip(*drawn, strict=True)
    ) + "".join(_caption(caption, i, len(captions), total) for i, caption in enumerate(captions))
    still = "".join(f'<path d="{outline}"/>' for outline in drawn[-1]) + _words(
        captions[-1], len(captions) - 1, captions
    )
    name = escape(title or captions[-1])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{name}">\n<title>{name}</title>\n<style>{_css()}</style>\n'
        f'<rect class="paper" width="{width}" height="{height}"/>\n'
        f'<text class="title" x="{SIDE}" y="28">{escape(title)}</text>\n'
        f'<g class="moving">{moving}</g>\n<g class="still">{still}</g>\n</svg>\n'
    )


def _check(frames: Sequence[Frame], captions: Sequence[str], seconds: float) -> None:
    if not frames:
        raise ValueError("there is nothing to draw: the animation was given no frames")
    if len(captions) != len(frames):
        raise ValueError(f"{len(frames)} frames have {len(captions)} captions: every frame has one")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"seconds_per_frame = {seconds}: a frame lasts more than no time")
    signals = len(frames[0]["y"])
    for number, frame in enumerate(frames):
        if len(frame["y"]) != signals or not signals:
            raise ValueError(
                f"frame {number} has {len(frame['y'])} signals, frame 0 has {signals}: one or more, always as many"
            )
        for values in frame["y"]:
            if len(values) != len(frame["x"]) or len(values) < 2:
                raise ValueError(
                    f"frame {number} has a signal of {len(values)} values at {len(frame['x'])} positions: "
                    "give one value a position, and two or more"
                )
        if not all(math.isfinite(entry) for entries in (frame["x"], *frame["y"]) for entry in entries):
            raise ValueError(f"frame {number} holds a number that is not finite, which cannot be drawn")


def _outlines(frames: Sequence[Frame], width: int, height: int, *, upright: bool) -> list[list[str]]:
    """The path of every signal in every frame, all with as many points, so that one can turn into another."""
    points = max(len(frame["x"]) for frame in frames)
    signals = len(frames[0]["y"])
    cell = (width - 2 * SIDE - GAP * (signals - 1)) / signals
    along = _limits([float(entry) for frame in frames for entry in frame["x"]])
    across = _limits([float(entry) for frame in frames for values in frame["y"] for entry in values])

    def outline(frame: Frame, number: int) -> str:
        left = SIDE + number * (cell + GAP)
        last = len(frame["x"]) - 1
        corners = []
        for i in range(points):
            at = round(i * last / (points - 1))  # repeated points leave the line as it is
            p = (frame["x"][at] - along[0]) / (along[1] - along[0])
            v = (frame["y"][number][at] - across[0]) / (across[1] - across[0])
            h, down = (v, p) if upright else (p, 1 - v)
            corners.append(f"{left + h * cell:.1f} {TOP + down * (height - TOP - FOOT):.1f}")
        return f"M{corners[0]}L{' '.join(corners[1:])}"

    return [[outline(frame, number) for number in range(signals)] for frame in frames]


def _limits(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _morph(outlines: Sequence[str], total: str) -> str:
    """Each frame becomes itself in the first part of its time, and then stands; the first stands from the start."""
    if len(outlines) < 2:
        return ""
    count = len(outlines)
    values, times = [outlines[0]], ["0"]
    for i, (before, after) in enumerate(pairwise(outlines), start=1):
        values += [before, after]
        times += [f"{i / count:.4f}", f"{(i + MORPH) / count:.4f}"]
    ease = ";".join(["0 0 1 1", *[".4 0 .2 1", "0 0 1 1"] * (count - 1)])
    return (
        f'<animate attributeName="d" dur="{total}" repeatCount="indefinite" calcMode="spline" '
        f'keyTimes="{";".join([*times, "1"])}" keySplines="{ease}" values="{";".join([*values, outlines[-1]])}"/>'
    )


def _caption(caption: str, number: int, count: int, total: str) -> str:
    if count == 1:
        return _words(caption, number, [caption])
    on = [(0.0, int(number == 0)), *([(number / count, 1)] if number else []), ((number + 1) / count, 0)]
    on = [(at, shown) for at, shown in on if at < 1]
    times, values = ";".join(f"{at:.4f}" for at, _ in on), ";".join(str(shown) for _, shown in on)
    fade = (
        f'<animate attributeName="opacity" dur="{total}" repeatCount="indefinite" calcMode="discrete" '
        f'keyTimes="{times}" values="{values}"/>'
    )
    return f'<g opacity="{int(number == 0)}">{_words(caption, number, [""] * count)}{fade}</g>'


def _words(caption: str, number: int, captions: Sequence[str]) -> str:
    return (
        f'<text class="caption" x="{SIDE}" y="50"><tspan class="count">{number + 1} / {len(captions)}</tspan>'
        f'<tspan dx="8">{escape(caption)}</tspan></text>'
    )


def _css() -> str:
    """Light first; dark where the screen is; still where less motion was asked for, and on paper."""
    light, dark = _colours(dark=False), _colours(dark=True)
    return (
        f"{light}"
        f"text{{font-family:{FONT};font-size:13px}}.title{{font-size:15px;font-weight:bold}}"
        "path{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.still{display:none}"
        f"@media screen and (prefers-color-scheme:dark){{{dark}}}"
        "@media (prefers-reduced-motion:reduce){.moving{display:none}.still{display:inline}}"
        "@media print{.moving{display:none}.still{display:inline}}"
    )


def _colours(*, dark: bool) -> str:
    house = theme(dark=dark)
    ink, quiet = house["title"]["color"], house["title"]["subtitleColor"]
    return (
        f".paper{{fill:{house['background']}}}.title,.caption{{fill:{ink}}}.count{{fill:{quiet}}}"
        f"path{{stroke:{house['range']['category'][0]}}}"
    )
