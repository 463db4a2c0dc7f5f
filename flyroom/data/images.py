"""Images seen differently each time: mirrored, shifted, with a hole. Pure functions of a key, for use inside a step.

Arrays are (batch, channel, row, column); each image of a batch is changed by a draw of its own.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Images = Float[Array, "batch channel row column"]


def mirrored(x: Images) -> Images:
    """Left and right exchanged."""
    return x[..., ::-1]


def flip(key: PRNGKeyArray, x: Images) -> Images:
    """Each image mirrored with probability one half.

    A label-preserving change for things and animals, and none for digits, letters and house numbers.
    """
    chosen = jax.random.bernoulli(key, 0.5, (x.shape[0], 1, 1, 1))
    return jnp.where(chosen, mirrored(x), x)


def crop(key: PRNGKeyArray, x: Images, padding: int) -> Images:
    """Each image shifted by up to `padding` places along both axes; what comes in is zero.

    The "random crop with padding" of He et al. (2016, section 4.2, four pixels): zeros are the mean of normalised
    pixels. All (2 padding + 1)^2 shifts are equally likely.
    """
    if padding == 0:
        return x
    batch, channels, rows, columns = x.shape
    padded = jnp.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    shifts = jax.random.randint(key, (batch, 2), 0, 2 * padding + 1)
    window = (channels, rows, columns)
    return jax.vmap(lambda image, shift: jax.lax.dynamic_slice(image, (0, shift[0], shift[1]), window))(padded, shifts)


def cutout(key: PRNGKeyArray, x: Images, size: int) -> Images:
    """A square of zeros, `size` places wide, at a random place of each image.

    Source: DeVries and Taylor (2017, arXiv 1708.04552). The middle of the square lies anywhere on the image, so that a
    part of it may fall outside, as in the paper: with squares that always lie inside, accuracy is lower (section 3.2).
    """
    if size == 0:
        return x
    batch, _, rows, columns = x.shape
    middle = jax.random.randint(key, (batch, 2), 0, jnp.array([rows, columns]))
    first = middle - size // 2

    def outside(places: int, axis: int) -> Array:
        at = jnp.arange(places)
        return (at < first[:, axis, None]) | (at >= first[:, axis, None] + size)

    kept = outside(rows, 0)[:, None, :, None] | outside(columns, 1)[:, None, None, :]
    return x * kept
