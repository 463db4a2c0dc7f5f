"""What can be said of a network without training it: shapes, parameters, multiply-adds, memory, receptive fields.

Everything is read from the network itself (`nets.reader`), so that it holds for networks of `nets`, for JAX functions
and for converted PyTorch modules alike; weights need not be there, only their shapes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flyroom.measure._field import WINDOWED, Field, Reach, fields, window
from flyroom.nets.graph import Graph, Node
from flyroom.nets.reader import read

BYTES = 4  # of a float32
RUNNING = ("mean", "variance")  # of batch norm: kept with the network, and not trained
VISIBLE = 0.0455  # of the largest gradient: two standard deviations of a Gaussian (Luo et al. 2016, section 2)


@dataclass(frozen=True)
class Layer:
    """One step of a network.

    `parameters` counts what is trained, and `formula` says how; running statistics are in `state`. `multiply_adds` are
    of one example, forward: one multiply-add is two floating-point operations, and what courses call "FLOPs" are often
    multiply-adds. Sums, activations, norms and poolings count as none, as in `torch.utils.flop_counter`.
    `receptive_field`, `jump` and `offset` have one entry for each axis of the input but its channels (the only axis,
    where it has one): how many places one output unit may see, by how many these move from unit to unit (0 where all
    units see the same), and the first place that unit 0 sees, negative in the padding. `dense_parameters` are the
    weights that a dense layer between the same two shapes would have.
    """

    name: str
    op: str
    output_shape: tuple[int, ...]
    parameters: int
    formula: str
    state: int
    multiply_adds: int
    activation_bytes: int
    kernel: tuple[int, ...]
    effective_kernel: tuple[int, ...]
    effective_input: tuple[int, ...]
    receptive_field: tuple[int, ...]
    jump: tuple[int, ...]
    offset: tuple[int, ...]
    dense_parameters: int | None


@dataclass(frozen=True)
class Architecture:
    """A network's layers in order, the input first, and its sums. A weight that is used twice counts once."""

    layers: tuple[Layer, ...]
    parameters: int
    state: int
    multiply_adds: int
    activation_bytes: int
    graph: Graph


def architecture(net: Any, shape: Sequence[int]) -> Architecture:
    """Every layer of a network for examples of this shape: (40,), (3, 224, 224).

    `net` is a network, a function of a batch, or a graph; its weights may be shapes only (`equinox.filter_eval_shape`).
    Raises what `nets.reader.read` raises.

    >>> from flyroom.nets.spec import parse
    >>> found = architecture(parse("mnist1d-cnn").init(jax.random.key(0)), (40,))
    >>> found.parameters, found.multiply_adds
    (5210, 31750)
    >>> [layer.receptive_field for layer in found.layers if layer.op == "conv"]
    [(5,), (9,), (17,)]
    """
    graph = net if isinstance(net, Graph) else read(net, shape, check=False)
    nodes = graph.nodes
    places = spatial(nodes[0].shape)
    layers = tuple(
        _layer(node, [nodes[i] for i in node.inputs], field, places, nodes[0].shape)
        for node, field in zip(nodes, fields(nodes), strict=True)
    )
    trained, kept = _counted_once(nodes)
    return Architecture(
        layers,
        trained,
        kept,
        sum(layer.multiply_adds for layer in layers),
        sum(layer.activation_bytes for layer in layers),
        graph,
    )


def spatial(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of an input that a receptive field is told along: all but the channels, or the only one."""
    return tuple(range(1, len(shape))) if len(shape) > 1 else (0,)


def _counted_once(nodes: Sequence[Node]) -> tuple[int, int]:
    trained, kept = {}, {}
    for node in nodes:
        for name, array in node.weights.items():
            if name != "index":
                (kept if _is_state(node, name) else trained)[_memory_of(array)] = math.prod(array.shape)
    return sum(trained.values()), sum(kept.values())


def _memory_of(array: Any) -> int:
    """What tells two weights apart: a transposed view is the same weight."""
    return array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else id(array)


def _is_state(node: Node, name: str) -> bool:
    return (node.op == "batch_norm" and name in RUNNING) or not node.attributes.get("trained", True)


def _layer(node: Node, before: Sequence[Node], field: Field, places: tuple[int, ...], whole: tuple[int, ...]) -> Layer:
    weights = {name: array.shape for name, array in node.weights.items() if name != "index"}
    trained = {name: shape for name, shape in weights.items() if not _is_state(node, name)}
    reaches = [_within(field[axis], whole[axis]) for axis in places] if field else []
    windowed = node.op in WINDOWED
    kernel, dilation = window(node) if windowed else ((), ())
    padding: Any = node.attributes.get("padding", ()) if windowed else ()
    learned = node.op in ("dense", "conv", "local")
    return Layer(
        name=node.place,
        op=node.attributes.get("name", node.op),
        output_shape=node.shape,
        parameters=sum(math.prod(shape) for shape in trained.values()),
        formula=" + ".join(" x ".join(str(n) for n in shape) or "1" for shape in trained.values()),
        state=sum(math.prod(shape) for name, shape in weights.items() if _is_state(node, name)),
        multiply_adds=COSTS.get(node.op, lambda node, before: 0)(node, before),
        activation_bytes=BYTES * math.prod(node.shape),
        kernel=kernel,
        effective_kernel=tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)),
        effective_input=tuple(n + low + high for n, (low, high) in zip(before[0].shape[1:], padding, strict=True))
        if windowed
        else (),
        receptive_field=tuple(reach.size for reach in reaches),
        jump=tuple(reach.jump for reach in reaches),
        offset=tuple(reach.start for reach in reaches),
        dense_parameters=math.prod(before[0].shape) * math.prod(node.shape) if learned else None,
    )


def _within(reach: Reach, length: int) -> Reach:
    """Where all units see the same, without the padding around it."""
    if reach.axis is not None:
        return reach
    first = max(0, reach.start)
    return Reach(None, 0, first, min(length, reach.start + reach.size) - first)


# Multiply-adds of one example: (step, the steps before it). ----------------------------------------------------------


def _dense(node: Node, before: Sequence[Node]) -> int:
    return math.prod(node.shape) * node.weights["weight"].shape[1]


def _conv(node: Node, before: Sequence[Node]) -> int:
    return math.prod(node.shape) * math.prod(node.weights["weight"].shape[1:])


def _recurrent(node: Node, before: Sequence[Node]) -> int:
    """Each matrix once at each position."""
    matrices = sum(math.prod(w.shape) for name, w in node.weights.items() if len(w.shape) == 2)
    return matrices * positions(node, before)


def positions(node: Node, before: Sequence[Node]) -> int:
    """How many times a recurrent layer applies its matrices."""
    return before[0].shape[-1]


COSTS: Mapping[str, Callable[[Node, Sequence[Node]], int]] = MappingProxyType(
    {
        "dense": _dense,
        "conv": _conv,
        "local": lambda node, before: math.prod(node.weights["weight"].shape),
        "rnn": _recurrent,
        "gru": _recurrent,
    }
)

# What is seen in fact. -----------------------------------------------------------------------------------------------


def gradient_field(
    net: Any, shape: Sequence[int], layer: str, *, unit: Sequence[int] | None = None, examples: int = 16, seed: int = 0
) -> Float[np.ndarray, "*input"]:
    """How strongly one unit of a layer depends on each place of the input: the mean |gradient| over random inputs.

    The *effective* receptive field (Luo, Li, Urtasun and Zemel, 2016): its support may have holes, where a dilated
    kernel steps over places, and most of its weight lies near the middle. `layer` is the name in `architecture`, `unit`
    an index into its output, the middle one of the first channel unless given. Inputs are standard normal.

    Raises ValueError for a layer or unit that there is none of, and for weights that are shapes only.
    """
    graph = net if isinstance(net, Graph) else read(net, shape)
    names = [node.place for node in graph.nodes]
    if layer not in names:
        raise ValueError(f"there is no layer {layer!r}; there are {', '.join(names)}")
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(graph)):
        raise ValueError("the weights are shapes only; a gradient needs the weights themselves")
    place = names.index(layer)
    out = graph.nodes[place].shape
    chosen = tuple(unit) if unit is not None else (0,) * (len(out) > 1) + tuple(n // 2 for n in out[(len(out) > 1) :])
    if len(chosen) != len(out) or any(not 0 <= i < n for i, n in zip(chosen, out, strict=True)):
        raise ValueError(f"{layer} has the output shape {out}; there is no unit {chosen} in it")
    upto = Graph(graph.nodes[: place + 1])
    arrays, rest = eqx.partition(upto, eqx.is_array)

    @jax.jit
    def gradients(arrays: Any, x: Any) -> Any:
        return jax.grad(lambda x: eqx.combine(arrays, rest)(x)[(slice(None), *chosen)].sum())(x)

    x = np.random.default_rng(seed).standard_normal((examples, *graph.nodes[0].shape)).astype(np.float32)
    return np.abs(np.asarray(gradients(arrays, jnp.asarray(x)))).mean(0)


def effective_size(gradient: Float[np.ndarray, "*input"]) -> tuple[int, ...]:
    """Along each axis but the channels: how many places have a gradient above 4.55 % of the largest.

    Those within two standard deviations, were it a Gaussian; places in holes do not count.
    """
    axes = spatial(gradient.shape)
    sizes = []
    for axis in axes:
        others = tuple(i for i in range(gradient.ndim) if i != axis)
        along = gradient.max(axis=others)
        sizes.append(int((along > VISIBLE * along.max()).sum()) if along.max() > 0 else 0)
    return tuple(sizes)


def middle_field(layer: Layer, shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """First and last place that the middle unit of a layer sees, along each axis that fields are told along; clipped.

    >>> from flyroom.nets.spec import parse
    >>> found = architecture(parse("mnist1d-cnn").init(jax.random.key(0)), (40,))
    >>> middle_field(found.layers[-1], (40,))
    ((0, 39),)
    """
    places, units = spatial(shape), layer.output_shape[-len(layer.jump) :] if layer.jump else ()
    found = []
    for axis, size, jump, offset, count in zip(
        places, layer.receptive_field, layer.jump, layer.offset, units or (1,) * len(places), strict=False
    ):
        first = offset + jump * (count // 2)
        found.append((max(0, first), min(shape[axis] - 1, first + size - 1)))
    return tuple(found)
