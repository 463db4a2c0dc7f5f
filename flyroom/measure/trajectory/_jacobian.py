"""The Jacobian along pieces of a path, times a fixed matrix: polynomials in tau, and what J may differ from them by.

J B, for a matrix B with one column for each direction, goes forward step by step, one step behind the values'
models: through an affine step by its linear part, through an activation by the polynomials of its slopes. The error is
bounded in the spectral norm, one number for each piece. Where a unit lies on both sides of a kink on a piece (the
narrow windows around a crossing), J is at almost every tau one of a few matrices: those are followed as *variants*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from flyroom.measure.enclosure import affine, kinks
from flyroom.measure.enclosure.composite import constant
from flyroom.measure.enclosure.models import Model, Sources, inherited, restricted
from flyroom.measure.enclosure.rounding import UNIT, UP, gamma, up
from flyroom.measure.enclosure.rules import RULES
from flyroom.measure.enclosure.spectral import frobenius
from flyroom.measure.enclosure.sweep import Start, last_uses
from flyroom.measure.trajectory._choices import chosen_rows
from flyroom.measure.trajectory._gains import Gain
from flyroom.measure.trajectory._slopes import BENDS, Extremes, Slopes, carried, extremes, slopes_along
from flyroom.nets.graph import Graph, Node

VARIANTS = 16  # of one piece, at most
UNDERFLOW = 1e-150  # above the root of what squares lose where they underflow


class Columns(NamedTuple):
    """J B = sum_k polynomials[k] tau^k up to `off` in the spectral norm; of a constant there is one variant."""

    polynomials: Float64[np.ndarray, "*example variant order direction"]
    off: Float64[np.ndarray, " variant"]


class Along(NamedTuple):
    """What is known at the end: J B, the path itself, and the extreme slopes of every activation, on common pieces."""

    columns: Columns
    of: Int[np.ndarray, " variant"]  # the piece of each variant, in order
    path: Model
    origin: Int[np.ndarray, " piece"]  # the first piece that each is a part of
    share: Float64[np.ndarray, " piece"]  # of that piece's tau, from -1 to 1; to rounding
    extremes: Mapping[int, Extremes]  # by step


@dataclass
class _State:
    models: dict[int, Model]
    columns: dict[int, Columns]
    extremes: dict[int, Extremes]
    sources: Sources
    of: np.ndarray
    origin: np.ndarray
    share: np.ndarray


def along(
    graph: Graph,
    start: Start,
    group: Int[np.ndarray, " piece"],
    basis: Float64[np.ndarray, "unit direction"],
    off: Float64[np.ndarray, " piece"],
    gains: Mapping[int, Gain],
) -> Along:
    """Follow J B through the network, B being known up to `off`; `gains` bound the affine steps (`_gains.gains`)."""
    pieces = start.coefficients.shape[-1]
    none, shape = np.zeros((0, pieces)), start.value.shape[:-1]
    path = Model(start.coefficients, start.value, start.rate, np.zeros((*shape, int(group[-1]) + 1, 0)))
    first = Columns(basis.reshape(*shape, 1, 1, basis.shape[1]), off)
    state = _State(
        {0: path, -1: path},
        {0: first},
        {},
        Sources(none, none, group),
        np.arange(pieces),
        np.arange(pieces),
        np.ones(pieces),
    )
    last = last_uses(graph.nodes)
    for i, node in enumerate(graph.nodes[1:], 1):
        if node.op == "constant":
            value = np.broadcast_to(np.asarray(node.weights["value"], np.float64), node.shape)
            state.models[i] = constant(value, path.coefficients.shape[-2] - 1, state.sources)
            state.columns[i] = Columns(np.zeros((*node.shape, 1, 1, basis.shape[1])), np.zeros(len(state.of)))
            continue
        parts = None
        if node.op in kinks.KINKED:
            parts = kinks.parts(node, [state.models[j] for j in node.inputs], state.sources)
        if parts is not None:
            _cut(state, parts)
        inputs = [state.models[j] for j in node.inputs]
        _step(i, node, inputs, state, gains)
        state.models[i], state.sources = RULES[node.op].apply(node, inputs, state.sources)
        for j in node.inputs:
            if last[j] == i:
                state.models.pop(j, None)
                state.columns.pop(j, None)
    columns = state.columns[len(graph.nodes) - 1]
    return Along(columns, state.of, state.models[-1], state.origin, state.share, state.extremes)


def _step(index: int, node: Node, inputs: list[Model], state: _State, gains: Mapping[int, Gain]) -> None:
    if node.op in BENDS:
        slopes = slopes_along(node, inputs[0], state.sources)
        state.extremes[index] = extremes(slopes)
        followed = _split(state, 1 + slopes.open.reshape(-1, slopes.open.shape[-1]))
        order = inputs[0].coefficients.shape[-2]
        state.columns[index] = _bent(state.columns[node.inputs[0]], slopes, followed, state.of, order)
        return
    columns = [state.columns[j] for j in node.inputs]
    if node.op == "max_pool":
        state.columns[index] = _pooled(node, inputs[0], state)
    elif node.op in ("add", "subtract"):
        state.columns[index] = _added(columns, node.shape, -1.0 if node.op == "subtract" else 1.0)
    elif node.op == "concatenate":
        state.columns[index] = _concatenated(columns, node.attributes["axis"])
    else:
        state.columns[index] = _linear(node, columns[0], gains[index])


def size(polynomials: Float64[np.ndarray, "*example variant order direction"]) -> Float64[np.ndarray, " variant"]:
    """Above the spectral norm of a matrix of polynomials for all tau in [-1, 1]."""
    flat = polynomials.reshape(-1, *polynomials.shape[-3:])
    return up(frobenius(flat.transpose(1, 2, 0, 3)).sum(1))


def _linear(node: Node, columns: Columns, gain: Gain) -> Columns:
    old = columns.polynomials
    shape = old.shape[:-3]
    new = affine.mapped(node, old.reshape(*shape, -1))
    new = new.reshape(*new.shape[:-1], *old.shape[-3:])
    lost = gamma(affine.operations(node, shape)) * gain.absolute * size(old)
    return Columns(new, up(gain.norm * columns.off + lost))


class _Followed(NamedTuple):
    """Which of its options a unit takes in each variant of a piece."""

    unit: int
    piece: int
    variants: Int[np.ndarray, " variant"]
    option: Int[np.ndarray, " variant"]


# Activations ---------------------------------------------------------------------------------------------------------


def _split(state: _State, options: Int[np.ndarray, "unit piece"]) -> list[_Followed]:
    """Follow all combinations of options where a unit has several on a piece, if there are few; else none of them."""
    pieces = options.shape[1]
    now = np.bincount(state.of, minlength=pieces)
    times = np.prod(options.astype(float), axis=0)
    split = (times > 1) & (now * times <= VARIANTS)
    if not split.any():
        return []
    times = np.where(split, times, 1).astype(int)
    index = np.repeat(np.arange(len(state.of)), times[state.of])
    for j, columns in state.columns.items():
        polynomials = columns.polynomials
        kept = polynomials if polynomials.shape[-3] == 1 else polynomials[..., index, :, :]
        state.columns[j] = Columns(kept, columns.off[index])
    begins = np.cumsum(times[state.of]) - times[state.of]
    code = np.arange(len(index)) - np.repeat(begins, times[state.of])  # which combination a variant has
    state.of = state.of[index]
    found = []
    for piece in np.flatnonzero(split):
        variants = np.arange(*np.searchsorted(state.of, [piece, piece + 1]))
        left = code[variants]
        for unit in np.flatnonzero(options[:, piece] > 1):
            found.append(_Followed(int(unit), int(piece), variants, left % options[unit, piece]))
            left = left // options[unit, piece]
    return found


def _bent(columns: Columns, slopes: Slopes, followed: Sequence[_Followed], of: np.ndarray, order: int) -> Columns:
    """phi'(u) times every row, cut off at the order of the models."""
    shape = columns.polynomials.shape[:-3]
    q = columns.polynomials.reshape(-1, *columns.polynomials.shape[-3:])
    d = slopes.coefficients.reshape(len(q), *slopes.coefficients.shape[-2:])[..., of]
    error = slopes.error.reshape(len(q), -1)[:, of]
    ends = [part.reshape(len(q), -1) for part in (slopes.low, slopes.high)]
    for unit, piece, variants, option in followed:
        d[unit, :, variants] = 0.0
        d[unit, 0, variants] = np.where(option == 1, ends[1][unit, piece], ends[0][unit, piece])
        error[unit, variants] = 0.0
    d_sizes = np.abs(d).transpose(0, 2, 1)  # (unit, variant, order)
    rows = np.sqrt(np.einsum("uvod,uvod->uvo", q, q)) * (1 + gamma(q.shape[-1] + 4)) + UNDERFLOW
    kept, given = min(order, d.shape[1] + q.shape[2] - 1), q.shape[2]
    toeplitz = np.zeros((len(q), len(of), kept, given))
    cut = np.zeros((len(q), len(of)))
    for j in range(given):
        fits = min(d.shape[1], kept - j)
        toeplitz[:, :, j : j + fits, j] = d[:, :fits].transpose(0, 2, 1)
        cut = cut + d_sizes[..., fits:].sum(-1) * rows[..., j]
    new = toeplitz @ q if given > 1 else toeplitz * q
    whole = rows.sum(-1)
    row_off = cut + error * whole + gamma(given + 2) * d_sizes.sum(-1) * whole
    exact = d.shape[1] == 1 and np.isin(d, (0.0, 1.0, -1.0)).all() and not error.any()
    local = 0.0 if exact else np.sqrt(up((row_off * row_off).sum(0)))
    limit = np.maximum(np.abs(slopes.low), np.abs(slopes.high)).reshape(len(q), -1).max(0)[of]
    return Columns(new.reshape(*shape, *new.shape[1:]), up(up(local) * UP + limit * columns.off))


# Sums, joins, maxima -------------------------------------------------------------------------------------------------


def _added(columns: list[Columns], shape: tuple[int, ...], sign: float) -> Columns:
    rank = len(shape)
    order = max(one.polynomials.shape[-2] for one in columns)
    parts, off = [], np.zeros(1)
    for one in columns:
        p = one.polynomials
        repeats = np.prod(shape) / max(np.prod(p.shape[:-3]), 1)  # a row that is added to several
        p = p.reshape(*(1,) * (rank + 3 - p.ndim), *p.shape)
        parts.append(np.concatenate([p, np.zeros((*p.shape[:-2], order - p.shape[-2], p.shape[-1]))], -2))
        off = off + np.sqrt(repeats) * one.off
    new = parts[0] + sign * parts[1]
    return Columns(new, up(off * UP + UNIT * size(new)))


def _concatenated(columns: list[Columns], axis: int) -> Columns:
    order = max(one.polynomials.shape[-2] for one in columns)
    variants = max(one.polynomials.shape[-3] for one in columns)
    parts = []
    for one in columns:
        p = one.polynomials
        p = np.broadcast_to(p, (*p.shape[:-3], variants, *p.shape[-2:]))
        parts.append(np.concatenate([p, np.zeros((*p.shape[:-2], order - p.shape[-2], p.shape[-1]))], -2))
    square = sum(one.off * one.off for one in columns)
    return Columns(np.concatenate(parts, axis), np.sqrt(up(np.asarray(square))) * UP)


def _pooled(node: Node, model: Model, state: _State) -> Columns:
    """The rows of the values that win; where several may, all as variants, or one and how far off others are."""
    rows = chosen_rows(node, model, state.sources)
    source = node.inputs[0]
    differing = []
    for candidate, contends in zip(rows.candidates, rows.contends, strict=True):
        differing.append(contends & (_apart(state, source, rows.leader, candidate, contends) > 0))
    followed = _split(state, 1 + np.sum(differing, 0, dtype=int))
    leader = rows.leader[:, state.of]
    open_ = [one[:, state.of] for one in differing]
    for unit, piece, variants, option in followed:
        others = [
            candidate[unit] for candidate, one in zip(rows.candidates, differing, strict=True) if one[unit, piece]
        ]
        leader[unit, variants] = np.array([rows.leader[unit, piece], *others])[option]
        for one in open_:
            one[unit, variants] = False
    apart = np.zeros(leader.shape)
    for candidate, contends in zip(rows.candidates, open_, strict=True):
        apart = np.maximum(apart, _apart(state, source, leader, candidate, contends))
    off = np.sqrt(up((apart * apart).sum(0)))
    columns = state.columns[source]
    q = _flat(columns, len(state.of))
    new = np.take_along_axis(q, leader[:, :, None, None], 0)
    return Columns(new.reshape(*node.shape, *new.shape[1:]), up(off * UP + np.sqrt(rows.overlap) * UP * columns.off))


def _apart(state: _State, source: int, leader: np.ndarray, candidate: np.ndarray, contends: np.ndarray) -> np.ndarray:
    """Above the norm of the difference of two rows, for windows and variants, or pieces, where a candidate contends."""
    q = _flat(state.columns[source], len(state.of))
    by_piece = contends.shape[1] != len(state.of)
    found = np.zeros(contends.shape)
    units, places = np.nonzero(contends)
    starts = np.searchsorted(state.of, np.arange(contends.shape[1])) if by_piece else np.arange(contends.shape[1])
    counts = np.bincount(state.of, minlength=contends.shape[1]) if by_piece else np.ones(contends.shape[1], int)
    for k in range(int(counts.max(initial=1))):
        there = counts[places] > k
        unit, place = units[there], places[there]
        variant = starts[place] + k
        difference = q[candidate[unit], variant] - q[leader[unit, place], variant]
        size_ = frobenius(difference[:, :, None]).sum(1) * UP
        found[unit, place] = np.maximum(found[unit, place], size_)
    return found


def _flat(columns: Columns, variants: int) -> np.ndarray:
    q = columns.polynomials.reshape(-1, *columns.polynomials.shape[-3:])
    return np.broadcast_to(q, (len(q), variants, *q.shape[2:]))


# Cuts ----------------------------------------------------------------------------------------------------------------


def _cut(state: _State, parts: kinks.Parts) -> None:
    cut = (parts.parent, parts.begin, parts.end)
    state.models = {index: restricted(model, *cut) for index, model in state.models.items()}
    half = (parts.end - parts.begin) / 2
    state.sources = inherited(state.sources, parts.parent, half)
    state.origin, state.share = state.origin[parts.parent], state.share[parts.parent] * half
    state.extremes = {index: carried(found, parts.parent) for index, found in state.extremes.items()}
    count = np.bincount(state.of, minlength=int(state.of[-1]) + 1)
    begins = np.concatenate([[0], np.cumsum(count)])[:-1]
    child = np.repeat(np.arange(len(half)), count[parts.parent])
    place = np.arange(len(child)) - np.repeat(np.cumsum(count[parts.parent]) - count[parts.parent], count[parts.parent])
    variant = begins[parts.parent[child]] + place
    state.of = child
    state.columns = {
        index: _restricted(columns, variant, parts.begin[child], parts.end[child])
        for index, columns in state.columns.items()
    }


def _restricted(columns: Columns, variant: np.ndarray, begin: np.ndarray, end: np.ndarray) -> Columns:
    p, off = columns.polynomials, columns.off[variant]
    if p.shape[-2] == 1:
        return Columns(p if p.shape[-3] == 1 else p[..., variant, :, :], off)
    p = np.broadcast_to(p, (*p.shape[:-3], len(columns.off), *p.shape[-2:]))
    flat = np.ascontiguousarray(p.reshape(-1, *p.shape[-3:]).transpose(0, 3, 2, 1))
    nothing = np.zeros((*flat.shape[:2], flat.shape[3]))
    moved = restricted(Model(flat, nothing, nothing, np.zeros((*flat.shape[:2], 1, 0))), variant, begin, end)
    new = moved.coefficients.transpose(0, 3, 2, 1)
    lost = frobenius(moved.value.transpose(2, 0, 1))
    return Columns(np.ascontiguousarray(new).reshape(*p.shape[:-3], *new.shape[1:]), up(off + lost))
