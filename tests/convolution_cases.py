"""Convolutions and poolings with one fixed draw of inputs and weights, for golden arrays and live comparison.

Nothing here needs PyTorch. Shapes are PyTorch's, (batch, channel, *space); our functions take the batch as last axis.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pytorch_layout import draw

from flyroom.nets import pooling
from flyroom.nets.convolution import Convolution

GOLDEN = Path(__file__).parent / "golden" / "convolution.npz"


@dataclass(frozen=True)
class Case:
    """One layer: the input's shape, the weight's (none for a pooling), and the options as our functions take them."""

    shape: tuple[int, ...]
    weight: tuple[int, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


SIGNAL, IMAGE = (3, 4, 11), (2, 4, 7, 6)

CONVOLUTIONS: Mapping[str, Case] = {
    "signal": Case(SIGNAL, (5, 4, 3)),
    "signal, stride and padding": Case(SIGNAL, (5, 4, 4), {"stride": 2, "padding": 1}),
    "signal, dilation": Case(SIGNAL, (5, 4, 3), {"dilation": 4, "padding": (3, 1)}),
    "signal, groups": Case(SIGNAL, (6, 2, 3), {"groups": 2, "padding": 1, "stride": 3}),
    "signal, depthwise": Case(SIGNAL, (8, 1, 3), {"groups": 4, "dilation": 2, "padding": "same"}),
    "signal, mirror": Case(SIGNAL, (5, 4, 3), {"padding": (10, 3), "mode": "mirror", "stride": 2}),
    "signal, duplicate": Case(SIGNAL, (5, 4, 3), {"padding": (0, 13), "mode": "duplicate"}),
    "signal, circular": Case(SIGNAL, (5, 4, 5), {"padding": (11, 2), "mode": "circular"}),
    "signal, even kernel, same": Case(SIGNAL, (5, 4, 4), {"padding": "same"}),
    "signal, even kernel, same, dilated, circular": Case(
        SIGNAL, (5, 4, 4), {"padding": "same", "dilation": 3, "mode": "circular"}
    ),
    "image": Case(IMAGE, (5, 4, 3, 3)),
    "image, one tap, stride": Case(IMAGE, (5, 4, 1, 1), {"stride": 2}),
    "image, unequal kernel, stride, padding": Case(
        IMAGE, (5, 4, 3, 2), {"stride": (2, 3), "padding": ((1, 1), (2, 2))}
    ),
    "image, unequal dilation": Case(IMAGE, (5, 4, 3, 2), {"dilation": (2, 3), "padding": ((0, 1), (2, 0))}),
    "image, groups": Case(IMAGE, (6, 2, 3, 3), {"groups": 2, "padding": 1, "stride": 2}),
    "image, depthwise, same": Case(IMAGE, (4, 1, 3, 3), {"groups": 4, "padding": "same"}),
    "image, even kernel, same": Case(IMAGE, (5, 4, 2, 4), {"padding": "same"}),
    "image, reflect": Case(IMAGE, (5, 4, 3, 3), {"padding": ((6, 1), (2, 5)), "mode": "reflect", "stride": 3}),
    "image, replicate": Case(IMAGE, (5, 4, 3, 3), {"padding": 2, "mode": "replicate", "dilation": 2}),
    "image, circular": Case(IMAGE, (5, 4, 3, 3), {"padding": ((1, 1), (6, 3)), "mode": "circular", "stride": 2}),
}

POOLINGS: Mapping[str, Case] = {
    "max, signal": Case(SIGNAL, options={"window": 3}),
    "max, signal, overlapping, padded": Case(SIGNAL, options={"window": 3, "stride": 2, "padding": 1}),
    "max, image": Case(IMAGE, options={"window": 2}),
    "max, image, overlapping, padded": Case(
        IMAGE, options={"window": (3, 2), "stride": (2, 1), "padding": ((1, 1), (1, 1))}
    ),
    "mean, signal": Case(SIGNAL, options={"window": 4, "stride": 3}),
    "mean, signal, padded": Case(SIGNAL, options={"window": 3, "stride": 2, "padding": 1}),
    "mean, signal, padding not counted": Case(
        SIGNAL, options={"window": 3, "stride": 2, "padding": 1, "count_padding": False}
    ),
    "mean, image": Case(IMAGE, options={"window": (2, 3)}),
    "mean, image, padded": Case(IMAGE, options={"window": 3, "stride": 2, "padding": ((1, 1), (1, 1))}),
    "mean, image, padding not counted": Case(
        IMAGE, options={"window": 3, "stride": (1, 2), "padding": 1, "count_padding": False}
    ),
    "l2, signal": Case(SIGNAL, options={"window": 3, "stride": 2}),
    "l2, image": Case(IMAGE, options={"window": (3, 2), "stride": (2, 1)}),
    "global, signal": Case(SIGNAL),
    "global, image": Case(IMAGE),
}

FUNCTIONS: Mapping[str, Callable] = {
    "max": pooling.max_pool,
    "mean": pooling.mean_pool,
    "l2": pooling.l2_pool,
    "global": pooling.global_mean,
}


def inputs(name: str, case: Case, label: str = "golden") -> dict[str, np.ndarray]:
    """`x` and, for a convolution, `weight` and `bias`."""
    found = {"x": draw(f"{label} {name} x", case.shape, 1.0)}
    if case.weight:
        bound = float(np.prod(case.weight[1:])) ** -0.5
        found["weight"] = draw(f"{label} {name} weight", case.weight, bound)
        found["bias"] = draw(f"{label} {name} bias", case.weight[:1], bound)
    return found


def upstream(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights of the sum of outputs whose gradient is compared."""
    return draw(f"upstream {name}", shape, 1.0)


def ours(name: str, case: Case, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Output and gradients by each of `given`, in PyTorch's shapes and the precision of `given`."""

    @jax.jit
    def output(arrays: dict[str, Any]) -> Any:
        x = jnp.moveaxis(arrays["x"], 0, -1)
        if case.weight:
            y = Convolution.of(arrays["weight"], arrays["bias"], **case.options)(x)
        else:
            y = FUNCTIONS[name.partition(",")[0]](x, **case.options)
        return jnp.moveaxis(y, -1, 0)

    arrays = {key: jnp.asarray(value) for key, value in given.items()}
    y = output(arrays)
    weighted = jnp.asarray(upstream(name, y.shape), y.dtype)
    gradients = jax.jit(jax.grad(lambda arrays: (output(arrays) * weighted).sum()))(arrays)
    return {"output": np.asarray(y)} | {f"gradient {key}": np.asarray(value) for key, value in gradients.items()}


def shapes_by_path(net: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's parameters under their names in a file: `convolutions.0.weight`."""
    leaves = jax.tree_util.tree_leaves_with_path(net)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves}
