"""A network along pieces of a path: every step's value as a Taylor model, one step after the other.

A step with kinks (ReLU, a maximum, ELU) first cuts the pieces where one of its numbers crosses a kink, so that nearly
every piece afterwards lies on one side of all of them; the cuts are guesses in float64, which side a piece lies on is
proved (`kinks.py`). Only the models that later steps need are kept and cut along.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from flyroom.measure.enclosure import kinks
from flyroom.measure.enclosure.composite import constant
from flyroom.measure.enclosure.models import Model, Sources, inherited, restricted
from flyroom.measure.enclosure.rules import RULES
from flyroom.nets.graph import Graph, Node
from flyroom.nets.reader import Unread


class Start(NamedTuple):
    """The path on pieces: x = sum_k coefficients[k] tau^k, with bounds of what it and its derivative differ by."""

    coefficients: Float64[np.ndarray, "*example order piece"]
    value: Float64[np.ndarray, "*example piece"]
    rate: Float64[np.ndarray, "*example piece"]


class Stage(NamedTuple):
    """One step's value on all pieces; `origin` says which of the first pieces each is a part of, in order.

    `begin` and `end` are that part in the tau of the first piece, from -1 to 1, as nearly as float64 says it.
    """

    index: int
    node: Node
    model: Model
    sources: Sources
    origin: Int[np.ndarray, " piece"]
    begin: Float64[np.ndarray, " piece"]
    end: Float64[np.ndarray, " piece"]
    cuts: Int[np.ndarray, " first"]  # how many crossings of kinks have been found so far on each of the first pieces


@dataclass
class _State:
    """What is carried from step to step."""

    models: dict[int, Model]
    sources: Sources
    origin: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    cuts: np.ndarray


def check(graph: Graph) -> None:
    """Raise Unread, by name and place, where a network has a step that has no rule here."""
    for node in graph.nodes[1:]:
        if node.op == "constant":
            continue
        if node.op not in RULES:
            raise Unread(
                f"{node.place}: there is no enclosure of the operation {node.op!r}; there is one of {', '.join(RULES)}"
            )
        RULES[node.op].check(node)


def sweep(graph: Graph, start: Start, group: Int[np.ndarray, " piece"], *, tracked: bool = True) -> Iterator[Stage]:
    """Every step's model in order, the input first. `group` numbers neighbouring pieces that share their Jacobians.

    Whether errors are `tracked` to where they came from: `models.Sources`.
    """
    pieces = start.coefficients.shape[-1]
    groups = int(group[-1]) + 1 if pieces else 0
    none = np.zeros((0, pieces))
    first = Model(start.coefficients, start.value, start.rate, np.zeros((*start.value.shape[:-1], groups, 0)))
    state = _State(
        {0: first},
        Sources(none, none, group, tracked),
        np.arange(pieces),
        np.full(pieces, -1.0),
        np.full(pieces, 1.0),
        np.zeros(pieces, int),
    )
    last = last_uses(graph.nodes)
    yield _stage(0, graph.nodes[0], state)
    for i, node in enumerate(graph.nodes[1:], 1):
        inputs = [state.models[j] for j in node.inputs]
        parts = kinks.parts(node, inputs, state.sources) if node.op in kinks.KINKED else None
        if parts is not None:
            _cut(state, parts)
            inputs = [state.models[j] for j in node.inputs]
        if node.op == "constant":
            value = np.broadcast_to(np.asarray(node.weights["value"], np.float64), node.shape)
            state.models[i] = constant(value, start.coefficients.shape[-2] - 1, state.sources)
        else:
            state.models[i], state.sources = RULES[node.op].apply(node, inputs, state.sources)
        for j in node.inputs:
            if last[j] == i:
                state.models.pop(j, None)
        yield _stage(i, node, state)


def _stage(index: int, node: Node, state: _State) -> Stage:
    return Stage(index, node, state.models[index], state.sources, state.origin, state.begin, state.end, state.cuts)


def _cut(state: _State, parts: kinks.Parts) -> None:
    half, middle = (state.end - state.begin)[parts.parent] / 2, (state.end + state.begin)[parts.parent] / 2
    for index, model in state.models.items():
        state.models[index] = restricted(model, parts.parent, parts.begin, parts.end)
    state.sources = inherited(state.sources, parts.parent, (parts.end - parts.begin) / 2)
    state.cuts = state.cuts + np.bincount(state.origin[parts.crossings], minlength=len(state.cuts))
    state.origin = state.origin[parts.parent]
    state.begin, state.end = middle + half * parts.begin, middle + half * parts.end


def last_uses(nodes: Sequence[Node]) -> Mapping[int, int]:
    """For each step the last one that takes it."""
    return {j: i for i, node in enumerate(nodes) for j in node.inputs}
