"""The figures of `feature-hierarchy`, from stored results."""

from collections.abc import Mapping, Sequence

import numpy as np

from flyroom import plot, stats
from flyroom.claims.statements import bounds
from flyroom.records import Json, Result

CURVES = {
    "information": ("What a unit tells of the class, layer by layer", "bits"),
    "tolerance": ("How alike a unit answers when the input is moved, layer by layer", "correlation"),
}
STATES = {"": "trained", "_first": "first weights"}


def drawn(
    results: Mapping[str, Sequence[Result]],
    labels: Mapping[str, str],
    sizes: Mapping[str, Sequence[int]],
    shown: int,
    said: str,
) -> dict[str, Json]:
    """Every figure by its caption. `results` are those of data in order by kind of data, by seed; `sizes` are the
    receptive fields of the layers.
    """
    found: dict[str, Json] = {}
    for what, (caption, unit) in CURVES.items():
        rows = [
            {
                "net": name,
                "data": labels[data],
                "layer": layer,
                **_mean([one.curves[what + end][layer] for one in some]),
            }
            for data, some in results.items()
            for end, name in STATES.items()
            for layer in range(len(some[0].curves["layer"]))
        ]
        found[caption] = plot.curves(
            rows, x="layer", x_title="layer (0 is the input)", y_title=unit, percent=False, points=True,
            title=caption.split(",")[0], subtitle=said,
        )  # fmt: skip
    for data, some in results.items():
        first = next((one for one in some if one.run.seed == 0), None)
        if first is not None:
            found |= _pictures(first, data, labels[data], sizes[data], shown)
    return found


def _mean(values: Sequence[float]) -> dict[str, Json]:
    found = stats.mean_interval(values)
    return {"mean": found.value, **bounds(found)}


def _pictures(first: Result, data: str, label: str, sizes: Sequence[int], shown: int) -> dict[str, Json]:
    """The first-layer filters of one network before and after training; the mean strongest stimuli of its units."""
    axes = 1 if data == "signals" else 2
    kernel = (sizes[0],) * axes
    filters = {state: np.reshape(first.curves["filters" + end], (-1, *kernel)) for end, state in STATES.items()}
    stimuli = [
        np.reshape(first.curves[f"stimuli_{layer}"], (shown, *(size,) * axes)) for layer, size in enumerate(sizes, 1)
    ]
    names = (
        f"Filters of the first layer, {label}, first network",
        f"What units answer to most, {label}, first network: mean of the ten strongest stimuli",
    )
    if axes == 1:
        rows = [
            {"panel": str(number), "state": state, "position": place, "value": float(value)}
            for state, some in filters.items()
            for number, one in enumerate(some, 1)
            for place, value in enumerate(one)
        ]
        answers = [
            {"panel": f"layer {layer} unit {number}", "position": place - len(one) // 2, "value": float(value)}
            for layer, some in enumerate(stimuli, 1)
            for number, one in enumerate(some, 1)
            for place, value in enumerate(one)
        ]
        return {
            names[0]: plot.signals(rows, panel="panel", group="state", upright=False, columns=5, title=names[0]),
            names[1]: plot.signals(answers, panel="panel", upright=False, columns=shown, title=names[1]),
        }
    pixels = [
        {"panel": f"{number}, {state}", **pixel}
        for number in range(1, shown + 1)
        for state in STATES.values()
        for pixel in _pixels(filters[state][number - 1])
    ]
    seen = [
        {"panel": f"layer {layer}, {number}", **pixel}
        for layer, some in enumerate(stimuli, 1)
        for number, one in enumerate(some, 1)
        for pixel in _pixels(one)
    ]
    return {
        names[0]: plot.tiles(pixels, panel="panel", text=False, columns=4, value_title="weight", title=names[0]),
        names[1]: plot.tiles(seen, panel="panel", text=False, columns=shown // 2, value_title="pixel", title=names[1]),
    }


def _pixels(image: np.ndarray) -> list[dict[str, Json]]:
    """Rows of tiles, the middle at 0; y rises upwards there, and rows of an image go down."""
    rows, columns = image.shape
    return [
        {"x": column - columns // 2, "y": rows // 2 - row, "value": float(image[row, column])}
        for row in range(rows)
        for column in range(columns)
    ]
