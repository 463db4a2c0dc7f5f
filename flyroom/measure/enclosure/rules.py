"""For each kind of step, the model of its output from those of its inputs."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from flyroom.measure.enclosure import affine, composite, kinks, smooth
from flyroom.measure.enclosure.linear import aligned, mapped, summed
from flyroom.measure.enclosure.models import Model, Sources
from flyroom.nets.graph import Node
from flyroom.nets.reader import Unread

Apply = Callable[[Node, Sequence[Model], Sources], tuple[Model, Sources]]


class Rule(NamedTuple):
    """How a step is enclosed, and what it refuses of a step of its kind (Unread, by place)."""

    apply: Apply
    check: Callable[[Node], None] = lambda node: None


def _affine(node: Node, inputs: Sequence[Model], sources: Sources) -> tuple[Model, Sources]:
    return mapped(node, inputs[0], sources), sources


def _sum(sign: float) -> Apply:
    def rule(node: Node, inputs: Sequence[Model], sources: Sources) -> tuple[Model, Sources]:
        a, b = aligned(inputs)
        return summed(a, b, sign, sources), sources

    return rule


def _concatenate(node: Node, inputs: Sequence[Model], sources: Sources) -> tuple[Model, Sources]:
    whole, axis = aligned(inputs), node.attributes["axis"]
    together = [np.concatenate([one[i] for one in whole], axis) for i in range(4)]  # pyright: ignore
    return Model(together[0], together[1], together[2], together[3]), sources


def _check_activation(node: Node) -> None:
    name = node.attributes.get("name", "")
    if name not in smooth.NAMES and name not in kinks.PIECEWISE:
        raise Unread(f"{node.place}: there is no enclosure of the function {name!r}")


def _activation(node: Node, inputs: Sequence[Model], sources: Sources) -> tuple[Model, Sources]:
    name = node.attributes["name"]
    if name in kinks.PIECEWISE:
        return kinks.piecewise(node, inputs, sources)
    return smooth.applied(name, inputs[0], sources)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        **{op: Rule(_affine) for op in affine.MAPS},
        "add": Rule(_sum(1.0)),
        "subtract": Rule(_sum(-1.0)),
        "concatenate": Rule(_concatenate),
        "activation": Rule(_activation, _check_activation),
        "elementwise": Rule(_activation, _check_activation),
        "prelu": Rule(kinks.piecewise),
        "max_pool": Rule(kinks.maximum),
        "maximum": Rule(kinks.maximum),
        "multiply": Rule(composite.multiply),
        "divide": Rule(composite.divide),
        "softmax": Rule(composite.softmax),
        "layer_norm": Rule(composite.layer_norm),
        "group_norm": Rule(composite.group_norm),
        "l2_pool": Rule(composite.l2_pool),
    }
)
