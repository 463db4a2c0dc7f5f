"""The one network reader: any network here, or a JAX function of known primitives, as a list of steps.

The network is traced once with a batch of examples. Layers of `nets` are steps of their own (`_named.py`); what is
written in plain JAX is recognised by its primitives, and jitted functions such as `jax.nn.silu` by their text. What
only depends on weights is computed, and what no rule knows is refused by name and place: nothing is ever guessed.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import source_info_util
from jax.extend.core import Literal

from flyroom.nets._named import reading
from flyroom.nets.graph import Graph, Node
from flyroom.nets.reader._calls import recognised
from flyroom.nets.reader._primitives import RULES
from flyroom.nets.reader._steps import BATCH, Known, Reading, Step, Unread

__all__ = ["Unread", "read"]

CALLS = (
    *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
)
TOLERANCE = 1e-4  # of the largest output: what the graph and the network may differ by on an example, in float32
LONGEST = 100_000  # steps; a loop over so many is not a network that anybody wants to look at


def read(net: Any, shape: Sequence[int], *, check: bool = True) -> Graph:
    """The network as a graph; `shape` is that of one example: (40,), (3, 224, 224).

    `net(x)` takes a batch, first axis, and returns one. Weights may be `jax.ShapeDtypeStruct`s, as
    `equinox.filter_eval_shape` of an `init` makes them, so that large networks are read without being drawn; the graph
    then holds shapes too. Otherwise it is evaluated on a random batch and compared with the network, unless `check` is
    False.

    Raises Unread (a ValueError), with name and place, for what has no rule; ValueError for a network that does not take
    such examples; RuntimeError where graph and network differ, which would be a fault of ours.

    >>> from flyroom.nets.spec import parse
    >>> [node.op for node in read(parse("mlp:4-3-2").init(jax.random.key(0)), (4,)).nodes]
    ['input', 'dense', 'activation', 'dense']
    """
    arrays, rest = eqx.partition(net, lambda leaf: eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct))
    paths = jax.tree_util.tree_leaves_with_path(arrays)
    leaves, tree = jax.tree.flatten(arrays)
    dtype = next((leaf.dtype for leaf in leaves if np.issubdtype(leaf.dtype, np.inexact)), np.dtype(np.float32))
    example = jax.ShapeDtypeStruct((BATCH, *shape), dtype)

    def apply(leaves: list, x: Any) -> Any:
        return eqx.combine(tree.unflatten(leaves), rest)(x)

    with reading(True):
        try:
            traced = jax.make_jaxpr(apply)([jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves], example)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"the network does not take a batch of examples of shape {tuple(shape)}: {error}"
            ) from error
    if len(traced.out_avals) != 1:
        raise ValueError(
            f"the network returns {len(traced.out_avals)} arrays; one is to be read: net(x) -> (batch, ...)"
        )
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in paths]
    known = [Known(leaf, name) for leaf, name in zip(leaves, names, strict=True)]
    state = Reading(tuple(shape))
    (result,) = interpret(traced.jaxpr, [Known(c) for c in traced.consts], [*known, state.input], state)
    graph = finished(state, result)
    if check and not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves):
        _check(graph, net, tuple(shape), dtype)
    return graph


def interpret(jaxpr: Any, constants: list, arguments: list, state: Reading) -> list:
    """What a jaxpr makes of these values: weights are computed with, what depends on the input becomes steps."""
    found: dict[Any, Known | Step] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def value(atom: Any) -> Known | Step:
        return Known(np.asarray(atom.val)) if isinstance(atom, Literal) else found[atom]

    for equation in jaxpr.eqns:
        inputs = [value(atom) for atom in equation.invars]
        state.where = source_info_util.summarize(equation.source_info) or state.where
        fixed = all(isinstance(one, Known) for one in inputs)
        if fixed and equation.primitive.name not in ("flyroom_step", *CALLS):
            outputs = state.computed(equation, inputs)  # pyright: ignore[reportArgumentType]
        else:
            outputs = _stepped(equation, inputs, state)
        for variable, output in zip(equation.outvars, outputs, strict=True):
            found[variable] = output
    return [value(atom) for atom in jaxpr.outvars]


def _stepped(equation: Any, inputs: list, state: Reading) -> list:
    name = equation.primitive.name
    if len(state.nodes) > LONGEST:
        raise Unread(f"{state.where}: the network has more than {LONGEST} steps")
    if name in CALLS:
        if (step := recognised(equation, inputs, state)) is not None:
            return [step]
        closed = next(equation.params[key] for key in ("call_jaxpr", "jaxpr", "fun_jaxpr") if key in equation.params)
        inner = getattr(closed, "jaxpr", closed)
        return interpret(inner, [Known(c) for c in getattr(closed, "consts", ())], inputs, state)
    if name == "scan":
        return list(_unrolled(equation, inputs, state))
    if name not in RULES:
        raise Unread(
            f"{state.where}: the operation {name!r} has no rule; {len(RULES)} primitives and the layers of nets do"
        )
    return [RULES[name](equation, inputs, state)]


def _unrolled(equation: Any, inputs: list, state: Reading) -> Iterator[Known | Step]:
    """A loop over stacked weights, step by step; what it collects on the way must not depend on the input."""
    params = equation.params
    constants, carried = params["num_consts"], params["num_carry"]
    fixed, carry, rows = inputs[:constants], inputs[constants : constants + carried], inputs[constants + carried :]
    if any(isinstance(row, Step) for row in rows) or len(equation.outvars) > carried:
        raise Unread(f"{state.where}: a loop over parts of the input has no rule, unless it is a layer of nets")
    order = range(params["length"])
    for i in reversed(order) if params["reverse"] else order:
        taken = [row.row(i) for row in rows]
        carry = interpret(
            params["jaxpr"].jaxpr, [Known(c) for c in params["jaxpr"].consts], [*fixed, *carry, *taken], state
        )
    yield from carry


def finished(state: Reading, result: Known | Step) -> Graph:
    """The steps that the result depends on, in order, each with a place of its own."""
    if isinstance(result, Known):
        raise ValueError("the network's output does not depend on its input")
    if result.batch != 0:
        raise ValueError(f"the network returns its batch as axis {result.batch}, and not as the first one")
    needed, waiting = {0}, [result.index]
    while waiting:
        if (i := waiting.pop()) not in needed:
            needed.add(i)
            waiting += state.nodes[i].inputs
    order = sorted(needed)
    if order[-1] != result.index:
        raise RuntimeError("the output is not the last step: a fault of the reader")
    new = {old: i for i, old in enumerate(order)}
    counts: dict[str, int] = {}
    nodes = []
    for old in order:
        node = state.nodes[old]
        name = node.place or str(node.attributes.get("name", node.op))
        counts[name] = counts.get(name, 0) + 1
        place = name if node.place and counts[name] == 1 else f"{name}_{counts[name]}"
        place = "input" if node.op == "input" else place
        nodes.append(Node(node.op, tuple(new[i] for i in node.inputs), node.shape, place, node.weights, node.details))
    return Graph(tuple(nodes))


def _check(graph: Graph, net: Any, shape: tuple[int, ...], dtype: Any) -> None:
    x = jnp.asarray(np.random.default_rng(0).standard_normal((BATCH, *shape)).astype(dtype))
    ours, theirs = np.asarray(eqx.filter_jit(graph)(x)), np.asarray(eqx.filter_jit(net)(x))
    scale = np.abs(theirs).max()
    if np.isfinite(scale) and np.abs(ours - theirs).max() > TOLERANCE * scale:
        worst = np.abs(ours - theirs).max()
        raise RuntimeError(
            f"the network was read wrongly: on an example its output differs by {worst:.3g} of {scale:.3g}"
        )
