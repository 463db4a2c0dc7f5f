"""Activations: elementwise functions by their usual names, as plain functions of an array.

What a measure has to know of each (bounds of derivatives, kinks, Taylor series) stands in `derivatives.py`; the one
activation with a learned parameter is `prelu.py`.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flyroom.nets._named import named

Values = Float[Array, "..."]
Activation = Callable[[Values], Values]


def _step(name: str, function: Activation, x: Values, **attributes: float) -> Values:
    """`function(x)`, which is read as one step of the kind "activation"."""
    return named("activation", lambda x, _: function(x), x, {}, name=name, **attributes)


def identity(x: Values) -> Values:
    """x itself: what makes a deep linear network."""
    return _step("identity", lambda x: x, x)


def square(x: Values) -> Values:
    """x squared, the simplest activation that is not piecewise linear."""
    return _step("square", lambda x: x * x, x)


def relu(x: Values) -> Values:
    """max(0, x). Its derivative at 0 itself is taken as 0, as in PyTorch."""
    return _step("relu", jax.nn.relu, x)


def leaky_relu(x: Values, slope: float = 0.01) -> Values:
    """x where it is not negative, else slope * x; 0.01 is what PyTorch and the field use unless told otherwise.

    Not to be confused with the parametric ReLU, whose slope is learned. The derivative at 0 itself is taken as 1;
    PyTorch takes the slope.
    """
    return _step("leaky_relu", lambda x: jnp.where(x >= 0, x, slope * x), x, slope=slope)


def hard_tanh(x: Values) -> Values:
    """x held between -1 and 1. Its derivative at -1 and 1 themselves is taken as 1/2; PyTorch takes 0."""
    return _step("hard_tanh", lambda x: jnp.clip(x, -1, 1), x)


def sigmoid(x: Values) -> Values:
    """1 / (1 + exp(-x)), also called the logistic function."""
    return _step("sigmoid", jax.nn.sigmoid, x)


def tanh(x: Values) -> Values:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)) = 2 sigmoid(2 x) - 1."""
    return _step("tanh", jnp.tanh, x)


def gelu(x: Values) -> Values:
    """x times the normal distribution function of x: the exact form, as PyTorch's default.

    Not to be confused with the tanh approximation, which is JAX's default.
    """
    return _step("gelu", lambda x: jax.nn.gelu(x, approximate=False), x)


def elu(x: Values) -> Values:
    """x where it is positive, else exp(x) - 1."""
    return _step("elu", jax.nn.elu, x)


def softplus(x: Values) -> Values:
    """log(1 + exp(x)): the integral of the sigmoid, and a ReLU without its kink."""
    return _step("softplus", jax.nn.softplus, x)


def silu(x: Values) -> Values:
    """x sigmoid(x), also called swish."""
    return _step("silu", jax.nn.silu, x)


def sin(x: Values) -> Values:
    """The sine of x, in radians."""
    return _step("sin", jnp.sin, x)


def erf(x: Values) -> Values:
    """The error function: 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    Not to be confused with the normal distribution function, (1 + erf(x / sqrt 2)) / 2.
    """
    return _step("erf", jax.lax.erf, x)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "elu": elu,
        "erf": erf,
        "gelu": gelu,
        "hard_tanh": hard_tanh,
        "identity": identity,
        "leaky_relu": leaky_relu,
        "relu": relu,
        "sigmoid": sigmoid,
        "silu": silu,
        "sin": sin,
        "softplus": softplus,
        "square": square,
        "swish": silu,  # the same function under its other name
        "tanh": tanh,
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
