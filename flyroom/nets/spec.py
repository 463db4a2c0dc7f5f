"""A network by a short text: `mnist1d-cnn`, `mlp:40-100-100-10:tanh?weight_std=1.5`, `python:module:name`."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from urllib.parse import parse_qsl

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from flyroom.nets.activations import activation
from flyroom.nets.conv import CNN
from flyroom.nets.gru import BiGRU
from flyroom.nets.linear import Linear
from flyroom.nets.mlp import MLP, ResidualMLP

FORMS = (
    "mnist1d-linear, mnist1d-mlp, mnist1d-cnn, mnist1d-gru, mlp:WIDTHS[:ACTIVATION] such as mlp:40-100-10:tanh, "
    "or python:MODULE:NAME (a function of a key)"
)
BENCHMARK = {"mnist1d-linear": Linear, "mnist1d-mlp": ResidualMLP, "mnist1d-cnn": CNN, "mnist1d-gru": BiGRU}


@dataclass(frozen=True)
class Spec:
    """A network's text, taken apart: `init(key)` draws its first weights, `seed` is the text's own, if it has one."""

    text: str
    init: Callable[[PRNGKeyArray], PyTree]
    seed: int | None = None


def _mlp(body: str, text: str) -> Callable[[PRNGKeyArray], PyTree]:
    widths, _, name = body.partition(":")
    try:
        sizes = tuple(int(width) for width in widths.split("-"))
    except ValueError:
        raise ValueError(f"{text!r}: the widths {widths!r} are not numbers with dashes, such as 40-100-10") from None
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"{text!r}: widths {widths!r} must be two or more positive numbers, input first, output last")
    chosen = activation(name or "relu")
    return lambda key: MLP.init(key, sizes, chosen)


def _python(body: str, text: str) -> Callable[[PRNGKeyArray], PyTree]:
    module, _, name = body.partition(":")
    try:
        init = getattr(importlib.import_module(module), name)
        if not callable(init):
            raise TypeError(f"{name} is not a function")
        return init
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{text!r}: {error}; python:MODULE:NAME needs an importable module and a function of a key in it "
            "that returns a network"
        ) from error


def _redrawn(
    init: Callable[[PRNGKeyArray], PyTree], weight_std: float | None, bias_std: float | None
) -> Callable[[PRNGKeyArray], PyTree]:
    """Normal weights of standard deviation weight_std / sqrt(fan-in) and biases of bias_std, where given."""

    def drawn(key: PRNGKeyArray) -> PyTree:
        leaves, tree = jax.tree.flatten(init(key))
        keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))

        def draw(k, leaf):
            if not eqx.is_inexact_array(leaf):
                return leaf
            if leaf.ndim >= 2 and weight_std is not None:
                return weight_std * (leaf[0].size ** -0.5) * jax.random.normal(k, leaf.shape, leaf.dtype)
            if leaf.ndim == 1 and bias_std is not None:
                return bias_std * jax.random.normal(k, leaf.shape, leaf.dtype)
            return leaf

        return tree.unflatten([draw(k, leaf) for k, leaf in zip(keys, leaves, strict=True)])

    return drawn


def parse(text: str) -> Spec:
    """Take a network's text apart; nothing is drawn yet.

    `?seed=0&weight_std=1.5&bias_std=0.3` may follow: weights relative to 1/sqrt(fan-in), biases absolute.
    Raises ValueError, with near matches, for a name, an activation, an option or a number that is none.

    >>> jax.tree.reduce(lambda n, leaf: n + leaf.size, parse("mnist1d-cnn").init(jax.random.key(0)), 0)
    5210
    """
    body, _, query = text.partition("?")
    if body in BENCHMARK:
        init: Callable[[PRNGKeyArray], PyTree] = BENCHMARK[body].init
    elif body.startswith("mlp:"):
        init = _mlp(body.removeprefix("mlp:"), text)
    elif body.startswith("python:"):
        init = _python(body.removeprefix("python:"), text)
    else:
        near = get_close_matches(body, [*BENCHMARK, "mlp:40-100-10:relu"], n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"use {FORMS}"
        raise ValueError(f"there is no network {body!r}; {hint}")
    allowed = ("seed", "weight_std", "bias_std")
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError(f"{text!r}: options are written ?seed=0&weight_std=1.5&bias_std=0.3, not ?{query}") from None
    for name in options:
        if name not in allowed:
            near = get_close_matches(name, allowed, n=1) or allowed
            raise ValueError(f"{text!r}: there is no option {name!r}; did you mean {' or '.join(near)}?")
    try:
        seed = int(options["seed"]) if "seed" in options else None
        stds = [float(options[name]) if name in options else None for name in ("weight_std", "bias_std")]
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; seed is a whole number, weight_std and bias_std are numbers") from None
    if (seed is not None and seed < 0) or any(std is not None and not (isfinite(std) and std >= 0) for std in stds):
        raise ValueError(f"{text!r}: seed, weight_std and bias_std must be finite and not negative")
    return Spec(text, init if stds == [None, None] else _redrawn(init, *stds), seed)


def parameters(net: PyTree) -> int:
    """The number of trainable numbers in a network."""
    return sum(jnp.size(leaf) for leaf in jax.tree.leaves(net) if eqx.is_inexact_array(leaf))
