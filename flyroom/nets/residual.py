"""A residual convolutional network on signals. Arrays inside are (channel, position, batch)."""

from collections.abc import Sequence

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets.activations import Activation, relu
from flyroom.nets.convolution import Convolution
from flyroom.nets.padding import output_length
from flyroom.nets.pooling import maximum


class ResidualCNN(eqx.Module):
    """A convolution with maximum pooling, then blocks x + f(x), then the mean over positions and a dense layer.

    A block is activation(x + convolution(activation(convolution(x)))), as in He et al. (2016, CVPR, section 3.1) but
    without batch normalisation: first weights as PyTorch draws them keep the added part small. What is classified is
    a mean over positions, so that a digit may lie anywhere; the classic CNN of the benchmark flattens in its place.

    The default has two blocks of 24 channels at 20 positions and 7,402 parameters.
    """

    stem: Convolution
    blocks: tuple[tuple[Convolution, Convolution], ...]
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
        activation: Activation = relu,
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
        one = Convolution.shapes(channels, channels, kernel)
        shapes = [*Convolution.shapes(1, channels, stem), *one * (2 * len(dilations)), *Dense.shapes(channels, outputs)]
        values = draw(key, shapes)
        first = Convolution.of(next(values), next(values), padding="same")
        blocks = tuple(
            (
                Convolution.of(next(values), next(values), dilation=dilation, padding="same"),
                Convolution.of(next(values), next(values), dilation=dilation, padding="same"),
            )
            for dilation in dilations
        )
        return ResidualCNN(first, blocks, Dense(next(values), next(values)), activation, window)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        hidden = maximum(self.activation(self.stem(x.T[None])), self.window)
        for first, second in self.blocks:
            hidden = self.activation(hidden + second(self.activation(first(hidden))))
        return self.last(hidden.mean(1)).T
