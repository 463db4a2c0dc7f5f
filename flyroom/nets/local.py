"""A locally connected layer on signals: a convolution that does not share its weights. (channel, position, batch)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Shape, draw
from flyroom.nets._named import named
from flyroom.nets.padding import Padding, Widths, output_length, padding_widths, per_axis, taps

Signal = Float[Array, "channel position batch"]
Seen = Float[Array, "out place batch"]


def local(x: Signal, weights: Mapping[str, Any], *, kernel: tuple[int], stride: tuple[int], padding: Widths) -> Seen:
    """y[o, i] = bias[o, i] + sum over c, k of weight[i, o, c * kernel + k] * padded[c, i * stride + k].

    `weights` are "weight" (place, out, channel * kernel) and, where there is one, "bias" (out, place). Raises
    ValueError where x has not as many channels and positions as the weight was made for.
    """
    weight = jnp.asarray(weights["weight"])
    places, _, seen = weight.shape
    found = output_length(x.shape[1], kernel[0], stride[0], padding[0])
    if x.shape[0] * kernel[0] != seen or found != places:
        raise ValueError(
            f"a weight of shape {weight.shape} is for {places} places that see {seen} numbers each, and x of shape "
            f"{x.shape} has {found} places that see {x.shape[0] * kernel[0]}; a local layer takes signals of the one "
            "shape that it was made for"
        )
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    columns = jnp.stack(taps(padded, kernel, stride), axis=1).reshape(seen, places, x.shape[-1])
    result = jnp.einsum("pos,spb->opb", weight, columns)
    return result + weights["bias"][:, :, None] if "bias" in weights else result


class Local(eqx.Module):
    """As a convolution, but with its own weights at each place: what weight sharing is compared with.

    A layer of this kind has as many times the weights of a convolution as it has places, and sees as little of the
    input at each: between a convolution and a dense layer. Where all places hold the same weights, it is the
    convolution. Not to be confused with a depthwise convolution, which shares weights over places, not over channels.
    (Keras 2 called it LocallyConnected1D; PyTorch has none.)
    """

    weight: Float[Array, "place out seen"]
    bias: Float[Array, "out place"] | None
    kernel: tuple[int] = eqx.field(static=True)
    stride: tuple[int] = eqx.field(static=True)
    padding: Widths = eqx.field(static=True)

    @staticmethod
    def shapes(inputs: int, outputs: int, places: int, kernel: int, *, bias: bool = True) -> list[Shape]:
        """What `_layers.draw` draws; `places` are those of the output."""
        if min(inputs, outputs) < 1:
            raise ValueError(f"channels {inputs} in and {outputs} out: both must be at least 1")
        shape, fan_in = (places, outputs, inputs * kernel), inputs * kernel
        return [(shape, fan_in), ((outputs, places), fan_in)] if bias else [(shape, fan_in)]

    @staticmethod
    def init(
        key: PRNGKeyArray,
        inputs: int,
        outputs: int,
        positions: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: Padding = 0,
        bias: bool = True,
    ) -> "Local":
        """First weights on the bounds of the convolution that it is compared with; `positions` are the input's.

        >>> import jax
        >>> layer = Local.init(jax.random.key(0), 3, 4, 10, 5)
        >>> layer.weight.size, layer(jnp.zeros((3, 10, 7))).shape  # 6 places of 4 x 3 x 5
        (360, (4, 6, 7))

        Raises ValueError where the kernel does not fit the padded signal.
        """
        (size,), (step,) = per_axis(kernel, 1, "kernel"), per_axis(stride, 1, "stride")
        widths = padding_widths(padding, (size,), (step,))
        places = output_length(positions, size, step, widths[0])
        values = draw(key, Local.shapes(inputs, outputs, places, size, bias=bias))
        return Local(next(values), next(values, None), (size,), (step,), widths)

    def __call__(self, x: Signal) -> Seen:
        geometry = {"kernel": self.kernel, "stride": self.stride, "padding": self.padding}
        return named("local", partial(local, **geometry), x, {"weight": self.weight, "bias": self.bias}, **geometry)
