"""Functions that JAX writes out as arithmetic: seen at their last operation, and made one step.

A pattern is found by following steps backwards; each is an identity of real numbers, or it is not used.
"""

import math

import numpy as np

from flyroom.nets.reader._steps import Reading, Step

ROOT_HALF = math.sqrt(0.5)


def product(steps: list[Step], state: Reading) -> Step | None:
    """(x / 2) erfc(-x / sqrt 2), which is GELU in its exact form; None for any other product."""
    for half, tail in (steps, steps[::-1]):
        node = state.node(tail)
        if node.op != "elementwise" or node.attributes["name"] != "erfc":
            continue
        (root, factor), (other, inner) = _scaled(half.index, state), _scaled(node.inputs[0], state)
        if root == other and factor == 0.5 and math.isclose(inner, -ROOT_HALF, rel_tol=1e-6):
            return state.add("activation", [Step(root, half.batch)], node.shape, half.batch, name="gelu")
    return None


def quotient(steps: list[Step], state: Reading) -> Step | None:
    """exp(x) over its own sum along one axis: a softmax. What was subtracted before, the same along it, cancels out."""
    above, below = (state.node(one) for one in steps)
    if above.op != "elementwise" or above.attributes["name"] != "exp":
        return None
    while below.op in ("reshape", "broadcast"):
        below = state.nodes[below.inputs[0]]
    if below.op != "sum" or below.inputs != (steps[0].index,) or len(below.attributes["axes"]) != 1:
        return None
    (axis,) = below.attributes["axes"]
    root = above.inputs[0]
    if state.nodes[root].op == "subtract":
        kept, gone = state.nodes[root].inputs
        shape = state.nodes[gone].shape
        if len(shape) == len(above.shape) and shape[axis] == 1:
            root = kept
    return state.add("softmax", [Step(root, steps[0].batch)], above.shape, steps[0].batch, axis=axis)


def clipped(name: str, step: Step, value: float, state: Reading) -> Step | None:
    """A minimum with 1 of a maximum with -1, or the other way round: hard tanh."""
    node, wanted = state.node(step), {"min": ("maximum", 1.0, -1.0), "max": ("minimum", -1.0, 1.0)}
    if name not in wanted or (node.op, value) != wanted[name][:2]:
        return None
    constants = [i for i in node.inputs if state.nodes[i].op == "constant"]
    others = [i for i in node.inputs if i not in constants]
    if len(constants) != 1 or not (np.asarray(state.nodes[constants[0]].weights["value"]) == wanted[name][2]).all():
        return None
    return state.add("activation", [Step(others[0], step.batch)], node.shape, step.batch, name="hard_tanh")


def averaged(step: Step, value: float, state: Reading) -> Step | None:
    """What was multiplied by a number and is now divided by it: the sum over a pooling window, made a mean again."""
    node = state.node(step)
    if node.op == "scale" and node.attributes["value"] == value:
        return Step(node.inputs[0], step.batch)
    return None


def _scaled(index: int, state: Reading) -> tuple[int, float]:
    """The step below a chain of multiplications with numbers, and their product."""
    factor = 1.0
    while state.nodes[index].op == "scale":
        factor *= state.nodes[index].attributes["value"]
        index = state.nodes[index].inputs[0]
    return index, factor
