"""A network as a list of steps in order: what every measure opens, and what a converted network is.

`reader.read` makes one of any network here or of a JAX function, `torch.convert` of a PyTorch module. A graph is a
network like the others: it can be called, trained, and read.
"""

from collections.abc import Callable, Hashable, Mapping
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flyroom.nets import pooling
from flyroom.nets._named import named
from flyroom.nets.activations import activation
from flyroom.nets.convolution import convolve
from flyroom.nets.gru import gru
from flyroom.nets.local import local
from flyroom.nets.norms import at_inference, normalised_by_groups, normalised_by_layer
from flyroom.nets.padding import pad
from flyroom.nets.prelu import prelu
from flyroom.nets.rnn import rnn

Weights = Mapping[str, Any]  # names as in PyTorch; JAX's or NumPy's arrays, or only their shapes


class Node(eqx.Module):
    """One step. `inputs` are places of earlier steps in the list; `shape` is that of one example's output.

    `place` says where in the network the step is: the path of its weights (`layers.0`), or its operation and a number
    (`relu_2`). `weights` are laid out as in PyTorch. Attributes: strides, names, axes; axes are those of one example.
    """

    op: str = eqx.field(static=True)
    inputs: tuple[int, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    place: str = eqx.field(static=True)
    weights: dict[str, Any] = eqx.field(default_factory=dict)
    details: tuple[tuple[str, Hashable], ...] = eqx.field(static=True, default=())

    def __hash__(self) -> int:  # a dictionary has none, and what is compiled is found by it
        weights = tuple(sorted(self.weights.items()))
        return hash((self.op, self.inputs, self.shape, self.place, weights, self.details))

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes by name."""
        return dict(self.details)


class Graph(eqx.Module):
    """Steps in order: the first is the input, the last is the output. Called on a batch, (batch, *shape)."""

    nodes: tuple[Node, ...]

    def __call__(self, x: Float[Array | np.ndarray, "batch *example"]) -> Float[Array, "batch *output"]:
        return self.values(x)[-1]

    def values(self, x: Float[Array | np.ndarray, "batch *example"]) -> list[Float[Array, "batch *value"]]:
        """What every step makes of the batch, in order.

        Raises ValueError where x is no batch of examples of the input's shape.
        """
        expected = self.nodes[0].shape
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"x has the shape {tuple(x.shape)}; this network takes (batch, {_said(expected)})")
        found = [jnp.moveaxis(x, 0, -1)]
        for node in self.nodes[1:]:
            found.append(evaluate(node, [found[i] for i in node.inputs], x.shape[0]))
        return [jnp.moveaxis(value, -1, 0) for value in found]


def _said(shape: tuple[int, ...]) -> str:
    return ", ".join(str(length) for length in shape)


def evaluate(node: Node, inputs: list[Array], batch: int) -> Array:
    """One step's output from its inputs, all with the batch as the last axis.

    Raises ValueError for an operation that there is none of.
    """
    attributes = node.attributes
    if node.op in KINDS:
        function = KINDS[node.op]
        x = inputs[0] if len(inputs) == 1 else tuple(inputs)
        return named(node.op, lambda x, weights: function(x, weights, **attributes), x, node.weights, **attributes)
    if node.op == "constant":
        value = jnp.asarray(node.weights["value"])
        if not attributes.get("trained", True):  # a buffer
            value = jax.lax.stop_gradient(value)
        return jnp.broadcast_to(value[..., None], (*node.shape, batch))
    if node.op not in PLAIN:
        raise ValueError(f"{node.place}: there is no operation {node.op!r}; there are {', '.join((*KINDS, *PLAIN))}")
    return PLAIN[node.op](node, inputs, batch)


# Kinds of layer: (x, weights, **attributes). These are read as they were written. -----------------------------------


def _plus_bias(x: Array, weights: Weights, axes: int) -> Array:
    if "bias" not in weights:
        return x
    bias = weights["bias"]
    return x + bias.reshape(bias.shape + (1,) * axes)


def dense(x: Array, weights: Weights) -> Array:
    """W x + b along the last axis of an example, x being (*others, input, batch)."""
    weight = weights["weight"]
    if x.ndim == 2:
        return _plus_bias(weight @ x, weights, 1)
    return _plus_bias(jnp.einsum("oi,...ib->...ob", weight, x), weights, 1)


def _conv(x: Array, weights: Weights, **attributes: Any) -> Array:
    return _plus_bias(convolve(x, weights["weight"], **attributes), weights, x.ndim - 1)


def _batch_norm(x: Array, weights: Weights, **given: Any) -> Array:
    return at_inference(x, **weights, **given)


Kind = Callable[..., Array]
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "dense": dense,
        "conv": _conv,
        "local": local,
        "max_pool": lambda x, _, **given: pooling.max_pool(x, **given),
        "mean_pool": lambda x, _, **given: pooling.mean_pool(x, **given),
        "l2_pool": lambda x, _, **given: pooling.l2_pool(x, **given),
        "activation": lambda x, _, *, name, **given: activation(name)(x, **given),
        "prelu": lambda x, weights: prelu(x, weights["slope"]),
        "batch_norm": _batch_norm,
        "group_norm": lambda x, weights, **given: normalised_by_groups(x, **weights, **given),
        "layer_norm": lambda x, weights, **given: normalised_by_layer(x, **weights, **given),
        "rnn": rnn,
        "gru": gru,
    }
)

# Plain arithmetic: (node, inputs, batch). ---------------------------------------------------------------------------

Plain = Callable[[Node, list[Array], int], Array]


def _aligned(inputs: list[Array]) -> list[Array]:
    """Inputs of unequal rank, aligned at their first axes' end as NumPy does for the axes of one example."""
    rank = max(x.ndim for x in inputs)
    return [x.reshape((1,) * (rank - x.ndim) + x.shape) for x in inputs]


def _two(function: Callable[[Array, Array], Array]) -> Plain:
    return lambda node, inputs, batch: function(*_aligned(inputs))


def _over(function: Callable[..., Array]) -> Plain:
    return lambda node, inputs, batch: function(inputs[0], axis=node.attributes["axes"])


def _slice(node: Node, inputs: list[Array], batch: int) -> Array:
    given = node.attributes
    places = zip(given["starts"], given["stops"], given["steps"], strict=True)
    return inputs[0][tuple(slice(start, stop, step) for start, stop, step in places)]


def _unit(x: Array, axis: int) -> Array:
    return x / jnp.sqrt(jnp.sum(x * x, axis=axis, keepdims=True))


ELEMENTWISE: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {"abs": jnp.abs, "cos": jnp.cos, "exp": jnp.exp, "expm1": jnp.expm1, "log": jnp.log, "log1p": jnp.log1p,
     "rsqrt": jax.lax.rsqrt, "sqrt": jnp.sqrt, "sign": jnp.sign, "floor": jnp.floor, "erfc": jax.scipy.special.erfc}
)  # fmt: skip

PLAIN: Mapping[str, Plain] = MappingProxyType(
    {
        "add": _two(jnp.add),
        "subtract": _two(jnp.subtract),
        "multiply": _two(jnp.multiply),
        "divide": _two(jnp.divide),
        "maximum": _two(jnp.maximum),
        "minimum": _two(jnp.minimum),
        "scale": lambda node, inputs, batch: inputs[0] * node.attributes["value"],
        "shift": lambda node, inputs, batch: inputs[0] + node.attributes["value"],
        "elementwise": lambda node, inputs, batch: ELEMENTWISE[node.attributes["name"]](inputs[0]),
        "concatenate": lambda node, inputs, batch: jnp.concatenate(inputs, node.attributes["axis"]),
        "reshape": lambda node, inputs, batch: inputs[0].reshape(*node.shape, batch),
        "broadcast": lambda node, inputs, batch: jnp.broadcast_to(inputs[0], (*node.shape, batch)),
        "transpose": lambda node, inputs, batch: inputs[0].transpose(*node.attributes["axes"], inputs[0].ndim - 1),
        "mean": _over(jnp.mean),
        "sum": _over(jnp.sum),
        "max": _over(jnp.max),
        "pad": lambda node, inputs, batch: pad(inputs[0], node.attributes["widths"], node.attributes["mode"]),
        "slice": _slice,
        "take": lambda node, inputs, batch: jnp.take(inputs[0], node.weights["index"], node.attributes["axis"]),
        "softmax": lambda node, inputs, batch: jax.nn.softmax(inputs[0], node.attributes["axis"]),
        "l2_normalise": lambda node, inputs, batch: _unit(inputs[0], node.attributes["axis"]),
    }
)
