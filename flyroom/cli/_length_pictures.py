"""The page and the pictures of a path's images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flyroom import plot, report
from flyroom.cli import _length_rows as rows
from flyroom.cli import _length_tables as tables
from flyroom.measure import paths
from flyroom.measure.trajectory import Ladder, Trajectory
from flyroom.nets.graph import Graph
from flyroom.report.ladder_latex import in_order, ladder_latex

Picture = Mapping[str, Any]


def draw(
    file: Path, net: str, path: str, graph: Graph, way: paths.Path, found: Trajectory, ladder: Ladder | None
) -> None:
    """The page, or the pictures alone: which one the file's suffix says."""
    grid = rows.grid(graph, way, found)
    pictures = _pictures(net, path, found, ladder, grid)
    if file.suffix.lower() != ".html":
        parts = [pictures[name] for name in ("ladder", "layers", "images") if name in pictures]
        if not parts:
            raise ValueError("there is nothing to draw: no length is bounded and no image small enough")
        plot.save(plot.stacked(parts, title=net, subtitle=f"what it makes of {path}"), file)
        return
    told = {"layers": [tables.LAYERS, *tables.layers(found)]}
    if ladder is not None:
        told["ladder"] = _ladder_table(ladder)
    captions = {
        "ladder": "From the length, the line, to each bound, on a logarithmic axis. ≤ bounds from above, ≥ from below.",
        "layers": "The length of the image after each step.",
        "walk": "Move the slider, or the pointer over the first picture. Lines and points of one colour are one step. "
        "Below: the image after each step in the plane of its two principal directions, each scaled to its panel; "
        "colour is t. Everything here is computed in float64 on a grid of t: a preview, not a proof.",
    }
    if grid is not None:
        on, changes = rows.patterns(grid)
        pictures["walk"] = plot.motion(rows.speeds(grid), rows.images(grid, _middles(found)), on, changes if on else ())
    figures = {name: (captions[name], pictures[name]) for name in captions if name in pictures}
    latex = ladder_latex(net, path, found, ladder) if ladder is not None else ""
    report.write(report.trajectory(net, tables.facts(path, found, ladder), figures, told, latex), file)


def _pictures(
    net: str, path: str, found: Trajectory, ladder: Ladder | None, grid: rows.Grid | None
) -> dict[str, Picture]:
    pictures: dict[str, Picture] = {}
    if ladder is not None:
        pictures["ladder"] = _ladder(ladder)
    said = _middles(found)
    known = [
        {"name": name, "low": low, "high": high, "said": said[name]}
        for name, (low, high) in _lengths(found)
        if high < float("inf")
    ]
    if known:
        pictures["layers"] = plot.layer_lengths(known)
    if grid is not None:
        pictures["images"] = plot.images(rows.images(grid, said))
    return pictures


def _lengths(found: Trajectory) -> list[tuple[str, tuple[float, float]]]:
    given = ("input", (found.input_length.low, found.input_length.high))
    return [given, *((layer.name, (layer.length.low, layer.length.high)) for layer in found.layers)]


def _middles(found: Trajectory) -> dict[str, str]:
    """Four digits, for pictures; the tables have all."""
    return {
        name: f"{(low + high) / 2:.4g}" if high < float("inf") else "not bounded"
        for name, (low, high) in _lengths(found)
    }


def _ladder(ladder: Ladder) -> Picture:
    drawn = [
        {
            "name": rung.name,
            "side": rung.side,
            "value": rung.value.high if rung.side == "upper" else rung.value.low,
            "note": rung.condition,
        }
        for rung in in_order(ladder)
        if rung.value.high < float("inf")
    ]
    return plot.ladder(drawn, (ladder.length.low, ladder.length.high))


def _ladder_table(ladder: Ladder) -> list[tuple[str, ...]]:
    """On a page there is room for the proofs, and for each condition beside its bound."""
    shown, conditions = tables.bounds(ladder)
    proofs = {f"{'≤' if rung.side == 'upper' else '≥'} {rung.name}": rung.proof for rung in ladder.rungs}
    body = [
        (name, value, factor, proofs.get(name, ""), conditions[int(number) - 1] if number else "")
        for name, value, factor, number in shown
    ]
    return [("bound", "value", "value / length", "proof", "condition"), *body]
