"""The benchmark networks' weights by their PyTorch names, and one fixed draw of weights and data for golden arrays.

Nothing here needs PyTorch. The draw is a hash in whole-number arithmetic, so that every machine and every version of
NumPy gives the same bits, and neither weights nor data need a place in the golden file.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flyroom.losses import cross_entropy
from flyroom.nets.spec import parse

GOLDEN = Path(__file__).parent / "golden" / "pytorch.npz"
EXAMPLES, BATCH, RATE = 500, 100, 1e-2

_GRU = {
    f"gru.{part}_l0{side}": (shape, 6)
    for side in ("", "_reverse")
    for part, shape in (("weight_ih", (18, 1)), ("weight_hh", (18, 6)), ("bias_ih", (18,)), ("bias_hh", (18,)))
}

# Shape and fan-in by PyTorch's name, in the order in which our networks hold them. The layouts are the same:
# PyTorch flattens a convolution's output as (channel, position) and a GRU's as (position, 12), and so do we.
NAMES: Mapping[str, Mapping[str, tuple[tuple[int, ...], int]]] = {
    "mnist1d-linear": {"linear.weight": ((10, 40), 40), "linear.bias": ((10,), 40)},
    "mnist1d-mlp": {
        "linear1.weight": ((100, 40), 40),
        "linear1.bias": ((100,), 40),
        "linear2.weight": ((100, 100), 100),
        "linear2.bias": ((100,), 100),
        "linear3.weight": ((10, 100), 100),
        "linear3.bias": ((10,), 100),
    },
    "mnist1d-cnn": {
        "conv1.weight": ((25, 1, 5), 5),
        "conv1.bias": ((25,), 5),
        "conv2.weight": ((25, 25, 3), 75),
        "conv2.bias": ((25,), 75),
        "conv3.weight": ((25, 25, 3), 75),
        "conv3.bias": ((25,), 75),
        "linear.weight": ((10, 125), 125),
        "linear.bias": ((10,), 125),
    },
    "mnist1d-gru": {**_GRU, "linear.weight": ((10, 480), 480), "linear.bias": ((10,), 480)},
}


def draw(label: str, shape: tuple[int, ...], bound: float) -> np.ndarray:
    """Float32 values, uniform on [-bound, bound): Steele, Lea and Flood's SplitMix64 of label and place."""
    bits = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(zlib.crc32(label.encode()) << 32)
    bits *= np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    unit = ((bits ^ (bits >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**23 - 1
    return (unit * bound).reshape(shape).astype(np.float32)


def weights(name: str, label: str = "golden") -> dict[str, np.ndarray]:
    """First weights of PyTorch's distribution under PyTorch's names."""
    return {key: draw(f"{label} {key}", shape, 1 / np.sqrt(fan_in)) for key, (shape, fan_in) in NAMES[name].items()}


def examples() -> tuple[np.ndarray, np.ndarray]:
    """500 noisy signals of ten classes, so that there is something to learn, and their labels."""
    y = (np.arange(EXAMPLES) % 10).astype(np.int32)
    return draw("noise", (EXAMPLES, 40), 1.75) + draw("classes", (10, 40), 1.5)[y], y


def directions(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Four fixed directions: the products with them stand for an array too large to be kept."""
    return draw(f"directions {key}", (4, int(np.prod(shape))), 1.0).astype(np.float64)


def load(name: str, state: Mapping[str, np.ndarray], dtype: Any = np.float32) -> Any:
    """Our network with the weights of PyTorch's."""
    tree = jax.tree.structure(parse(name).init(jax.random.key(0)))
    return tree.unflatten([jnp.asarray(state[key], dtype) for key in NAMES[name]])


def unload(name: str, net: Any) -> dict[str, np.ndarray]:
    """Our weights, or gradients by them, under PyTorch's names: what `load` undoes."""
    return {key: np.asarray(leaf) for key, leaf in zip(NAMES[name], jax.tree.leaves(net), strict=True)}


@eqx.filter_jit
def outputs_and_gradient(net: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Logits, and the gradient of the mean cross-entropy by the weights."""
    return net(x), eqx.filter_grad(cross_entropy)(net, x, y)
