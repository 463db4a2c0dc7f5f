"""Bounds over and under the length of a path's image: the ladder from the integral of the norm down to constants."""

from collections.abc import Mapping
from math import inf, prod
from time import process_time
from typing import Any

import numpy as np

from flyroom.measure import paths
from flyroom.measure.enclosure.rounding import DOWN, UP
from flyroom.measure.enclosure.sweep import check
from flyroom.measure.trajectory._chain import Chain, chain
from flyroom.measure.trajectory._conditions import condition
from flyroom.measure.trajectory._gains import check_followed, gains
from flyroom.measure.trajectory._leaves import halved
from flyroom.measure.trajectory._length import ASSUMES, length, plan
from flyroom.measure.trajectory._network import opened
from flyroom.measure.trajectory._records import Interval
from flyroom.measure.trajectory._rungs import LOWER, UPPER, Ladder, Rung, tightened
from flyroom.measure.trajectory._survey import Survey, Task, refined
from flyroom.measure.trajectory._threads import threads_for
from flyroom.nets.graph import Graph
from flyroom.records import Evidence

HIGHEST = 10  # order of the models: two less than the derivatives that have bounds
WIDEST = 2**23  # numbers of one order of the full Jacobian, at the widest step
TANGENTS_SHARE = 0.4  # of the seconds


def bounds(
    net: Any, path: paths.Path, *, rel_tol: float = 1e-2, seconds: float = 120.0, max_pieces: int = 20_000
) -> Ladder:
    """Certified bounds over and under the length of a path's image, beside the certified length itself.

    Upper rungs: the integral of |J| |x'|, sup |J| l(x), and products of the layers' norms; lower rungs the same with
    the smallest stretch. "On T" means the Jacobian restricted to a space that holds the path's tangents: of the
    bounds under the length, only those usually say anything. Every rung's own value is enclosed, to `rel_tol` where
    that can be had within `seconds` of processor time; where not, the interval is wider and holds all the same.

    Sampled suprema are no upper bounds, and the smallest of min(rows, columns) singular values is no lower bound for a
    layer with fewer outputs than inputs: that one's factor is 0.

    Raises Unread (a ValueError) for a step whose Jacobian is not followed, by name and place; ValueError for a path
    that is a callable, or of another shape than the network's, and for a tolerance that is not between 0 and 1.

    >>> import jax
    >>> from flyroom.nets.spec import parse
    >>> net = parse("mlp:8-16-16-4:tanh").init(jax.random.key(0))
    >>> found = bounds(net, paths.circle(8, radius=2.0, seed=0))
    >>> upper = [rung for rung in found.rungs if rung.side == "upper"]
    >>> upper[0].name, upper[0].value.high >= found.length.low, upper[-1].name
    ('integral on T', True, 'slope constants')
    """
    if not 0 < rel_tol < 1:
        raise ValueError(f"rel_tol {rel_tol}: the relative width that is asked for lies between 0 and 1, such as 1e-2")
    if isinstance(path, paths.Curve):
        raise ValueError(
            "a callable proves nothing between its values; bounds are for lines, arcs, splines and Beziers"
        )
    begun = process_time()
    graph = opened(net, path.shape)
    check(graph)
    check_followed(graph)
    found = length(graph, path, rel_tol=min(rel_tol, 1e-3), layers="last", seconds=seconds / 4)
    with threads_for(graph):
        surveys, left_out = _surveys(graph, path, rel_tol, max_pieces, begun, seconds)
    off = float(surveys["T"].strayed.max()) if "T" in surveys else 0.0
    linked = chain(graph, paths.tangents(path) if "T" in surveys else None, off)
    if isinstance(linked, str):
        left_out.append(f"layers together, layers apart, slope constants: {linked}.")
    rungs = _rungs(surveys, linked, found.input_length, left_out)
    pieces = max(survey.most.shape[1] for survey in surveys.values())
    reached = all(rung.value.high - rung.value.low <= rel_tol * rung.value.high for rung in rungs)
    cpu = process_time() - begun
    ends = found.layers[-1].length
    return Ladder(ends, found.input_length, rungs, tuple(left_out), rel_tol, reached, pieces, cpu, ASSUMES)


def _surveys(
    graph: Graph, path: paths.Path, rel_tol: float, most: int, begun: float, seconds: float
) -> tuple[dict[str, Survey], list[str]]:
    """Of J on the tangents ("T") and of J ("all"), and what is left out."""
    _, order, first = plan(graph, path)
    order, steps = min(order, HIGHEST), gains(graph)
    pieces = halved(paths.knots(path), first)
    units = prod(graph.nodes[0].shape)
    basis = paths.tangents(path)
    found, left_out = {}, []
    if basis is None:
        left_out.append("the rungs on T: the tangents span the whole space, so that they are those without T.")
    else:
        task = Task(graph, path, order, basis, steps, False)
        until = begun + seconds * TANGENTS_SHARE
        found["T"] = refined(task, pieces, rel_tol, most, until, products=True)
    widest = max(prod(node.shape) for node in graph.nodes) * units
    if widest > WIDEST and "T" in found:
        left_out.append(
            f"integral, supremum and infimum in all directions: {units} directions through the widest step are "
            f"{widest} numbers, more than {WIDEST}."
        )
        return found, left_out
    task = Task(graph, path, order, np.eye(units), steps, True)
    found["all"] = refined(task, pieces, rel_tol, most, begun + seconds, products=basis is None)
    return found, left_out


def _rungs(
    surveys: Mapping[str, Survey], linked: Chain | str, input_length: paths.Length, left_out: list[str]
) -> tuple[Rung, ...]:
    upper: dict[str, Interval] = {}
    lower: dict[str, Interval] = {}
    travelled = Interval(input_length.low, input_length.high)
    for key, survey in surveys.items():
        on = " on T" if key == "T" else ""
        upper[f"integral{on}"], lower[f"integral{on}"] = _summed(survey.norms), _summed(survey.injectivities)
        upper[f"supremum{on}"] = _times(Interval(*survey.most.max(1).tolist()), travelled)
        lower[f"infimum{on}"] = _times(Interval(*survey.least.min(1).tolist()), travelled)
    if isinstance(linked, Chain):
        survey = surveys.get("T", surveys.get("all"))
        assert survey is not None
        _layers(upper, lower, survey, linked, travelled, "T" in surveys)
        constants = [Interval(0.0, block.limit) for block in linked.blocks if block.bend is not None]
        if all(one.high < inf for one in constants):
            limits = [Interval(one.high, one.high) for one in constants]
            upper["slope constants"] = _times(*limits, *(block.norm for block in linked.blocks), travelled)
        else:
            left_out.append("slope constants: an activation's slope has no bound on the whole line (a square: 2u).")
    found = []
    for side, values, words in (("upper", upper, UPPER), ("lower", lower, LOWER)):
        tight = tightened(values, side)
        for name in words:
            if name in tight:
                said = condition(name, side, tight[name], surveys, linked)
                found.append(Rung(name, side, tight[name], Evidence.certified, said, *words[name]))
    return tuple(found)


def _layers(upper: dict, lower: dict, survey: Survey, linked: Chain, travelled: Interval, on_tangents: bool) -> None:
    """The products: at one t, and each layer for itself; with all of the first block or only what the tangents see."""
    later = linked.blocks[1:]
    highest = Interval(*survey.upper.max(1).tolist())
    lowest = Interval(*survey.lower.min(1).tolist())
    largest = [Interval(*pair) for pair in survey.largest.max(1, initial=0.0).reshape(-1, 2).tolist()]
    smallest = [Interval(*pair) for pair in survey.smallest.min(1, initial=inf).reshape(-1, 2).tolist()]
    firsts = {"": (linked.blocks[0].norm, linked.blocks[0].injectivity)}
    if on_tangents:
        firsts[" on T"] = (linked.norm_on_tangents, linked.injectivity_on_tangents)
    for on, (norm, injectivity) in firsts.items():
        norms = [norm, *(block.norm for block in later), travelled]
        least = [injectivity, *(block.injectivity for block in later), travelled]
        upper[f"layers together{on}"] = _times(highest, *norms)
        upper[f"layers apart{on}"] = _times(*largest, *norms)
        lower[f"layers together{on}"] = _times(lowest, *least)
        lower[f"layers apart{on}"] = _times(*smallest, *least)


def _summed(parts: np.ndarray) -> Interval:
    low, high = parts.sum(1)
    return Interval(float(low) * (1 - 2.0**-30), float(high) * (1 + 2.0**-30))


def _times(*factors: Interval) -> Interval:
    """The product of intervals that are not negative."""
    low, high = prod(one.low for one in factors), prod(one.high for one in factors)
    tiny = 2.0**-1000 if all(one.high > 0 for one in factors) else 0.0  # where the product underflows
    return Interval(max(low * DOWN - tiny, 0.0), high * UP + tiny)
