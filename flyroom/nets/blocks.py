"""Skip connections, and the blocks that residual networks are made of. Arrays are (channel, *space, batch).

What is added to what, and where the activation stands, differs between three functions that are all called a residual
block. With f1, f2 the layers, a the activation and s the skip connection they are, by their `kind`:

- "post": a(f2(a(f1 x)) + s x), the original block (He et al. 2016, CVPR, figure 2): the sum is activated, so that
  what a block hands on is never negative with ReLU, and no path leads past all activations.
- "lecture": a(f2(a(f1 x))) + s x, as many lectures draw it: the same layers and weights, but the branch is activated
  before the sum. With ReLU a block can then only add; what it hands on grows from block to block.
- "pre": f2(a(f1(a(x)))) + s x, pre-activation (He et al. 2016, ECCV, figure 4e): norm and activation stand before each
  layer, nothing after the sum, so that with identities in the place of s the input reaches the output unchanged.

`connect` is that and nothing else, for any functions. `Block` is the convolutional block with its norms, whose
statistics go in and come out as in `norms.BatchNorm`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import ONE_DRAW
from flyroom.nets.activations import Activation, activation
from flyroom.nets.convolution import Convolution
from flyroom.nets.norms import BatchNorm, Convention, Running

KINDS = ("post", "lecture", "pre")
VERSIONS = ("v1.5", "v1")
OPTIONS = ("B", "A")

Places = Float[Array, "channel *space batch"]
Seen = Float[Array, "out *place batch"]
Normalise = Callable[[BatchNorm, Any, Running], tuple[Any, Running]]


def connect(
    kind: str,
    first: Callable[[Any], Any],
    second: Callable[[Any], Any],
    x: Any,
    *,
    activation: Callable[[Any], Any] = jax.nn.relu,
    skip: Callable[[Any], Any] = lambda x: x,
) -> Any:
    """Two layers and a skip connection, in one of the three orders of KINDS; see the module's docstring.

    Raises ValueError for another kind.

    >>> x = jnp.asarray([-1.0, 5.0])
    >>> [connect(kind, lambda h: h - 3, lambda h: -h, x).tolist() for kind in KINDS]
    [[0.0, 3.0], [-1.0, 5.0], [-1.0, 3.0]]
    """
    check(kind, KINDS, "kind of residual block")
    if kind == "post":
        return activation(second(activation(first(x))) + skip(x))
    if kind == "lecture":
        return activation(second(activation(first(x)))) + skip(x)
    return second(activation(first(activation(x)))) + skip(x)


def check(given: str, allowed: Sequence[str], what: str) -> None:
    """Raise ValueError, naming both, where a choice is none of the allowed ones."""
    if given not in allowed:
        raise ValueError(f"there is no {what} {given!r}; choose {', '.join(allowed[:-1])} or {allowed[-1]}")


# Skip connections. --------------------------------------------------------------------------------------------------


class Identity(eqx.Module):
    """The input itself: where a block changes neither size nor channels."""

    def __call__(self, x: Places) -> Places:
        return x


class Subsampled(eqx.Module):
    """Option A (He et al. 2016, CVPR, section 3.3): every `stride`-th position, and channels of zeros added behind.

    It has no parameters and costs no multiply-add. At stride 2 the pooling that it resembles would average four
    positions; here three of them are dropped.
    """

    outputs: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)

    def __call__(self, x: Places) -> Seen:
        """ValueError where more channels come in than go out."""
        if x.shape[0] > self.outputs:
            raise ValueError(
                f"{x.shape[0]} channels come in and {self.outputs} go out; without parameters channels can be added, "
                "not taken away: use a projection, option B"
            )
        strides = (1, *[self.stride] * (x.ndim - 2), 1)
        taken = jax.lax.slice(x, (0,) * x.ndim, x.shape, strides)
        return jnp.pad(taken, ((0, self.outputs - x.shape[0]), *[(0, 0)] * (x.ndim - 1)))


class Projection(eqx.Module):
    """Option B: a 1 x 1 convolution with the block's stride and no bias, then batch norm, and no activation.

    In a block of the kind "pre" there is no norm, since the sum is normalised before the next layers.
    """

    convolution: Convolution
    norm: BatchNorm | None


# Blocks. ------------------------------------------------------------------------------------------------------------


class Layer(NamedTuple):
    """One convolution before it has weights: an odd kernel, padded by half of it, without a bias."""

    outputs: int
    inputs: int
    kernel: int
    stride: int

    def weight(self, axes: int) -> tuple[int, ...]:
        """The weight's shape."""
        return (self.outputs, self.inputs, *[self.kernel] * axes)

    def convolution(self, weight: Float[Array, "out channel *kernel"]) -> Convolution:
        """The layer with this weight."""
        return Convolution.of(weight, stride=self.stride, padding=self.kernel // 2)


@dataclass(frozen=True)
class Form:
    """What a block is before it has weights. ValueError for what does not go together.

    A basic block has two convolutions with kernels of 3; a bottleneck three with 1, 3, 1, the last four times as wide.
    A `stride` of 2 stands in the first convolution of a basic block; in a bottleneck in the first 1 x 1 ("v1", the
    paper's) or in the 3 x 3 ("v1.5", which torchvision, timm and others mean by the same name). `shortcut` is A or B,
    where the block changes size or channels: both leave an identity where it does not.
    """

    inputs: int
    width: int
    stride: int = 1
    bottleneck: bool = False
    version: str = "v1.5"
    shortcut: str = "B"
    kind: str = "post"
    convention: Convention = "pytorch"
    axes: int = 2  # of space: 1 for signals

    def __post_init__(self) -> None:
        check(self.version, VERSIONS, "version of a ResNet")
        check(self.shortcut, OPTIONS, "option for shortcuts")
        check(self.kind, KINDS, "kind of residual block")
        if min(self.inputs, self.width, self.stride) < 1 or self.axes not in (1, 2):
            raise ValueError(
                f"a block of {self.inputs} channels in, width {self.width}, stride {self.stride} and {self.axes} axes "
                "of space cannot be; all must be at least 1, and axes 1 or 2"
            )
        if self.shortcut == "A" and self.inputs > self.outputs:
            raise ValueError(
                f"option A adds channels and takes none away, but {self.inputs} come in and {self.outputs} go out; "
                "use option B"
            )

    @property
    def outputs(self) -> int:
        """The channels that come out."""
        return 4 * self.width if self.bottleneck else self.width

    @property
    def changes(self) -> bool:
        """Whether size or channels change, so that the input cannot be added as it is."""
        return self.stride > 1 or self.inputs != self.outputs

    @property
    def branch(self) -> tuple[Layer, ...]:
        """The convolutions that learn the difference."""
        if not self.bottleneck:
            return Layer(self.width, self.inputs, 3, self.stride), Layer(self.width, self.width, 3, 1)
        first, middle = (self.stride, 1) if self.version == "v1" else (1, self.stride)
        return (
            Layer(self.width, self.inputs, 1, first),
            Layer(self.width, self.width, 3, middle),
            Layer(self.outputs, self.width, 1, 1),
        )

    @property
    def projection(self) -> Layer | None:
        """The convolution of the skip connection, if there is one."""
        return Layer(self.outputs, self.inputs, 1, self.stride) if self.changes and self.shortcut == "B" else None

    @property
    def weights(self) -> list[tuple[int, ...]]:
        """The shapes of all convolutions, in the order in which `Block.of` takes them."""
        return [layer.weight(self.axes) for layer in (*self.branch, self.projection) if layer is not None]


class BlockRunning(eqx.Module):
    """Running statistics of a block: of the branch's norms, and of the projection's where it has one."""

    norms: tuple[Running, ...]
    shortcut: Running | None


class Block(eqx.Module):
    """Convolutions with batch norms and a skip connection, in one of the three orders of KINDS.

    In the kind "pre" each norm and activation stands *before* its convolution, and a shortcut that is no identity takes
    what the first of them has made of the input, as in the authors' code. It is easily confused with "post" without
    the last activation, which is neither.
    """

    convolutions: tuple[Convolution, ...]
    norms: tuple[BatchNorm, ...]
    shortcut: Identity | Subsampled | Projection
    kind: str = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)

    @staticmethod
    def init(key: PRNGKeyArray, form: Form) -> "Block":
        """First weights by `he_normal`; gains of one, biases of zero."""
        return Block.of(form, he_normal(key, form.weights))

    @staticmethod
    def of(form: Form, weights: Iterator[Float[Array, "..."]]) -> "Block":
        """The block with the next of these weights, of the shapes `form.weights`."""
        layers = form.branch
        convolutions = tuple(layer.convolution(next(weights)) for layer in layers)
        normalised = [layer.inputs if form.kind == "pre" else layer.outputs for layer in layers]
        norms = tuple(BatchNorm.init(channels, convention=form.convention) for channels in normalised)
        if form.projection is not None:
            norm = None if form.kind == "pre" else BatchNorm.init(form.outputs, convention=form.convention)
            shortcut = Projection(form.projection.convolution(next(weights)), norm)
        else:
            shortcut = Subsampled(form.outputs, form.stride) if form.changes else Identity()
        return Block(convolutions, norms, shortcut, form.kind, activation("relu"))

    def begin(self) -> BlockRunning:
        """Running statistics before any batch."""
        norm = self.shortcut.norm if isinstance(self.shortcut, Projection) else None
        return BlockRunning(tuple(norm.begin() for norm in self.norms), None if norm is None else norm.begin())

    def train(self, x: Places, running: BlockRunning) -> tuple[Seen, BlockRunning]:
        """The block's output with norms over the batch, and the running statistics after it."""
        return self.through(x, running, training)

    def inference(self, x: Places, running: BlockRunning) -> Seen:
        """The block's output with norms by running statistics."""
        return self.through(x, running, inference)[0]

    def through(self, x: Places, running: BlockRunning, normalise: Normalise) -> tuple[Seen, BlockRunning]:
        """One pass; `normalise` is what norms do, `training` or `inference`."""
        hidden, beside, statistics = x, x, []
        layers = zip(self.convolutions, self.norms, running.norms, strict=True)
        for place, (convolution, norm, before) in enumerate(layers, 1):
            if self.kind == "pre":
                hidden, after = normalise(norm, hidden, before)
                hidden = self.activation(hidden)
                if place == 1 and not isinstance(self.shortcut, Identity):
                    beside = hidden
                hidden = convolution(hidden)
            else:
                hidden, after = normalise(norm, convolution(hidden), before)
                if place < len(self.norms) or self.kind == "lecture":
                    hidden = self.activation(hidden)
            statistics.append(after)
        skipped, of_shortcut = self._beside(beside, running.shortcut, normalise)
        added = hidden + skipped
        return self.activation(added) if self.kind == "post" else added, BlockRunning(tuple(statistics), of_shortcut)

    def _beside(self, x: Places, running: Running | None, normalise: Normalise) -> tuple[Seen, Running | None]:
        if not isinstance(self.shortcut, Projection):
            return self.shortcut(x), None
        projected = self.shortcut.convolution(x)
        if self.shortcut.norm is None or running is None:
            return projected, None
        return normalise(self.shortcut.norm, projected, running)


def training(norm: BatchNorm, x: Places, running: Running) -> tuple[Places, Running]:
    """What a norm does in training: normalise by the batch, and go on with the running statistics."""
    return norm.train(x, running)


def inference(norm: BatchNorm, x: Places, running: Running) -> tuple[Places, Running]:
    """What a norm does afterwards: normalise by the running statistics, which stay as they are."""
    return norm.inference(x, running), running


def he_normal(key: PRNGKeyArray, shapes: Sequence[tuple[int, ...]]) -> Iterator[Float[Array, "..."]]:
    """First weights of convolutions, in order: normal, of mean 0 and variance 2 / (outputs x size of the kernel).

    He et al. (2015), equation 14: the variance that keeps *gradients* alike through ReLUs on the way back, from which
    torchvision draws its ResNets (`mode="fan_out"`). Their equation 10, the usual one, divides by inputs x kernel and
    keeps activations alike on the way forward. Not to be confused with `_layers.draw`, PyTorch's default.

    One draw serves all, cut up in order, because each draw of another length costs a compilation.
    """
    sizes = [prod(shape) for shape in shapes]
    values = jax.random.normal(key, (max(ONE_DRAW, sum(sizes)),), jnp.result_type(float))
    if not isinstance(values, Tracer):
        values = np.asarray(values)  # cutting up a NumPy array compiles nothing
    end = 0
    for size, shape in zip(sizes, shapes, strict=True):
        start, end = end, end + size
        fan_out = shape[0] * prod(shape[2:])
        yield jnp.asarray(values[start:end].reshape(shape) * values.dtype.type((2 / fan_out) ** 0.5))
