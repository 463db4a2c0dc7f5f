"""The parametric ReLU: a leaky ReLU whose slope is learned, one for all channels or one for each."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flyroom.nets._named import named

Values = Float[Array, "channel *space batch"]


def prelu(x: Values, slope: Float[Array, " slopes"]) -> Values:
    """x where it is positive, else slope * x, with one slope for all channels or one for each.

    At 0 itself the derivative is the slope, as in PyTorch. Raises ValueError for another number of slopes.
    """
    if slope.shape[0] not in (1, x.shape[0]):
        raise ValueError(f"{slope.shape[0]} slopes do not fit {x.shape[0]} channels; give one, or one for each")
    return jnp.where(x > 0, x, slope.reshape(-1, *(1,) * (x.ndim - 1)) * x)


class PReLU(eqx.Module):
    """The parametric ReLU of He et al. (2015, ICCV, section 2.1). Takes (channel, *space, batch).

    Its slopes are parameters, so that it is a part of a network like a layer, and no function that several layers could
    share without sharing slopes. Weight decay is not for them: it would make every one a plain ReLU.

    >>> PReLU.init()(jnp.asarray([[-2.0, 0.0, 2.0]])).tolist()
    [[-0.5, 0.0, 2.0]]
    """

    slope: Float[Array, " slopes"]

    @staticmethod
    def init(channels: int = 1, slope: float = 0.25) -> "PReLU":
        """All slopes at 0.25, PyTorch's and the paper's first value; `channels` 1 means one slope for all.

        Raises ValueError for fewer than one.
        """
        if channels < 1:
            raise ValueError(f"channels = {channels}: a parametric ReLU has one slope, or one for each channel")
        return PReLU(jnp.full(channels, slope, jnp.result_type(float)))

    def __call__(self, x: Values) -> Values:
        return named("prelu", lambda x, weights: prelu(x, weights["slope"]), x, {"slope": self.slope})
