"""A residual convolutional network on signals. Arrays inside are (channel, position, batch)."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, Shape, draw
from flyroom.nets.activations import Activation
from flyroom.nets.conv import Conv, output_length
from flyroom.nets.pooling import maximum

Signal = Float[Array, "channel position batch"]
Convolved = Float[Array, "out position batch"]


class Dilated(eqx.Module):
    """A convolution whose taps stand `dilation` positions apart, padded with zeros so that no position is lost.

    The kernel is odd. As in `conv.by_taps` the taps are laid side by side for one matrix product; a GPU gets XLA's.
    """

    weight: Float[Array, "out channel kernel"]
    bias: Float[Array, " out"]
    dilation: int = eqx.field(static=True)

    @staticmethod
    def shapes(inputs: int, outputs: int, kernel: int) -> list[Shape]:
        return [((outputs, inputs, kernel), inputs * kernel), ((outputs,), inputs * kernel)]

    def __call__(self, x: Signal) -> Convolved:
        outputs, channels, kernel = self.weight.shape
        reach = self.dilation * (kernel // 2)
        if jax.default_backend() != "cpu":
            convolved = jax.lax.conv_general_dilated(
                x, self.weight, (1,), [(reach, reach)], None, (self.dilation,), dimension_numbers=("CWN", "OIW", "CWN")
            )
            return convolved + self.bias[:, None, None]
        padded = jnp.pad(x, ((0, 0), (reach, reach), (0, 0)))
        taps = [padded[:, j * self.dilation : j * self.dilation + x.shape[1]] for j in range(kernel)]
        columns = jnp.concatenate(taps).reshape(kernel * channels, -1)
        rows = self.weight.transpose(0, 2, 1).reshape(outputs, kernel * channels)
        return (rows @ columns).reshape(outputs, x.shape[1], -1) + self.bias[:, None, None]


class ResidualCNN(eqx.Module):
    """A convolution with maximum pooling, then blocks x + f(x), then the mean over positions and a dense layer.

    A block is activation(x + convolution(activation(convolution(x)))), as in He et al. (2016, CVPR, section 3.1) but
    without batch normalisation: first weights as PyTorch draws them keep the added part small. What is classified is
    a mean over positions, so that a digit may lie anywhere; the classic CNN of the benchmark flattens in its place.

    The default has two blocks of 24 channels at 20 positions and 7,402 parameters.
    """

    stem: Conv
    blocks: tuple[tuple[Dilated, Dilated], ...]
    last: Dense
    activation: Activation = eqx.field(static=True)
    window: int = eqx.field(static=True)

    @staticmethod
    def init(
        key: PRNGKeyArray,
        positions: int = 40,
        outputs: int = 10,
        *,
        channels: int = 24,
        stem: int = 5,
        kernel: int = 3,
        dilations: Sequence[int] = (1, 1),
        window: int = 2,
        activation: Activation = jax.nn.relu,
    ) -> "ResidualCNN":
        """One block for each of `dilations`.

        ValueError for kernels that are even or dilations below 1, and for a window that does not fit the signal.
        """
        if min(stem, kernel) < 1 or stem % 2 == 0 or kernel % 2 == 0:
            raise ValueError(f"kernels {stem} (stem) and {kernel} must be odd, so that no position is lost")
        if min(dilations, default=1) < 1 or channels < 1:
            raise ValueError(f"dilations {tuple(dilations)} and channels {channels} must be at least 1")
        if not 1 <= window <= output_length(positions, stem, 1, stem // 2):
            raise ValueError(f"a window of {window} does not fit {positions} positions; choose 1 to {positions}")
        one = Dilated.shapes(channels, channels, kernel)
        shapes = [*Dilated.shapes(1, channels, stem), *one * (2 * len(dilations)), *Dense.shapes(channels, outputs)]
        values = draw(key, shapes)
        first = Conv(next(values), next(values), 1, stem // 2)
        blocks = tuple(
            (Dilated(next(values), next(values), dilation), Dilated(next(values), next(values), dilation))
            for dilation in dilations
        )
        return ResidualCNN(first, blocks, Dense(next(values), next(values)), activation, window)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        hidden = maximum(self.activation(self.stem(x.T[None])), self.window)
        for first, second in self.blocks:
            hidden = self.activation(hidden + second(self.activation(first(hidden))))
        return self.last(hidden.mean(1)).T
