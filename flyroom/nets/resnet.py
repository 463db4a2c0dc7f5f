"""Residual networks of He et al. (2016, CVPR): 18, 34, 50, 101 and 152 layers, for ImageNet and for CIFAR.

A stem, four stages of blocks, the mean over all positions, a dense layer. One name stands for several networks, and
here each is said:

- the stem: a 7 x 7 convolution with stride 2 and a 3 x 3 max pooling with stride 2 ("imagenet", for 224 x 224), or a
  3 x 3 convolution alone ("cifar", for 32 x 32). The "ResNet-18" that reaches 93 % on CIFAR-10 has the second; the
  first leaves its stages 8 x 8 of the 32 x 32 positions. (The paper's own CIFAR networks, with 20 to 110 layers, are
  others.)
- the version: where a bottleneck has its stride, in the first 1 x 1 ("v1", the paper's table) or in the 3 x 3 ("v1.5",
  torchvision's and timm's). The weights have the same shapes, so that a file does not tell which it is for.
- the shortcut: option A without parameters, or B, projections, where size or channels change.

The "FLOPs" of the paper's table are multiply-adds; counted one by one, floating point operations are twice as many.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import Activation, activation
from flyroom.nets.blocks import Block, BlockRunning, Form, Layer, Normalise, check, he_normal, inference, training
from flyroom.nets.convolution import Convolution
from flyroom.nets.norms import BatchNorm, Convention, Running
from flyroom.nets.pooling import global_mean, max_pool

# Blocks in each stage, and whether they are bottlenecks: table 1 of the paper.
DEPTHS: Mapping[int, tuple[tuple[int, ...], bool]] = MappingProxyType(
    {
        18: ((2, 2, 2, 2), False),
        34: ((3, 4, 6, 3), False),
        50: ((3, 4, 6, 3), True),
        101: ((3, 4, 23, 3), True),
        152: ((3, 8, 36, 3), True),
    }
)
STEMS = ("imagenet", "cifar")

Images = Float[Array, "batch channel row column"]
Logits = Float[Array, "batch class"]


class ResNetRunning(eqx.Module):
    """Running statistics of a ResNet, laid out as the network is."""

    norm: Running
    stages: tuple[tuple[BlockRunning, ...], ...]


class ResNet(eqx.Module):
    """A residual network on images, (batch, channel, row, column), to logits.

    It holds batch norms, so that training and inference are two functions, and `norms.AtInference(net, running)` is
    what is called, measured and saved.

    >>> net = ResNet.of_blocks(jax.random.key(0), (1, 1), bottleneck=False, width=4, classes=10, stem="cifar")
    >>> x = jnp.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
    >>> logits, running = net.train(x, net.begin())
    >>> logits.shape, net.inference(x, running).shape
    ((2, 10), (2, 10))
    """

    stem: Convolution
    norm: BatchNorm
    stages: tuple[tuple[Block, ...], ...]
    last: Dense
    activation: Activation = eqx.field(static=True)
    pooled: bool = eqx.field(static=True)  # after the stem

    @staticmethod
    def init(
        key: PRNGKeyArray,
        depth: int,
        *,
        classes: int = 1000,
        channels: int = 3,
        stem: str = "imagenet",
        version: str = "v1.5",
        shortcut: str = "B",
        convention: Convention = "pytorch",
    ) -> "ResNet":
        """The network of that many layers with torchvision's first weights, of which `of_blocks` says more.

        `depth` counts convolutions and the dense layer, without projections. `convention` is that of all batch norms.
        Raises ValueError for a depth that is not in DEPTHS and as `of_blocks` does.

        >>> net = eqx.filter_eval_shape(ResNet.init, jax.random.key(0), 18)  # shapes alone, nothing is drawn
        >>> sum(leaf.size for leaf in jax.tree.leaves(net) if hasattr(leaf, "size"))
        11689512
        """
        if depth not in DEPTHS:
            known = ", ".join(map(str, DEPTHS))
            raise ValueError(f"there is no ResNet of {depth} layers; choose {known}, or say its blocks (of_blocks)")
        counts, bottleneck = DEPTHS[depth]
        return ResNet.of_blocks(
            key,
            counts,
            bottleneck=bottleneck,
            classes=classes,
            channels=channels,
            stem=stem,
            version=version,
            shortcut=shortcut,
            convention=convention,
        )

    @staticmethod
    def of_blocks(
        key: PRNGKeyArray,
        counts: Sequence[int],
        *,
        bottleneck: bool,
        width: int = 64,
        classes: int = 1000,
        channels: int = 3,
        stem: str = "imagenet",
        version: str = "v1.5",
        shortcut: str = "B",
        convention: Convention = "pytorch",
    ) -> "ResNet":
        """`counts` blocks in the stages, the first of `width`; each further stage is twice as wide at half the size.

        First weights as in torchvision: convolutions by `blocks.he_normal`, gains of one, biases of zero, and the dense
        layer as PyTorch draws every dense layer, uniform. Raises ValueError for no blocks, for counts below 1, and for
        a stem, a version or an option that there is none of.
        """
        check(stem, STEMS, "stem of a ResNet")
        if min(counts, default=0) < 1 or min(width, classes, channels) < 1:
            raise ValueError(
                f"{tuple(counts)} blocks of width {width} from {channels} channels to {classes} classes cannot be; "
                "there must be at least one stage, and at least 1 of everything"
            )
        first = Layer(width, channels, 7, 2) if stem == "imagenet" else Layer(width, channels, 3, 1)
        forms = list(_forms(counts, width, bottleneck, version, shortcut, convention))
        of_convolutions, of_last = jax.random.split(key)
        shapes = [shape for stage in forms for form in stage for shape in form.weights]
        weights = he_normal(of_convolutions, [first.weight(2), *shapes])
        convolution = first.convolution(next(weights))
        stages = tuple(tuple(Block.of(form, weights) for form in stage) for stage in forms)
        last = Dense(*draw(of_last, Dense.shapes(forms[-1][-1].outputs, classes)))
        norm = BatchNorm.init(width, convention=convention)
        return ResNet(convolution, norm, stages, last, activation("relu"), stem == "imagenet")

    def begin(self) -> ResNetRunning:
        """Running statistics before any batch."""
        return ResNetRunning(self.norm.begin(), tuple(tuple(block.begin() for block in stage) for stage in self.stages))

    def train(self, x: Images, running: ResNetRunning) -> tuple[Logits, ResNetRunning]:
        """Logits with all norms over the batch, and the running statistics after it.

        Raises ValueError for images of other channels, and for a batch of one image that is down to one position.
        """
        return self._through(x, running, training)

    def inference(self, x: Images, running: ResNetRunning) -> Logits:
        """Logits with all norms by running statistics: each image by itself. ValueError for other channels."""
        return self._through(x, running, inference)[0]

    def _through(self, x: Images, running: ResNetRunning, normalise: Normalise) -> tuple[Logits, ResNetRunning]:
        channels = self.stem.weight.shape[1]
        if x.ndim != 4 or x.shape[1] != channels:
            raise ValueError(
                f"an array of shape {x.shape} does not hold images for this network: (batch, {channels}, row, column)"
            )
        hidden, norm = normalise(self.norm, self.stem(jnp.moveaxis(x, 0, -1)), running.norm)
        hidden, stages = self.activation(hidden), []
        if self.pooled:
            hidden = max_pool(hidden, 3, 2, 1)
        for blocks, before in zip(self.stages, running.stages, strict=True):
            after = []
            for block, of_block in zip(blocks, before, strict=True):
                hidden, changed = block.through(hidden, of_block, normalise)
                after.append(changed)
            stages.append(tuple(after))
        return self.last(global_mean(hidden)).T, ResNetRunning(norm, tuple(stages))


def _forms(
    counts: Sequence[int], width: int, bottleneck: bool, version: str, shortcut: str, convention: Convention
) -> Iterator[list[Form]]:
    """The blocks of each stage: the first of a stage halves the size, except in the first stage."""
    inputs = width
    for stage, count in enumerate(counts):
        blocks = []
        for place in range(count):
            stride = 2 if stage > 0 and place == 0 else 1
            form = Form(inputs, width << stage, stride, bottleneck, version, shortcut, convention=convention)
            blocks.append(form)
            inputs = form.outputs
        yield blocks
