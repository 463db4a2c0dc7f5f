"""Normalisation inside networks: batch, instance, group and layer norm. Arrays are (channel, *space, batch).

All of them subtract a mean, divide by a standard deviation, and then scale and shift by trained parameters. They differ
in which values share a mean and a deviation: in batch norm one channel, over all positions of all examples of the
batch; in the others some channels of one example, so that no example ever depends on another.

Batch norm therefore computes something else in training than afterwards, and here these are two functions. `train`
normalises by the batch and returns the running statistics that follow; `inference` normalises by those it is given.
There is no flag to forget. Means and variances of float16 and bfloat16 are taken in float32.

>>> norm = BatchNorm.init(2)
>>> x = jnp.array([[1.0, 3.0], [10.0, 30.0]])  # two channels, a batch of two
>>> y, running = norm.train(x, norm.begin())
>>> y.round(3).tolist()
[[-1.0, 1.0], [-1.0, 1.0]]
>>> print(running.mean)
[0.2 2. ]

A network that holds such layers has the same three functions: `begin() -> running`, `train(x, running) -> (y, running)`
and `inference(x, running) -> y`. It is trained inside `AtInference`, with `absorb` as what comes after an update:

    def loss(model, x, y):
        logits, running = model.net.train(x, model.running)
        return cross_entropy(lambda _: logits, x, y), running

    protocol = Protocol(loss, after=absorb)
    train_many([AtInference(net, net.begin())], ..., protocol, ...)

Sources: Ioffe and Szegedy (2015), Ulyanov et al. (2016), Ba et al. (2016), Wu and He (2018).
"""

from collections.abc import Mapping
from math import isfinite, prod
from types import MappingProxyType
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flyroom.nets._named import named

Convention = Literal["pytorch", "lecture"]
EPS: Mapping[str, float] = MappingProxyType({"pytorch": 1e-5, "lecture": 1e-6})

Values = Float[Array, "channel *space batch"]
PerChannel = Float[Array | np.ndarray, " channel"]


def at_inference(
    x: Values,
    gain: PerChannel | None = None,
    bias: PerChannel | None = None,
    *,
    mean: PerChannel,
    variance: PerChannel,
    eps: float,
    convention: Convention,
) -> Values:
    """Batch norm with a given mean and variance for each channel. No gradient goes to these: PyTorch's buffers."""
    return _by_channel(x, gain, bias, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(variance), eps, convention)


def normalised_by_groups(
    x: Values, gain: PerChannel | None = None, bias: PerChannel | None = None, *, groups: int, eps: float
) -> Values:
    """Each example, and each of `groups` equal runs of its channels, with mean 0 and variance 1; then gain and bias.

    Raises ValueError where the channels do not divide into the groups, or a group holds a single value.
    """
    if x.shape[0] % groups:
        raise ValueError(f"{x.shape[0]} channels cannot be divided into {groups} equal groups; choose a divisor")
    gathered = _wide(x).reshape(groups, -1, x.shape[-1])
    if gathered.shape[1] == 1:
        raise ValueError(
            f"examples of shape {x.shape[:-1]} have one value in each of {groups} groups, of which nothing but the "
            "bias would be left; take fewer groups or more positions"
        )
    centred = gathered - gathered.mean(1, keepdims=True)
    # A root of few values, then a product: divided one by one, the last bits depend on what is computed beside them.
    scaled = centred * (1 / jnp.sqrt((centred**2).mean(1, keepdims=True) + eps))
    return _affine(scaled.reshape(x.shape), _beside(gain, x), _beside(bias, x)).astype(x.dtype)


def normalised_by_layer(
    x: Float[Array, "*example batch"],
    gain: Float[Array | np.ndarray, "*normalised"] | None = None,
    bias: Float[Array | np.ndarray, "*normalised"] | None = None,
    *,
    eps: float,
) -> Float[Array, "*example batch"]:
    """Each example with mean 0 and variance 1, then gain and bias, which have a value for every place.

    Where gain or bias has fewer axes than an example, only so many of the last axes share a mean; without either, all.
    """
    given = next((np.ndim(one) for one in (gain, bias) if one is not None), x.ndim - 1)
    axes = tuple(range(x.ndim - 1 - given, x.ndim - 1))
    wide = _wide(x)
    centred = wide - wide.mean(axes, keepdims=True)
    scaled = centred * (1 / jnp.sqrt((centred**2).mean(axes, keepdims=True) + eps))
    beside = (None if one is None else jnp.asarray(one)[..., None] for one in (gain, bias))
    return _affine(scaled, *beside).astype(x.dtype)


class Running(eqx.Module):
    """What batch norm remembers of the batches so far, for each channel. Not learned: no loss has a gradient by it."""

    mean: PerChannel
    variance: PerChannel


class BatchNorm(eqx.Module):
    """Batch norm of (channel, batch) arrays, signals and images: gain (x - mu) / deviation + bias, channel by channel.

    In training mu and sigma^2 are mean and biased variance (divided by N) of the N values of a channel in the batch.
    Two conventions, of which neither is the other's special case:

    - "pytorch": deviation = sqrt(sigma^2 + eps), eps = 1e-5. The running variance takes the unbiased variance of the
      batch (divided by N - 1), which is not the one that it normalises by.
    - "lecture": deviation = sigma + eps, eps = 1e-6. The running variance takes the biased one. Where a channel never
      varies, sigma's derivative, which is infinite there, is taken as 0.

    Running statistics: (1 - new_weight) old + new_weight batch. PyTorch's `momentum` is `new_weight`; the lecture's
    alpha (and the `momentum` of Keras) is 1 - `new_weight`. Both numbers are called momentum, and 0.9 in the place of
    0.1 forgets in a few batches what the other keeps for dozens.
    """

    gain: PerChannel
    bias: PerChannel
    eps: float = eqx.field(static=True)
    new_weight: float = eqx.field(static=True)
    convention: Convention = eqx.field(static=True)

    @staticmethod
    def init(
        channels: int, *, convention: Convention = "pytorch", eps: float | None = None, new_weight: float = 0.1
    ) -> "BatchNorm":
        """Gains of one and biases of zero; `eps` is the convention's own where it is not given.

        Raises ValueError for an unknown convention and for numbers outside their range.
        """
        if convention not in EPS:
            raise ValueError(f"there is no convention {convention!r}; choose one of {', '.join(EPS)}")
        if not 0 < new_weight <= 1:
            raise ValueError(f"new_weight {new_weight} must be above 0 and at most 1; PyTorch's momentum is 0.1")
        chosen = EPS[convention] if eps is None else eps
        return BatchNorm(*_first(channels, chosen), chosen, new_weight, convention)

    def begin(self) -> Running:
        """Running statistics before any batch: mean 0, variance 1."""
        return Running(jnp.zeros_like(self.gain), jnp.ones_like(self.gain))

    def train(self, x: Values, running: Running) -> tuple[Values, Running]:
        """The batch normalised by its own mean and variance, and the running statistics after it.

        Raises ValueError for a single value a channel, which is its own mean, and for a wrong number of channels.
        """
        _fits(x, self.gain)
        count = prod(x.shape[1:])
        if count < 2:
            raise ValueError(
                f"an array of shape {x.shape} has {count} value a channel, of which batch norm would leave nothing but "
                "the bias; train with at least two examples or positions, or use inference"
            )
        axes = tuple(range(1, x.ndim))
        wide = _wide(x)
        mean = wide.mean(axes)
        variance = ((wide - _beside(mean, x)) ** 2).mean(axes)
        y = _by_channel(x, self.gain, self.bias, mean, variance, self.eps, self.convention)
        seen = variance * (count / (count - 1)) if self.convention == "pytorch" else variance
        old, new = jax.lax.stop_gradient((running, Running(mean, seen)))
        weight = self.new_weight
        return y, jax.tree.map(lambda a, b: ((1 - weight) * a + weight * b).astype(a.dtype), old, new)

    def inference(self, x: Values, running: Running) -> Values:
        """The array normalised by running statistics: each example by itself, whatever the batch holds."""
        _fits(x, self.gain)
        weights = {"gain": self.gain, "bias": self.bias, "mean": running.mean, "variance": running.variance}
        eps, convention = self.eps, self.convention
        return named(
            "batch_norm",
            lambda x, weights: at_inference(x, **weights, eps=eps, convention=convention),
            x,
            weights,
            eps=eps,
            convention=convention,
        )


class GroupNorm(eqx.Module):
    """Group norm (Wu and He 2018): the channels of an example in equal runs, each normalised over its positions.

    As many groups as channels are instance norm; one group is what that paper calls layer norm. The same in training
    and afterwards. Gain and bias belong to channels, not to groups.
    """

    gain: PerChannel
    bias: PerChannel
    groups: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    @staticmethod
    def init(channels: int, groups: int, *, eps: float = 1e-5) -> "GroupNorm":
        """Gains of one and biases of zero; ValueError where the channels do not divide into the groups."""
        first = _first(channels, eps)
        if groups < 1 or channels % groups:
            raise ValueError(f"{channels} channels cannot be divided into {groups} equal groups; choose a divisor")
        return GroupNorm(*first, groups, eps)

    def __call__(self, x: Values) -> Values:
        _fits(x, self.gain)
        groups, eps = self.groups, self.eps
        return named(
            "group_norm",
            lambda x, weights: normalised_by_groups(x, **weights, groups=groups, eps=eps),
            x,
            {"gain": self.gain, "bias": self.bias},
            groups=groups,
            eps=eps,
        )


def instance_norm(channels: int, *, eps: float = 1e-5) -> GroupNorm:
    """Instance norm (Ulyanov et al. 2016): each channel of each example by itself, which takes two positions or more.

    With a gain and a bias for each channel. PyTorch's `InstanceNorm2d` has neither unless told `affine=True`, although
    its `BatchNorm2d`, `GroupNorm` and `LayerNorm` have both.
    """
    return GroupNorm.init(channels, channels, eps=eps)


class LayerNorm(eqx.Module):
    """Layer norm (Ba et al. 2016): all values of an example, or those along its last axes, share a mean.

    `shape` is that of the axes that are normalised together: an example's own, or the end of it. Gain and bias have
    a value for each place in it, as in PyTorch; `GroupNorm` with one group normalises the same values as a layer norm
    over (channel, *space), but has one gain a channel. The same in training and afterwards.
    """

    gain: Float[Array | np.ndarray, "*normalised"]
    bias: Float[Array | np.ndarray, "*normalised"]
    eps: float = eqx.field(static=True)

    @staticmethod
    def init(shape: int | tuple[int, ...], *, eps: float = 1e-5) -> "LayerNorm":
        """Gains of one and biases of zero; ValueError for a shape of fewer than two values."""
        sizes = (shape,) if isinstance(shape, int) else tuple(shape)
        if min(sizes, default=0) < 1 or prod(sizes) < 2:
            raise ValueError(f"a layer of shape {sizes} has fewer than two values, of which nothing would be left")
        return LayerNorm(jnp.ones(sizes), jnp.zeros(sizes), _positive(eps))

    def __call__(self, x: Float[Array, "*example batch"]) -> Float[Array, "*example batch"]:
        shape = self.gain.shape
        if x.shape[:-1][-len(shape) :] != shape:
            raise ValueError(
                f"examples of shape {x.shape[:-1]} do not end in {shape}, which this layer normalises; the batch is "
                "the last axis of the array"
            )
        eps = self.eps
        return named(
            "layer_norm",
            lambda x, weights: normalised_by_layer(x, **weights, eps=eps),
            x,
            {"gain": self.gain, "bias": self.bias},
            eps=eps,
        )


class AtInference(eqx.Module):
    """A network with running statistics as a plain function of its input: what is evaluated, measured and read.

    It is also what is trained, so that network and statistics travel together: the module's docstring shows how.
    """

    net: Any
    running: Any

    def __call__(self, x: Any) -> Any:
        return self.net.inference(x, self.running)


def absorb(model: AtInference, running: Any) -> AtInference:
    """The same network with other running statistics: `Protocol.after` of a loss that returns them.

    What an optimiser does to the statistics meanwhile (weight decay would shrink them) is undone by it.
    """
    return AtInference(model.net, running)


def _by_channel(
    x: Values,
    gain: PerChannel | None,
    bias: PerChannel | None,
    mean: PerChannel,
    variance: PerChannel,
    eps: float,
    convention: Convention,
) -> Values:
    scale = 1 / _deviation(variance, eps, convention)
    centred = _wide(x) - _beside(mean, x)
    return _affine(centred, _beside(scale if gain is None else gain * scale, x), _beside(bias, x)).astype(x.dtype)


def _deviation(variance: PerChannel, eps: float, convention: Convention) -> PerChannel:
    if convention == "pytorch":
        return jnp.sqrt(variance + eps)
    varies = variance > 0  # 0 times the root's infinite derivative would not be a number
    return jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 0) + eps


def _affine(x: Array, gain: Any, bias: Any) -> Array:
    scaled = x if gain is None else x * gain
    return scaled if bias is None else scaled + bias


def _wide(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _beside(values: Any, x: Array) -> Any:
    """A value for each channel, shaped to stand beside (channel, *space, batch)."""
    return None if values is None else jnp.reshape(values, (-1, *[1] * (x.ndim - 1)))


def _first(channels: int, eps: float) -> tuple[Array, Array]:
    if channels < 1:
        raise ValueError(f"{channels} channels cannot be normalised; give at least 1")
    _positive(eps)
    return jnp.ones(channels), jnp.zeros(channels)


def _positive(eps: float) -> float:
    if not (isfinite(eps) and eps > 0):
        raise ValueError(f"eps {eps} must be finite and above 0; it is what a channel that never varies is divided by")
    return eps


def _fits(x: Array, gain: Array | np.ndarray) -> None:
    if x.ndim < 2 or x.shape[0] != len(gain):
        raise ValueError(
            f"an array of shape {x.shape} is not (channel, *space, batch) of the {len(gain)} channels of this layer"
        )
