"""Recurrent layers, parametric ReLUs and losses with one fixed draw of inputs and weights, for golden arrays and live
comparison.

Nothing here needs PyTorch. Shapes are PyTorch's with the batch first; our recurrent functions take it as the last axis.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pytorch_layout import draw

from flyroom.losses import binary_cross_entropy, cross_entropy, squared_error
from flyroom.nets.gru import gru
from flyroom.nets.prelu import prelu
from flyroom.nets.rnn import RNN, rnn

GOLDEN = Path(__file__).parent / "golden" / "recurrent.npz"
BATCH, POSITIONS, CLASSES = 4, 9, 3

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """One recurrent layer, as PyTorch's constructor describes it."""

    kind: str  # "rnn" or "gru"
    inputs: int
    hidden: int
    bidirectional: bool = False
    bias: bool = True
    nonlinearity: str = "tanh"


CASES: Mapping[str, Case] = {
    "rnn": Case("rnn", 1, 5),
    "rnn, both directions": Case("rnn", 1, 5, bidirectional=True),
    "rnn, relu, three inputs, both directions": Case("rnn", 3, 4, bidirectional=True, nonlinearity="relu"),
    "rnn, two inputs, no biases": Case("rnn", 2, 4, bias=False),
    "gru, one direction": Case("gru", 1, 4),
    "gru, three inputs, both directions": Case("gru", 3, 4, bidirectional=True),
    "gru, two inputs, no biases": Case("gru", 2, 3, bias=False),
}
# Whole networks: they read a signal of one channel, as the benchmark's GRU does.
NETWORKS: Mapping[str, Case] = {
    "network": Case("rnn", 1, 5),
    "network, relu, both directions": Case("rnn", 1, 4, bidirectional=True, nonlinearity="relu"),
}


def weights(name: str, label: str = "golden") -> Arrays:
    """First weights of PyTorch's distribution under PyTorch's names, in its order."""
    case = {**CASES, **NETWORKS}[name]
    rows = case.hidden * (3 if case.kind == "gru" else 1)
    shapes = {
        f"{part}_l0{side}": shape
        for side in ("", "_reverse")[: 1 + case.bidirectional]
        for part, shape in (
            ("weight_ih", (rows, case.inputs)),
            ("weight_hh", (rows, case.hidden)),
            *((("bias_ih", (rows,)), ("bias_hh", (rows,))) if case.bias else ()),
        )
    }
    found = {key: draw(f"{label} {name} {key}", shape, case.hidden**-0.5) for key, shape in shapes.items()}
    if name in NETWORKS:
        fan_in = (1 + case.bidirectional) * case.hidden * POSITIONS
        found["linear.weight"] = draw(f"{label} {name} last", (CLASSES, fan_in), fan_in**-0.5)
        found["linear.bias"] = draw(f"{label} {name} bias", (CLASSES,), fan_in**-0.5)
    return found


def signals(name: str, label: str = "golden") -> np.ndarray:
    """(batch, position, input); for a whole network without the last axis."""
    found = draw(f"{label} {name} x", (BATCH, POSITIONS, {**CASES, **NETWORKS}[name].inputs), 2.0)
    return found[..., 0] if name in NETWORKS else found


def upstream(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """What the outputs are multiplied with before they are summed up for a gradient."""
    return draw(f"{name} upstream", shape, 1.0)


def _with_gradients(name: str, function: Callable[[dict[str, Any]], Any], given: Arrays) -> Arrays:
    def weighted(given: dict[str, Any]) -> Any:
        outputs = function(given)
        return (outputs * upstream(name, outputs.shape)).sum(), outputs

    given = {key: jnp.asarray(value) for key, value in given.items()}  # pyright: ignore
    (_, outputs), gradients = jax.jit(jax.value_and_grad(weighted, has_aux=True))(given)
    return {"output": np.asarray(outputs)} | {f"gradient {key}": np.asarray(g) for key, g in gradients.items()}


def ours(name: str, given: Arrays) -> Arrays:
    """Output and gradients by each of `given`: x and the weights, in their precision and PyTorch's layout."""
    if name in NETWORKS:
        case = NETWORKS[name]
        settings: dict[str, Any] = {"bidirectional": case.bidirectional, "nonlinearity": case.nonlinearity}
        tree = jax.tree.structure(RNN.init(jax.random.key(0), POSITIONS, case.hidden, CLASSES, **settings))
        order = list(weights(name))
        return _with_gradients(name, lambda given: tree.unflatten([given[key] for key in order])(given["x"]), given)
    case = CASES[name]
    function = gru if case.kind == "gru" else partial(rnn, nonlinearity=case.nonlinearity)

    def states(given: dict[str, Any]) -> Any:
        x = given["x"].transpose(2, 1, 0)
        rest = {key: value for key, value in given.items() if key != "x"}
        return function(x, rest, bidirectional=case.bidirectional).transpose(2, 1, 0)

    return _with_gradients(name, states, given)


def given(name: str, label: str = "golden", dtype: Any = np.float64) -> Arrays:
    """Inputs and weights of a recurrent case."""
    return {key: a.astype(dtype) for key, a in ({"x": signals(name, label)} | weights(name, label)).items()}


# Parametric ReLUs: (shape, slopes). ----------------------------------------------------------------------------------

SLOPES: Mapping[str, tuple[tuple[int, ...], int]] = {
    "prelu, one slope, signals": ((3, 4, 5), 1),
    "prelu, a slope a channel, images": ((2, 4, 3, 2), 4),
    "prelu, a slope a unit": ((6, 4), 4),
}


def prelu_given(name: str, label: str = "golden", dtype: Any = np.float64) -> Arrays:
    """x with some exact zeros, and slopes."""
    shape, slopes = SLOPES[name]
    x = draw(f"{label} {name} x", shape, 1.0)
    return {
        "x": np.where(np.abs(x) < 0.1, 0, x).astype(dtype),
        "slope": draw(f"{label} {name}", (slopes,), 1.0).astype(dtype),
    }


def our_prelu(name: str, given: Arrays) -> Arrays:
    """Output and gradients by x and the slopes."""

    def applied(given: dict[str, Any]) -> Any:
        return jnp.moveaxis(prelu(jnp.moveaxis(given["x"], 0, -1), given["slope"]), -1, 0)

    return _with_gradients(name, applied, given)


# Losses: from logits (batch, output) to a number. -------------------------------------------------------------------

EXAMPLES, OUTPUTS = 12, 5
SIZES = (1.0, 30.0, 1e4)  # of the logits
LABELS = np.arange(EXAMPLES) % OUTPUTS
TARGETS = (np.arange(EXAMPLES * OUTPUTS).reshape(EXAMPLES, OUTPUTS) * 7 % 3 == 0).astype(np.float32)
LOSSES: Mapping[str, tuple[Callable[..., Any], np.ndarray]] = {
    "cross-entropy": (cross_entropy, LABELS.astype(np.int32)),
    "cross-entropy, smoothed": (partial(cross_entropy, smoothing=0.1), LABELS.astype(np.int32)),
    "binary cross-entropy": (binary_cross_entropy, TARGETS),
    "binary cross-entropy, smoothed": (partial(binary_cross_entropy, smoothing=0.1), TARGETS),
    "squared error": (squared_error, TARGETS),
}


def logits(size: float) -> np.ndarray:
    """The first two rows are at plus and minus the size, so that none of it is rounded away."""
    found = draw(f"logits {size}", (EXAMPLES, OUTPUTS), size)
    found[0, ::2], found[1, 1::2] = size, -size
    return found


def our_loss(name: str, size: float, dtype: Any = np.float64) -> Arrays:
    """The loss and its gradient by the logits."""
    function, y = LOSSES[name]
    y = jnp.asarray(y, dtype) if y.ndim == 2 else jnp.asarray(y)
    value, gradient = jax.value_and_grad(lambda z: function(lambda x: x, z, y))(jnp.asarray(logits(size), dtype))
    return {"value": np.asarray(value), "gradient": np.asarray(gradient)}
