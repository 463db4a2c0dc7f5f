"""Activations: elementwise functions by their usual names, as plain functions of an array."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Activation = Callable[[Float[Array, "..."]], Float[Array, "..."]]


def identity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x itself: what makes a deep linear network."""
    return x


def square(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x squared, the simplest activation that is not piecewise linear."""
    return x * x


def hard_tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x held between -1 and 1."""
    return jnp.clip(x, -1, 1)


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x times the normal distribution function of x: the exact form, as PyTorch's default.

    Not to be confused with the tanh approximation, which is JAX's default.
    """
    return jax.nn.gelu(x, approximate=False)


def leaky_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x where positive, else 0.01 x (the slope that PyTorch and the field use unless told otherwise)."""
    return jnp.where(x >= 0, x, 0.01 * x)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "elu": jax.nn.elu,
        "gelu": gelu,
        "hard_tanh": hard_tanh,
        "identity": identity,
        "leaky_relu": leaky_relu,
        "relu": jax.nn.relu,
        "sigmoid": jax.nn.sigmoid,
        "silu": jax.nn.silu,
        "sin": jnp.sin,
        "softplus": jax.nn.softplus,
        "square": square,
        "swish": jax.nn.silu,  # the same function under its other name
        "tanh": jnp.tanh,
    }
)


def activation(name: str) -> Activation:
    """The activation of that name.

    Raises ValueError with near matches where there is none.

    >>> float(activation("relu")(jnp.asarray(-2.0)))
    0.0
    """
    if name not in ACTIVATIONS:
        near = get_close_matches(name, ACTIVATIONS, n=2) or sorted(ACTIVATIONS)
        raise ValueError(f"there is no activation {name!r}; did you mean {' or '.join(near)}?")
    return ACTIVATIONS[name]
