"""A small convolutional network on images of any size. Arrays inside are (channel, row, column, batch)."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import Activation, relu
from flyroom.nets.convolution import Convolution
from flyroom.nets.norms import BatchNorm, Running
from flyroom.nets.pooling import global_mean, max_pool

Images = Float[Array, "batch channel row column"]
Logits = Float[Array, "batch output"]


class ImageCNN(eqx.Module):
    """Stages of 3x3 convolution, batch norm, activation and 2x2 maximum pooling; a mean over places; a dense layer.

    A stage whose image is down to one row or column does not pool. What is classified is a mean over places, so that
    images of any size go in.
    """

    convolutions: tuple[Convolution, ...]
    norms: tuple[BatchNorm, ...]
    last: Dense
    activation: Activation = eqx.field(static=True)

    @staticmethod
    def init(
        key: PRNGKeyArray,
        widths: Sequence[int] = (32, 64, 128),
        *,
        channels: int = 1,
        classes: int = 10,
        activation: Activation = relu,
    ) -> "ImageCNN":
        """One stage for each of `widths`; ValueError for none, and for counts below 1."""
        if not widths or min(*widths, channels, classes) < 1:
            raise ValueError(
                f"widths {tuple(widths)}, {channels} channels and {classes} classes: there must be one stage or more, "
                "and at least 1 of everything"
            )
        inputs = (channels, *widths[:-1])
        shapes = [Convolution.shapes(i, o, (3, 3), bias=False)[0] for i, o in zip(inputs, widths, strict=True)]
        values = draw(key, [*shapes, *Dense.shapes(widths[-1], classes)])
        one, around = (1, 1), ((1, 1), (1, 1))
        convolutions = tuple(Convolution(next(values), None, one, one, 1, around, "zero") for _ in widths)
        return ImageCNN(
            convolutions,
            tuple(BatchNorm.init(width) for width in widths),
            Dense(next(values), next(values)),
            activation,
        )

    def begin(self) -> tuple[Running, ...]:
        """Running statistics before any batch."""
        return tuple(norm.begin() for norm in self.norms)

    def train(self, x: Images, running: tuple[Running, ...]) -> tuple[Logits, tuple[Running, ...]]:
        """Logits with all norms over the batch, and the running statistics after it."""
        hidden, after = jnp.moveaxis(x, 0, -1), []
        for convolution, norm, before in zip(self.convolutions, self.norms, running, strict=True):
            normed, changed = norm.train(convolution(hidden), before)
            hidden = self._pooled(normed)
            after.append(changed)
        return self.last(global_mean(hidden)).T, tuple(after)

    def inference(self, x: Images, running: tuple[Running, ...]) -> Logits:
        """Logits with all norms by running statistics: each image by itself."""
        hidden = jnp.moveaxis(x, 0, -1)
        for convolution, norm, before in zip(self.convolutions, self.norms, running, strict=True):
            hidden = self._pooled(norm.inference(convolution(hidden), before))
        return self.last(global_mean(hidden)).T

    def _pooled(self, x: Float[Array, "channel row column batch"]) -> Float[Array, "channel lower narrower batch"]:
        active = self.activation(x)
        return max_pool(active, 2) if min(active.shape[1:3]) >= 2 else active
