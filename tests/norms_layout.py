"""Normalisation layers in PyTorch's terms: cases, inputs and weights of golden arrays. Nothing here needs PyTorch.

Shapes are PyTorch's, (batch, channel, *space); `last` and `first` move the batch to where it is here and back.
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from pytorch_layout import draw

from flyroom.losses import cross_entropy
from flyroom.nets._layers import Dense
from flyroom.nets.norms import AtInference, BatchNorm, Running, absorb
from flyroom.train import Protocol

GOLDEN = Path(__file__).parent / "golden" / "norms.npz"
CHANNELS = 4
SHAPES = {"points": (6, 4), "signals": (5, 4, 7), "images": (2, 4, 3, 5)}
# Of each case: what is normalised, and the number of groups; the number of last axes.
GROUPS = {"points 1": ("points", 1)} | {f"{kind} {n}": (kind, n) for kind in ("signals", "images") for n in (1, 2, 4)}
LAYERS = {"points 1": ("points", 1)} | {f"{kind} {n}": (kind, n) for kind in ("signals", "images") for n in (1, 2)}
LAYERS["images 3"] = ("images", 3)


def inputs(label: str, kind: str) -> np.ndarray:
    """Values whose channels have unequal means and spreads."""
    space = [1] * (len(SHAPES[kind]) - 2)
    spread, offset = (np.array(values).reshape(CHANNELS, *space) for values in ([0.5, 1, 2, 4], [-2, 0, 1, 5]))
    return draw(f"{label} {kind}", SHAPES[kind], 1.0) * spread + offset


def affine(label: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A gain and a bias."""
    return 1 + draw(f"{label} gain", shape, 0.5), draw(f"{label} bias", shape, 0.5)


def upstream(label: str, kind: str) -> np.ndarray:
    """The gradient by a layer's output: weights of the sum that is differentiated."""
    return draw(f"{label} upstream {kind}", SHAPES[kind], 1.0)


def last(x: np.ndarray, dtype: Any) -> Any:
    return jnp.asarray(np.moveaxis(x, 0, -1), dtype)


def first(x: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(x), -1, 0)


# A small network with batch norm, and its training. ------------------------------------------------------------------

EXAMPLES, BATCH, RATE, STEPS = 60, 20, 0.1, 10
NAMES = {
    "0.weight": (16, 8),
    "0.bias": (16,),
    "1.weight": (16,),
    "1.bias": (16,),
    "3.weight": (3, 16),
    "3.bias": (3,),
}


class Normed(eqx.Module):
    """Dense, batch norm, ReLU, dense."""

    before: Dense
    norm: BatchNorm
    after: Dense

    def begin(self) -> Running:
        return self.norm.begin()

    def train(self, x: Any, running: Running) -> tuple[Any, Running]:
        hidden, running = self.norm.train(self.before(x.T), running)
        return self.after(jax.nn.relu(hidden)).T, running

    def inference(self, x: Any, running: Running) -> Any:
        return self.after(jax.nn.relu(self.norm.inference(self.before(x.T), running))).T


def weights(label: str) -> dict[str, np.ndarray]:
    """First weights by the names of PyTorch's Sequential."""
    scale = {key: 8**-0.5 if key.startswith("0") else 16**-0.5 for key in NAMES}
    found = {key: draw(f"{label} {key}", shape, scale[key]) for key, shape in NAMES.items()}
    return found | {"1.weight": 1 + found["1.weight"]}


def examples() -> tuple[np.ndarray, np.ndarray]:
    """Sixty points of three classes with a common offset, so that running means have somewhere to go."""
    y = (np.arange(EXAMPLES) % 3).astype(np.int32)
    return draw("points", (EXAMPLES, 8), 1.0) + draw("centres", (3, 8), 1.0)[y] + 2, y


def load(state: dict[str, np.ndarray], dtype: Any = np.float32) -> AtInference:
    """The network with these weights and running statistics from the beginning."""
    given = {key: jnp.asarray(array, dtype) for key, array in state.items()}
    norm = eqx.tree_at(lambda norm: (norm.gain, norm.bias), BatchNorm.init(16), (given["1.weight"], given["1.bias"]))
    net = Normed(Dense(given["0.weight"], given["0.bias"]), norm, Dense(given["3.weight"], given["3.bias"]))
    return AtInference(net, net.begin())


def unload(model: AtInference) -> dict[str, np.ndarray]:
    """Weights and running statistics by PyTorch's names."""
    found = dict(zip(NAMES, jax.tree.leaves(model.net), strict=True))
    found |= {"1.running_mean": model.running.mean, "1.running_var": model.running.variance}
    return {key: np.asarray(array) for key, array in found.items()}


def loss(model: AtInference, x: Any, y: Any) -> tuple[Any, Running]:
    logits, running = model.net.train(x, model.running)
    return cross_entropy(lambda _: logits, x, y), running


PROTOCOL = Protocol(loss, optax.sgd, after=absorb)
