"""Under which conditions each rung says anything: what was checked, and how it came out."""

from collections.abc import Mapping

from flyroom.measure.trajectory._chain import Chain
from flyroom.measure.trajectory._records import Interval
from flyroom.measure.trajectory._survey import Survey

ALWAYS = "Holds for every network and path."


def condition(name: str, side: str, value: Interval, surveys: Mapping[str, Survey], linked: Chain | str) -> str:
    """A few sentences: the condition, the check, and for a value of 0 the reason."""
    if side == "upper":
        return _over(name, linked)
    if name.startswith("layers") and isinstance(linked, Chain):
        return _under_layers(name, value, surveys, linked)
    return _under(name, value)


def _over(name: str, linked: Chain | str) -> str:
    tangents = " The path's tangents were shown to lie in T, to rounding that is counted." if "on T" in name else ""
    if name.startswith("layers") and isinstance(linked, Chain):
        return f"For chains of affine steps and activations: here {len(linked.blocks)} affine blocks.{tangents}"
    if name == "slope constants":
        return "For chains whose activations have a bounded slope: all of them do here."
    return f"{ALWAYS}{tangents}"


def _under(name: str, value: Interval) -> str:
    said = f"{ALWAYS} Positive only where J{' on T' if 'on T' in name else ''} keeps every direction apart"
    if value.high == 0:
        return f"{said}: it has more columns than rows, so that some direction is sent to 0 and the value is 0."
    if value.low == 0:
        where = "at one t at least" if name.startswith("inf") else "on most of the path"
        return f"{said}: {where} its smallest singular value could not be told from 0; the bound proved is 0."
    return f"{said}: it does, along the whole path." if name.startswith("inf") else f"{said}, which it does."


def _under_layers(name: str, value: Interval, surveys: Mapping[str, Survey], linked: Chain) -> str:
    said = "Positive only where every block has full column rank (widths that never shrink) and no slope is 0."
    if value.low > 0:
        return f"{said} All blocks were shown to be injective, and every slope to stay away from 0."
    for i, block in enumerate(linked.blocks):
        place = " and ".join(block.places) or "the input"
        on_tangents = i == 0 and "on T" in name
        least = linked.injectivity_on_tangents if on_tangents else block.injectivity
        if least.high == 0 and not on_tangents:
            rows, columns = block.shape
            return f"{said} {place} maps {columns} numbers to {rows}: it sends a direction to 0, the value is 0."
        if least.low == 0:
            return f"{said} {place} could not be shown to be injective; the bound proved is 0."
    survey = surveys.get("T", surveys.get("all"))
    assert survey is not None
    slopes = survey.smallest.min(1, initial=float("inf")).reshape(-1, 2)
    for i, (low, high) in enumerate(slopes.tolist()):
        if high == 0:
            return f"{said} A unit of activation {i + 1} has slope 0 somewhere on the path: the value is 0."
        if low == 0:
            return f"{said} A slope of activation {i + 1} could not be told from 0 on the path; the bound proved is 0."
    return f"{said} The product is too small for float64; the bound proved is 0."
