"""Between which values a network's outputs stay along a path: certified from both sides."""

from collections import deque
from dataclasses import dataclass
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from flyroom.measure import paths
from flyroom.measure.enclosure.models import spread
from flyroom.measure.enclosure.rounding import gamma, up
from flyroom.measure.enclosure.sweep import Stage, check, sweep
from flyroom.measure.trajectory._leaves import GROUP, Pieces, groups, halved, split, start
from flyroom.measure.trajectory._length import ASSUMES, BATCH, DEEP, FIRST, SMALLEST, plan
from flyroom.measure.trajectory._network import opened
from flyroom.measure.trajectory._records import Interval
from flyroom.measure.trajectory._threads import threads_for
from flyroom.nets.graph import Graph


class Extent(NamedTuple):
    """The least and the greatest value of one output along a path, each between two numbers."""

    least: Interval
    greatest: Interval


@dataclass(frozen=True)
class Extents:
    """One `Extent` for each output, in order. `reached` is False where pieces or seconds ran out; all holds the same.

    `assumes` says in a sentence what the proof rests on, and of which function it is.
    """

    outputs: tuple[Extent, ...]
    rel_tol: float
    reached: bool
    pieces: int
    cpu_s: float
    assumes: str


class _Found(NamedTuple):
    """On each piece: what no value lies below and above, and the least and greatest that were shown to be reached."""

    below: Float64[np.ndarray, "output piece"]
    above: Float64[np.ndarray, "output piece"]
    least: Float64[np.ndarray, "output piece"]  # the true least is at most this
    greatest: Float64[np.ndarray, "output piece"]  # the true greatest is at least this


def value_range(
    net: Any,
    path: paths.Path,
    *,
    rel_tol: float = 1e-6,
    abs_tol: float = 1e-12,
    seconds: float = 60.0,
    max_pieces: int = 100_000,
) -> Extents:
    """Certified least and greatest values of a network's outputs along a path.

    Each is enclosed to `rel_tol` of that output's largest absolute value, or to `abs_tol` where that is more, if pieces
    and seconds of processor time allow it. With f(x) - g(x) as the network this is the largest difference of two
    functions, proved; the largest difference at sampled points is at most that.

    Raises Unread (a ValueError) for a step without a rule, by name and place; ValueError for a path that is a callable,
    or of another shape than the network's, for a relative tolerance that is not between 0 and 1, and for an absolute
    one below 0.

    >>> import jax.numpy as jnp
    >>> found = value_range(lambda x: jnp.square(x), paths.line([-0.5], [1.0]))
    >>> least, greatest = found.outputs[0]
    >>> least.low <= 0.0 <= least.high, greatest.low <= 1.0 <= greatest.high, found.reached
    (True, True, True)
    """
    if not 0 < rel_tol < 1:
        raise ValueError(f"rel_tol {rel_tol}: the relative width that is asked for lies between 0 and 1, such as 1e-6")
    if not abs_tol >= 0:
        raise ValueError(f"abs_tol {abs_tol}: the width that is always narrow enough is 0 or more, such as 1e-12")
    if isinstance(path, paths.Curve):
        raise ValueError("a callable proves nothing between its values; give a line, an arc, a spline or a Bezier path")
    begun = process_time()
    graph = opened(net, path.shape)
    check(graph)
    _, order, first = plan(graph, path)
    order = max(order, 2)
    with threads_for(graph):
        pieces = halved(paths.knots(path), max(first, FIRST))
        found = _evaluated(graph, path, pieces, order)
        while True:
            again = _open(found, rel_tol, abs_tol) & (pieces.high - pieces.low > SMALLEST)
            spent = process_time() - begun > seconds or len(pieces.low) + 3 * again.sum() > max_pieces
            if spent or not again.any():
                break
            parts = split(Pieces(pieces.low[again], pieces.high[again]), np.full(int(again.sum()), 2))
            new = _evaluated(graph, path, parts, order)
            pieces = Pieces(*(np.concatenate([old[~again], more]) for old, more in zip(pieces, parts, strict=True)))
            # What was shown to be reached stays reached, by whatever piece it is remembered.
            new = new._replace(
                least=np.minimum(new.least, found.least.min(1, keepdims=True)),
                greatest=np.maximum(new.greatest, found.greatest.max(1, keepdims=True)),
            )
            found = _Found(*(np.concatenate([old[:, ~again], more], 1) for old, more in zip(found, new, strict=True)))
    ends = zip(found.below.min(1), found.least.min(1), found.greatest.max(1), found.above.max(1), strict=True)
    extents = tuple(
        Extent(Interval(float(a), float(b)), Interval(float(c), float(d))) for a, b, c, d in ends
    )  # fmt: skip
    reached = not _open(found, rel_tol, abs_tol).any()
    return Extents(extents, rel_tol, reached, len(pieces.low), process_time() - begun, ASSUMES)


def _open(found: _Found, rel_tol: float, abs_tol: float) -> np.ndarray:
    """Which pieces keep an output's extent from being as sharp as asked."""
    least, greatest = found.least.min(1, keepdims=True), found.greatest.max(1, keepdims=True)
    allowed = np.maximum(rel_tol * np.maximum(np.abs(least), np.abs(greatest)), abs_tol)
    wide = (found.above > greatest + allowed) | (found.below < least - allowed)
    return wide.any(0)


def _evaluated(graph: Graph, path: paths.Path, pieces: Pieces, order: int) -> _Found:
    parts = [
        _batch(graph, path, Pieces(pieces.low[i : i + BATCH], pieces.high[i : i + BATCH]), order)
        for i in range(0, len(pieces.low), BATCH)
    ]
    return _Found(*(np.concatenate(each, 1) for each in zip(*parts, strict=True)))


def _batch(graph: Graph, path: paths.Path, pieces: Pieces, order: int) -> _Found:
    begin = start(path, pieces, order, graph.nodes[0].shape)
    bends = sum(node.op in ("activation", "elementwise") for node in graph.nodes)
    with np.errstate(all="ignore"):  # what is infinite or undefined proves nothing, and is said so in `_bounded`
        (stage,) = deque(sweep(graph, begin, groups(pieces, GROUP), tracked=bends > DEEP), maxlen=1)  # the last one
        rows = _bounded(stage)
    starts = np.flatnonzero(np.diff(stage.origin, prepend=-1))
    smallest, largest = (lambda x: np.minimum.reduceat(x, starts, 1)), (lambda x: np.maximum.reduceat(x, starts, 1))
    return _Found(smallest(rows.below), largest(rows.above), smallest(rows.least), largest(rows.greatest))


def _bounded(stage: Stage) -> _Found:
    """The extremes of each polynomial: of its parabola in closed form, the sum of the rest's coefficients on top."""
    coefficients = stage.model.coefficients
    c = coefficients.reshape(-1, *coefficients.shape[-2:])
    size = np.abs(c)
    total = size.sum(1)
    off = up(spread(stage.model, stage.sources)[0].reshape(len(c), -1) + gamma(4 * c.shape[1] + 12) * total)
    rest = up(size[:, 3:].sum(1)) + off
    inside = np.abs(c[:, 1]) < 2 * size[:, 2]
    turn = np.where(inside, -c[:, 1] / np.where(inside, 2 * c[:, 2], 1.0), 0.0)
    top = np.where(inside, c[:, 0] + turn * c[:, 1] / 2, c[:, 0])
    ends = [c[:, 0] + c[:, 2] + sign * c[:, 1] for sign in (-1, 1)]
    places = (-np.ones_like(turn), np.zeros_like(turn), np.ones_like(turn), np.clip(turn, -1, 1))
    reached = [(c * tau[:, None] ** np.arange(c.shape[1])[:, None]).sum(1) for tau in places]
    below, above = np.minimum.reduce([*ends, top]) - rest, np.maximum.reduce([*ends, top]) + rest
    least, greatest = np.minimum.reduce(reached) + off, np.maximum.reduce(reached) - off
    sure = np.isfinite(below) & np.isfinite(above)
    return _Found(*(np.where(sure, one, limit) for one, limit in
                    ((below, -np.inf), (above, np.inf), (least, np.inf), (greatest, -np.inf))))  # fmt: skip
