"""Pooling along the positions of a signal: arrays are (channel, position, batch), windows do not overlap.

What does not fill a last window is dropped, as in PyTorch.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

import jax.numpy as jnp
from jaxtyping import Array, Float

Signal = Float[Array, "channel position batch"]
Pooled = Float[Array, "channel window batch"]
Pooling = Callable[[Signal, int], Pooled]


def _windows(x: Signal, size: int) -> Float[Array, "channel window size batch"]:
    channels, positions, batch = x.shape
    if not 1 <= size <= positions:
        raise ValueError(f"a window of {size} does not fit {positions} positions; choose 1 to {positions}")
    count = positions // size
    return x[:, : count * size].reshape(channels, count, size, batch)


def none(x: Signal, size: int = 1) -> Signal:
    """No pooling: the signal itself, whatever the size."""
    return x


def maximum(x: Signal, size: int = 2) -> Pooled:
    """The largest value of each window."""
    return _windows(x, size).max(2)


def mean(x: Signal, size: int = 2) -> Pooled:
    """The mean of each window."""
    return _windows(x, size).mean(2)


def l2(x: Signal, size: int = 2) -> Pooled:
    """The Euclidean norm of each window, as PyTorch's `lp_pool1d` with p = 2 (a sum, not a mean, under the root).

    Its gradient where a whole window is zero is taken as 0, not as the NaN that the root's own rule would give.
    """
    squares = (_windows(x, size) ** 2).sum(2)
    safe = jnp.where(squares > 0, squares, 1)
    return jnp.where(squares > 0, jnp.sqrt(safe), 0)


POOLINGS: Mapping[str, Pooling] = MappingProxyType({"none": none, "max": maximum, "mean": mean, "l2": l2})


def pooling(name: str) -> Pooling:
    """The pooling of that name; ValueError with near matches where there is none."""
    if name not in POOLINGS:
        near = get_close_matches(name, POOLINGS, n=2) or sorted(POOLINGS)
        raise ValueError(f"there is no pooling {name!r}; did you mean {' or '.join(near)}?")
    return POOLINGS[name]
