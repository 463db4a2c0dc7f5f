"""How long a path becomes: the length of its image after every step of a network, as a certified interval."""

from collections.abc import Sequence
from time import process_time
from typing import Any

import numpy as np

from flyroom.measure import paths
from flyroom.measure.enclosure.integral import NOTHING
from flyroom.measure.enclosure.kinks import PIECEWISE
from flyroom.measure.enclosure.rounding import gamma
from flyroom.measure.enclosure.sweep import check
from flyroom.measure.trajectory import _exact
from flyroom.measure.trajectory._leaves import GROUP, Found, Pieces, evaluated, halved, split
from flyroom.measure.trajectory._network import opened
from flyroom.measure.trajectory._records import Interval, LayerLength, Trajectory
from flyroom.measure.trajectory._samples import estimated
from flyroom.measure.trajectory._steps import chosen
from flyroom.measure.trajectory._threads import threads_for
from flyroom.nets.graph import Graph
from flyroom.records import Evidence

STRAIGHT = "piecewise linear"
ORDER = 7  # of the Taylor models of what is neither straight nor a polynomial
HIGHEST = 11  # order of a polynomial network's models; a longer one is cut off, and that is bounded
FIRST = 5  # halvings of each smooth part of a path before anything is known
DEEP = 8  # bending steps; a deeper network's errors are tracked from the start
BATCH = 256  # pieces that are evaluated at once after the first ones
SMALLEST = 2.0**-45  # of [0, 1]; shorter pieces are not cut
ASSUMES = (
    "The function is the network in real arithmetic with its weights as they are stored, not the program in float32; "
    "NumPy's and SciPy's elementary functions are taken to be right to the units in the last place that "
    "flyroom.measure.enclosure.functions names (measured against Arb in benchmarks/ulps.py)."
)


def length(
    net: Any,
    path: paths.Path,
    *,
    rel_tol: float = 1e-3,
    layers: str | Sequence[str] = "all",
    max_pieces: int = 200_000,
    seconds: float = 600.0,
) -> Trajectory:
    """Certified lengths of a path's images after the steps of a network.

    `net` is a network here, a JAX function of known primitives (a batch in, a batch out), or a graph (`reader.read`,
    `torch.convert`). `layers` is "all" (every activation and every layer with weights), "last", or names of steps; each
    interval gets as narrow as `rel_tol` of the length. The pieces are halved where that pays until all are, at most
    until there are `max_pieces` or `seconds` of processor time have gone by; then what has been proved so far is
    returned with `reached` False. A path that is only a callable is sampled, and the evidence says `estimate`.

    l(f(x)) is the integral of |J x'|, the way travelled: not the distance between the ends, nor |J| l(x).

    Raises Unread (a ValueError) for a network or step without a rule, by name and place; ValueError for a path of
    another shape than the network's, a tolerance that is not between 0 and 1, and layers that there are none of.

    >>> import jax
    >>> from flyroom.nets.spec import parse
    >>> net = parse("mlp:16-32-32-4:tanh").init(jax.random.key(0))
    >>> found = length(net, paths.circle(16, radius=4.0, seed=0), rel_tol=1e-6, layers="last")
    >>> low, high = found.layers[-1].length
    >>> found.reached, high - low < 1e-6 * low
    (True, True)
    """
    if not 0 < rel_tol < 1:
        raise ValueError(f"rel_tol {rel_tol}: the relative width that is asked for lies between 0 and 1, such as 1e-3")
    begun = process_time()
    graph = opened(net, path.shape)
    steps = chosen(graph, layers)
    if isinstance(path, paths.Curve):
        return estimated(graph, path, steps, rel_tol, begun)
    check(graph)
    graph = Graph(graph.nodes[: max(steps) + 1])
    rule, order, first = plan(graph, path)
    leaves = halved(paths.knots(path), first)
    with threads_for(graph):
        found, reached = refined(graph, path, leaves, order, steps, rel_tol, max_pieces, begun + seconds)
    lost = gamma(found.low.shape[1] + 1)
    rows = [
        (found.low[i].sum() * (1 - lost), found.high[i].sum() * (1 + lost), found.parts[i], found.crossings[i])
        for i in range(len(steps))
    ]
    if not reached and rule == STRAIGHT and isinstance(path, paths.Polyline) and _exact.supported(graph):
        rule, rows = f"{STRAIGHT}, exact rationals", _exact.lengths(graph, path, steps)
        reached = all(high - low <= rel_tol * high for low, high, *_ in rows)
    layers_found = tuple(
        LayerLength(
            graph.nodes[step].place,
            graph.nodes[step].op,
            Interval(float(low), float(high)),
            Evidence.certified,
            int(np.sum(pieces)),
            int(np.sum(crossings)),
        )
        for step, (low, high, pieces, crossings) in zip(steps, rows, strict=True)
    )
    count = found.low.shape[1]
    spent = process_time() - begun
    return Trajectory(paths.length(path), layers_found, rel_tol, reached, rule, order, count, spent, ASSUMES)


def plan(graph: Graph, path: paths.Path) -> tuple[str, int, int]:
    """Which rule, the order of the models, and how often each part of the path is halved to begin with."""
    degree = {paths.Polyline: 1, paths.Cubic: 3}.get(type(path))  # pyright: ignore[reportCallIssue, reportArgumentType]
    names = [node.attributes["name"] for node in graph.nodes if node.op in ("activation", "elementwise")]
    others = {node.op for node in graph.nodes} & {"layer_norm", "group_norm", "softmax", "divide", "l2_pool"}
    if not others and all(name in PIECEWISE and name != "elu" for name in names) and "multiply" not in _ops(graph):
        if degree is not None:
            return STRAIGHT, degree, 0 if len(names) <= DEEP else 3
        return STRAIGHT, ORDER, FIRST
    squares = not others and all(name in ("square", "identity") for name in names) and "multiply" not in _ops(graph)
    if squares and degree is not None:
        return "polynomial", max(ORDER, min(HIGHEST, degree * 2 ** names.count("square"))), FIRST
    return "Taylor models", ORDER, FIRST


def _ops(graph: Graph) -> set[str]:
    return {node.op for node in graph.nodes}


def refined(
    graph: Graph,
    path: paths.Path,
    pieces: Pieces,
    order: int,
    steps: Sequence[int],
    rel_tol: float,
    most: int,
    until: float,
) -> tuple[Found, bool]:
    """Halve pieces, the worst first, until the lengths of all steps are as sharp as asked, or no more may be spent.

    A piece's gap shrinks like the power order + 1 of its length, which says how often to halve it at once. Errors are
    tracked to where they came from in deep networks, and in others once halving has twice not helped as it should.
    """
    bends = sum(node.op in ("activation", "elementwise") for node in graph.nodes)
    tracked, group = bends > DEEP, 1 if order == 1 else GROUP  # a straight piece is cut into many, all of one group
    found, failures = evaluated(graph, path, pieces, order, steps, tracked=tracked, group=group), 0
    while True:
        gaps = found.high - found.low
        allowed = rel_tol * np.maximum(found.middle.sum(1), NOTHING)
        if (gaps.sum(1) <= allowed).all():
            return found, True
        queue, times = _worst(gaps, allowed, pieces, order)
        if not len(queue) or len(pieces.low) + len(queue) > most or process_time() > until:
            return found, False
        parts = split(Pieces(pieces.low[queue], pieces.high[queue]), times)
        new = evaluated(graph, path, parts, order, steps, tracked=tracked, group=group)
        before = _gap(_only(found, queue))
        failures += int((_gap(new) > 0.5 * before).any())
        if not tracked and failures == 2:
            tracked = True
            new = evaluated(graph, path, parts, order, steps, tracked=True, group=group)
        # What is left is rounding then, and more pieces have more of it.
        stuck = tracked and bool((_gap(new) > 0.9 * before).all())
        rest = np.ones(len(pieces.low), bool)
        rest[queue] = False
        place = np.argsort(np.concatenate([pieces.low[rest], parts.low]), kind="stable")
        pieces = Pieces(*(np.concatenate([old[rest], made])[place] for old, made in zip(pieces, parts, strict=True)))
        kept = _only(found, rest)
        found = Found(*(np.concatenate([old, made], 1)[:, place] for old, made in zip(kept, new, strict=True)))
        if stuck:
            return found, False


def _worst(gaps: np.ndarray, allowed: np.ndarray, pieces: Pieces, order: int) -> tuple[np.ndarray, np.ndarray]:
    """The pieces that are to be cut next, in order, and how often each is to be halved."""
    worst = (gaps / (0.5 * allowed[:, None] / len(pieces.low))).max(0)
    worst[pieces.high - pieces.low <= SMALLEST] = 0
    queue = np.argsort(-worst)[: int((worst > 1).sum())]
    wanted = np.ceil(np.log2(np.minimum(worst[queue], 1e30)) / (order + 1))
    times = np.clip(wanted, 1, 3).astype(int)
    count = max(1, int(np.searchsorted(np.cumsum(2**times), BATCH, side="right")))
    first = np.argsort(queue[:count])
    return queue[:count][first], times[:count][first]


def _gap(found: Found) -> np.ndarray:
    return np.minimum(found.high - found.low, 1e300).sum(1)


def _only(found: Found, which: np.ndarray) -> Found:
    return Found(*(part[:, which] for part in found))
