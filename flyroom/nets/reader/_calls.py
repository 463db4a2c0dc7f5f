"""Functions of JAX that networks call: recognised by the text of their traced body, and made one step each."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import numpy as np

from flyroom.nets.reader._steps import Known, Reading, Step


def _candidates(rank: int) -> Iterator[tuple[str, dict[str, Any], Callable]]:
    """(op, attributes, function of an array of this rank): what a call is compared with."""
    for name, function in {
        "relu": jax.nn.relu,
        "silu": jax.nn.silu,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "elu": jax.nn.elu,
        "softplus": jax.nn.softplus,
        "sigmoid": jax.nn.sigmoid,
        "leaky_relu": jax.nn.leaky_relu,
        "hard_tanh": jax.nn.hard_tanh,
    }.items():
        yield "activation", {"name": name}, function
    for axis in range(rank):
        yield "softmax", {"axis": axis}, lambda x, axis=axis: jax.nn.softmax(x, axis)


def _text(equation: Any) -> str:
    """The body of a call: what it is recognised by. The names of its variables begin anew in every body."""
    closed = next(equation.params[key] for key in ("call_jaxpr", "jaxpr", "fun_jaxpr") if key in equation.params)
    return f"{equation.primitive.name} {closed}"


@cache
def _bodies(
    shape: tuple[int, ...], dtype: str
) -> dict[str, tuple[str, tuple[tuple[str, Any], ...], tuple[float, ...]]]:
    """Text of a body -> op, attributes, and the numbers that are handed to it besides x."""
    found: dict[str, Any] = {}
    for op, attributes, function in _candidates(len(shape)):
        traced = jax.make_jaxpr(function)(jax.ShapeDtypeStruct(shape, dtype)).jaxpr
        call = traced.eqns[-1]
        if not any(key in call.params for key in ("call_jaxpr", "jaxpr", "fun_jaxpr")):
            continue
        literals = tuple(float(atom.val) for atom in call.invars if hasattr(atom, "val") and np.ndim(atom.val) == 0)
        if len(traced.eqns) == 1:
            found[_text(call)] = (op, tuple(attributes.items()), literals)
    return found


def recognised(equation: Any, inputs: list[Known | Step], state: Reading) -> Step | None:
    """The call as one step, or None: then its body is read."""
    steps = [one for one in inputs if isinstance(one, Step)]
    known = [one for one in inputs if isinstance(one, Known)]
    if len(steps) != 1 or len(equation.outvars) != 1 or any(np.ndim(one.array) or one.abstract for one in known):
        return None
    (step,) = steps
    aval = next(atom.aval for atom, one in zip(equation.invars, inputs, strict=True) if isinstance(one, Step))
    match = _bodies(tuple(aval.shape), str(aval.dtype)).get(_text(equation))
    if match is None or match[2] != tuple(float(one.array) for one in known):
        return None
    op, attributes, _ = match
    given = dict(attributes)
    if "axis" in given:
        if given["axis"] == step.batch:
            raise state.refuse(f"a {op} over the batch")
        given["axis"] -= given["axis"] > step.batch
    return state.add(op, steps, state.node(step).shape, step.batch, **given)
