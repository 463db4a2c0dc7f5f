"""A network by a short text: `mnist1d-cnn`, `mlp:40-100-100-10:tanh?weight_std=1.5`, `resnet18:cifar`."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from math import isfinite
from types import MappingProxyType
from urllib.parse import parse_qsl

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from flyroom.nets.activations import activation
from flyroom.nets.conv import CNN
from flyroom.nets.gru import BiGRU
from flyroom.nets.image import ImageCNN
from flyroom.nets.linear import Linear
from flyroom.nets.mlp import MLP, ResidualMLP
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import DEPTHS, ResNet

FORMS = (
    "mnist1d-linear, mnist1d-mlp, mnist1d-cnn (or cnn1d), mnist1d-gru, mlp:WIDTHS[:ACTIVATION] such as "
    "mlp:40-100-10:tanh, quadratic:WIDTHS (an MLP of squares), resnet18, 34, 50, 101 or 152 such as resnet18:cifar, "
    "image-cnn:WIDTHS such as image-cnn:32-64, "
    "or python:MODULE:NAME (a function of a key)"
)
BENCHMARK = {"mnist1d-linear": Linear, "mnist1d-mlp": ResidualMLP, "mnist1d-cnn": CNN, "mnist1d-gru": BiGRU}
BY_NAME = {**BENCHMARK, "cnn1d": CNN}
RESNETS = tuple(f"resnet{depth}" for depth in DEPTHS)
# What may follow a ResNet's name, in any order: the argument of ResNet.init that it sets.
PARTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "imagenet": ("stem", "imagenet"),
        "cifar": ("stem", "cifar"),
        "v1": ("version", "v1"),
        "v1.5": ("version", "v1.5"),
        "A": ("shortcut", "A"),
        "B": ("shortcut", "B"),
        "lecture-norm": ("convention", "lecture"),
    }
)
OPTIONS = ("seed", "weight_std", "bias_std")


@dataclass(frozen=True)
class Spec:
    """A network's text, taken apart: `init(key)` draws its first weights, `seed` is the text's own, if it has one.

    `shape` is that of one example, where the text says it.
    """

    text: str
    init: Callable[[PRNGKeyArray], PyTree]
    seed: int | None = None
    shape: tuple[int, ...] | None = None


def _widths(widths: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in widths.split("-"))
    except ValueError:
        raise ValueError(f"{text!r}: the widths {widths!r} are not numbers with dashes, such as 40-100-10") from None


def _mlp(body: str, text: str) -> Callable[[PRNGKeyArray], PyTree]:
    widths, _, name = body.partition(":")
    sizes = _widths(widths, text)
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"{text!r}: widths {widths!r} must be two or more positive numbers, input first, output last")
    chosen = activation(name or "relu")
    return lambda key: MLP.init(key, sizes, chosen)


def _quadratic(body: str, text: str) -> Callable[[PRNGKeyArray], PyTree]:
    if ":" in body:
        raise ValueError(f"{text!r}: quadratic takes widths alone, its activation is the square; write mlp:WIDTHS:NAME")
    return _mlp(f"{body}:square", text)


def _resnet(body: str, text: str) -> Callable[[PRNGKeyArray], PyTree]:
    name, *parts = body.split(":")
    if name not in RESNETS:
        raise ValueError(f"{text!r}: there is no {name!r}; choose {', '.join(RESNETS)}")
    chosen: dict[str, str] = {}
    for part in parts:
        if part not in PARTS:
            near = get_close_matches(part, PARTS, n=1) or PARTS
            raise ValueError(f"{text!r}: a ResNet has no part {part!r}; did you mean {' or '.join(near)}?")
        argument, value = PARTS[part]
        if argument in chosen:
            raise ValueError(f"{text!r}: {chosen[argument]} and {part} both say the {argument}; leave one out")
        chosen[argument] = value
    classes = 10 if chosen.get("stem") == "cifar" else 1000
    return partial(ResNet.init, depth=int(name.removeprefix("resnet")), classes=classes, **chosen)  # pyright: ignore


def _image_cnn(body: str, text: str) -> Callable[..., PyTree]:
    return partial(ImageCNN.init, widths=_widths(body, text))


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
    """Normal weights of standard deviation weight_std / sqrt(fan-in) and biases of bias_std, where given.

    Gains of norms are neither and stay.
    """

    def drawn(key: PRNGKeyArray) -> PyTree:
        leaves, tree = jax.tree_util.tree_flatten_with_path(init(key))
        keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))

        def draw(k, path, leaf):
            if not eqx.is_inexact_array(leaf) or jax.tree_util.keystr(path[-1:], simple=True) == "gain":
                return leaf
            if leaf.ndim >= 2 and weight_std is not None:
                return weight_std * (leaf[0].size ** -0.5) * jax.random.normal(k, leaf.shape, leaf.dtype)
            if leaf.ndim == 1 and bias_std is not None:
                return bias_std * jax.random.normal(k, leaf.shape, leaf.dtype)
            return leaf

        return tree.unflatten([draw(k, *pair) for k, pair in zip(keys, leaves, strict=True)])

    return drawn


FAMILIES = {"mlp": _mlp, "quadratic": _quadratic, "image-cnn": _image_cnn, "python": _python}
SIZED = (*RESNETS, "image-cnn")  # what may be told its classes and channels


def _shape(body: str, query: str) -> tuple[int, ...] | None:
    """The shape of one example of the network with this text, where the text says it."""
    family, _, rest = body.partition(":")
    if body in BY_NAME:
        return (40,)
    if family in ("mlp", "quadratic"):
        return (int(rest.partition("-")[0]),)
    if family in RESNETS:
        side = 32 if "cifar" in rest.split(":") else 224
        return (int(dict(parse_qsl(query)).get("channels", 3)), side, side)
    return None


def parse(text: str) -> Spec:
    """Take a network's text apart; nothing is drawn yet.

    `?seed=0&weight_std=1.5&bias_std=0.3` may follow: weights relative to 1/sqrt(fan-in), biases absolute. A ResNet may
    be told `:imagenet` or `:cifar` (the stem; 1000 or 10 classes), `:v1.5` or `:v1`, `:B` or `:A`, `:lecture-norm`, and
    among the options `classes=100` and `channels=1`; the first of each is what it is without.
    Raises ValueError, with near matches, for a name, an activation, a part, an option or a number that is none.

    >>> jax.tree.reduce(lambda n, leaf: n + leaf.size, parse("mnist1d-cnn").init(jax.random.key(0)), 0)
    5210
    >>> parameters(eqx.filter_eval_shape(parse("resnet18:cifar").init, jax.random.key(0)))
    11173962
    """
    body, _, query = text.partition("?")
    family, _, rest = body.partition(":")
    if body in BY_NAME:
        init: Callable[..., PyTree] = BY_NAME[body].init
    elif ":" in body and family in FAMILIES:
        init = FAMILIES[family](rest, text)
    elif family.startswith("resnet"):
        init = _resnet(body, text)
    else:
        near = get_close_matches(body, [*BY_NAME, *RESNETS, "mlp:40-100-10:relu", "quadratic:4-16-16-1"], n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"use {FORMS}"
        raise ValueError(f"there is no network {body!r}; {hint}")
    return _with_options(text, query, init, (*OPTIONS, "classes", "channels") if family in SIZED else OPTIONS)


def _with_options(text: str, query: str, init: Callable[..., PyTree], allowed: tuple[str, ...]) -> Spec:
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
        sizes = {name: int(options[name]) for name in ("classes", "channels") if name in options}
    except ValueError as error:
        raise ValueError(
            f"{text!r}: {error}; seed is a whole number, weight_std and bias_std are numbers"
            f"{', classes and channels whole ones' if 'classes' in allowed else ''}"
        ) from None
    if (seed is not None and seed < 0) or any(std is not None and not (isfinite(std) and std >= 0) for std in stds):
        raise ValueError(f"{text!r}: seed, weight_std and bias_std must be finite and not negative")
    if min(sizes.values(), default=1) < 1:
        raise ValueError(f"{text!r}: classes and channels must be at least 1")
    init = partial(init, **sizes) if sizes else init
    drawn = init if stds == [None, None] else _redrawn(init, *stds)
    return Spec(text, drawn, seed, _shape(text.partition("?")[0], query))


def function(net: PyTree) -> PyTree:
    """The network as a plain function of a batch: where it has norms, at inference by its first running statistics."""
    return AtInference(net, net.begin()) if hasattr(net, "begin") else net


def parameters(net: PyTree) -> int:
    """The number of trainable numbers in a network, drawn or only its shapes. Running statistics are not trained."""
    trained = net.net if isinstance(net, AtInference) else net
    leaves = [leaf for leaf in jax.tree.leaves(trained) if eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)]
    return sum(leaf.size for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.inexact))
