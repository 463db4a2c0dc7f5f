"""Pieces of [0, 1], and what was found on each: chosen by bisection, evaluated in batches."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from flyroom.measure import paths
from flyroom.measure.enclosure.integral import travelled
from flyroom.measure.enclosure.models import spread
from flyroom.measure.enclosure.rounding import gamma, up
from flyroom.measure.enclosure.sweep import Stage, Start, sweep
from flyroom.nets.graph import Graph

MEMORY = 2e8  # bytes of a batch, roughly
GROUP = 8  # neighbouring pieces that share their Jacobians


class Pieces(NamedTuple):
    """Parts of [0, 1] in order, without gaps between those that belong together."""

    low: Float64[np.ndarray, " piece"]
    high: Float64[np.ndarray, " piece"]


class Found(NamedTuple):
    """For each reported step and piece: bounds of the length, the polynomial's own, and how many parts and cuts."""

    low: Float64[np.ndarray, "step piece"]
    high: Float64[np.ndarray, "step piece"]
    middle: Float64[np.ndarray, "step piece"]
    parts: Int[np.ndarray, "step piece"]
    crossings: Int[np.ndarray, "step piece"]


def halved(knots: Float64[np.ndarray, " knot"], times: int) -> Pieces:
    """Every interval between knots cut into 2^times equal parts; the cuts are binary fractions of the interval."""
    fractions = np.arange(2**times + 1) / 2**times
    edges = [low + (high - low) * fractions for low, high in pairwise(knots)]
    for edge, high in zip(edges, knots[1:], strict=True):
        edge[-1] = high  # whatever rounding says
    return _proper(np.concatenate([edge[:-1] for edge in edges]), np.concatenate([edge[1:] for edge in edges]))


def _proper(low: np.ndarray, high: np.ndarray) -> Pieces:
    """Without those that have no length, where an interval had not so many numbers in it."""
    longer = high > low
    return Pieces(low[longer], high[longer])


def split(pieces: Pieces, times: Int[np.ndarray, " piece"]) -> Pieces:
    """Each piece cut into 2^times parts; a piece too short for that into fewer."""
    parts = [halved(np.array(pair), int(n)) for *pair, n in zip(*pieces, times, strict=True)]
    low, high = (np.concatenate([part[i] for part in parts]) for i in range(2))
    return _proper(low, high)


def groups(pieces: Pieces, size: int) -> Int[np.ndarray, " piece"]:
    """Numbers for runs of at most `size` pieces that follow one another."""
    begins = np.ones(len(pieces.low), bool)
    begins[1:] = pieces.low[1:] != pieces.high[:-1]
    run = np.cumsum(begins) - 1
    place = np.arange(len(run)) - np.flatnonzero(begins)[run]
    return np.cumsum(begins | (place % size == 0)) - 1


def evaluated(
    graph: Graph,
    path: paths.Path,
    pieces: Pieces,
    order: int,
    steps: Sequence[int],
    *,
    tracked: bool = True,
    group: int = GROUP,
) -> Found:
    """The lengths of the reported steps on every piece, batch by batch; `tracked` errors are sharper and dearer."""
    batch = _batch(graph, order, tracked)
    found = [
        _evaluated(
            graph, path, Pieces(pieces.low[i : i + batch], pieces.high[i : i + batch]), order, steps, tracked, group
        )
        for i in range(0, len(pieces.low), batch)
    ]
    return Found(*(np.concatenate(parts, -1) for parts in zip(*found, strict=True)))


def _batch(graph: Graph, order: int, tracked: bool) -> int:
    """Pieces at a time."""
    numbers, sources, largest = 0, 0, 0
    for node in graph.nodes:
        size = int(np.prod(node.shape))
        sources += size if tracked and node.op in ("activation", "elementwise", "prelu") else 0
        numbers = max(numbers, size * (10 * (order + 1)) + 2 * size * sources // GROUP)
        largest = max(largest, sources)
    return max(GROUP, int(MEMORY / 8 / (numbers + 2 * largest)) // GROUP * GROUP)


def start(path: paths.Path, pieces: Pieces, order: int, shape: tuple[int, ...]) -> Start:
    """The path's own Taylor model on the pieces, in the shape of an example."""
    taylor = paths.taylor(path, pieces.low, pieces.high, order)
    coefficients = np.ascontiguousarray(np.moveaxis(taylor.coefficients, 0, 1))
    return Start(
        coefficients.reshape(*shape, *coefficients.shape[1:]),
        taylor.value_errors.reshape(*shape, -1),
        taylor.rate_errors.reshape(*shape, -1),
    )


def _evaluated(
    graph: Graph, path: paths.Path, pieces: Pieces, order: int, steps: Sequence[int], tracked: bool, group: int
) -> Found:
    begin = start(path, pieces, order, graph.nodes[0].shape)
    count = len(pieces.low)
    rows = []
    with np.errstate(all="ignore"):  # what is infinite or undefined proves nothing, and is said so in `_lengths`
        for stage in sweep(graph, begin, groups(pieces, group), tracked=tracked):
            if stage.index not in steps:
                continue
            low, high, middle = _lengths(stage)
            row = [np.zeros(count) for _ in range(4)]
            for total, part in zip(row, (low, high, middle, np.ones(len(low))), strict=True):
                np.add.at(total, stage.origin, part)
            rows.append((*row, stage.cuts))
    low, high, middle, parts, cuts = (np.stack(each) for each in zip(*rows, strict=True))
    lost = gamma(int(parts.max(initial=0)) + 1)
    return Found(low * (1 - lost), high * (1 + lost), middle, parts.astype(int), cuts)


def _lengths(stage: Stage) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    coefficients = stage.model.coefficients
    curve = coefficients.reshape(-1, *coefficients.shape[-2:])
    off = spread(stage.model, stage.sources)[1].reshape(len(curve), -1)
    error = up(np.sqrt(up((off * off).sum(0) * (1 + gamma(len(curve))))))
    low, high = travelled(curve, error)
    apart = up(2 * up(error))
    below, above, middle = np.maximum(low - apart, 0), up(high + apart), (low + high) / 2
    proved = np.isfinite(above)  # not where a function left its domain (1/x at 0), until the piece is cut
    return np.where(proved, below, 0), np.where(proved, above, np.inf), np.where(np.isfinite(middle), middle, 0)
