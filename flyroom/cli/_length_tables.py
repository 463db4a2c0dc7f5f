"""What is said of the lengths of a path's images: rows for the terminal and the page, JSON, sentences."""

from typing import Any

from flyroom import report
from flyroom.measure.trajectory import Interval, Ladder, LayerLength, Trajectory, growth
from flyroom.records import Evidence
from flyroom.report.ladder_latex import in_order, looseness

LAYERS = ("layer", "step", "length", "growth", "pieces", "crossings")
LADDER = ("bound", "value", "value / length", "condition")
NOTATION = (
    "J is the Jacobian along the path, T a space that holds the path's tangents; layers: the product of the layers' "
    "norms and largest slopes (under the length: smallest stretches and slopes), taken at one t (together) or each for "
    "itself (apart)."
)


def contract(net: str, path: str, found: Trajectory, ladder: Ladder | None, left_out: str) -> dict[str, Any]:
    """What `length --json` promises: keys may be added, never renamed."""
    rungs = in_order(ladder) if ladder else []
    return {
        "net": net,
        "path": path,
        "input_length": [found.input_length.low, found.input_length.high],
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "length": list(layer.length),
                "growth": list(grown),
                "evidence": layer.evidence.name,
                "pieces": layer.pieces,
                "crossings": layer.crossings,
            }
            for layer, grown in zip(found.layers, growth(found), strict=True)
        ],
        "ladder": [
            {
                "name": rung.name,
                "side": rung.side,
                "value": list(rung.value),
                "evidence": rung.evidence.name,
                "condition": rung.condition,
                "factor": looseness(rung, ladder) if ladder else None,
                "statement": rung.statement,
                "proof": rung.proof,
            }
            for rung in rungs
        ],
        "left_out": list(ladder.left_out) if ladder else [left_out] if left_out else [],
        "rel_tol": found.rel_tol,
        "reached": found.reached,
        "ladder_reached": ladder.reached if ladder else None,
        "rule": found.rule,
        "order": found.order,
        "pieces": found.pieces,
        "assumes": found.assumes,
        "cpu_s": found.cpu_s + (ladder.cpu_s if ladder else 0.0),
    }


def layers(found: Trajectory) -> list[tuple[str, ...]]:
    """A row for the input and one for each step; growth is over the row before."""
    rows = [("input", "path", report.certain(found.input_length.low, found.input_length.high), "", "", "")]
    for layer, grown in zip(found.layers, growth(found), strict=True):
        rows.append(
            (
                layer.name,
                layer.op,
                report.certain(*layer.length),
                _four(grown),
                f"{layer.pieces:,}",
                f"{layer.crossings:,}" if layer.crossings else "",
            )
        )
    return rows


def _four(value: Interval) -> str:
    """Four digits where as many are certain."""
    low, high = value
    return f"{(low + high) / 2:.4g}" if high - low <= 1e-4 * low else report.certain(low, high)


def bounds(ladder: Ladder) -> tuple[list[tuple[str, ...]], list[str]]:
    """A row for each bound, with the length between the upper and the lower ones, and the conditions it points to.

    Most conditions are those of several bounds: each is said once, and has a number.
    """
    rows, conditions = [], []
    rungs = in_order(ladder)
    uppers = sum(rung.side == "upper" for rung in rungs)
    for rung in rungs:
        if rung.condition not in conditions:
            conditions.append(rung.condition)
        factor = looseness(rung, ladder)
        sign = "\u2264" if rung.side == "upper" else "\u2265"
        told = f"{factor:.4g}" if factor is not None else "\u2014"
        rows.append(
            (f"{sign} {rung.name}", report.certain(*rung.value), told, str(conditions.index(rung.condition) + 1))
        )
    rows.insert(uppers, ("= the length", report.certain(*ladder.length), "1", ""))
    return rows, conditions


def verdict(found: Trajectory) -> str:
    """What is certain, in one sentence."""
    kind = min((layer.evidence for layer in found.layers), default=Evidence.certified)
    if kind < Evidence.certified:
        return f"Estimated, not certified. {found.assumes}"
    return f"Certified: every interval above holds its true value, rounding included. {found.assumes}"


def missed(found: Trajectory, ladder: Ladder | None, seconds: float) -> list[str]:
    """A sentence for each thing that was asked for and not reached."""
    said = []
    wide = [layer.name for layer in found.layers if _width(layer) > found.rel_tol]
    if not found.reached:
        names = f"{', '.join(wide[:6])}{' and others' if len(wide) > 6 else ''}"
        said.append(
            f"Not as sharp as asked: after {found.pieces:,} pieces and {found.cpu_s:.0f} s of processor time the "
            f"lengths of {names} are not known to {found.rel_tol:g} of themselves. The intervals hold all the same; "
            f"more --seconds than {seconds:g} may narrow them."
        )
    if ladder and not ladder.reached:
        said.append(
            f"Not every bound is as sharp as asked ({ladder.rel_tol:g}): where its interval is wide, its upper end "
            "bounds from above and its lower end from below all the same."
        )
    return said


def facts(path: str, found: Trajectory, ladder: Ladder | None) -> dict[str, str]:
    """What the page says at its head."""
    last = found.layers[-1]
    before, (low, high) = found.input_length, last.length
    pieces = f"{found.rule}, {last.pieces:,} pieces"
    return {
        "Path": path,
        "Length of the path": report.certain(found.input_length.low, found.input_length.high),
        "Length of its image": f"{report.certain(*last.length)} ({last.evidence.name})",
        "Growth": f"{_four(Interval(low / before.high, high / before.low))} times the path's length",
        "Found by": pieces + (f" of order {found.order}" if found.rule == "Taylor models" else ""),
        "Processor time": f"{found.cpu_s + (ladder.cpu_s if ladder else 0.0):.2g} s",
        "What is certain": verdict(found),
    }


def _width(layer: LayerLength) -> float:
    low, high = layer.length
    return (high - low) / low if low > 0 else float(high > 0)
