"""Contrastive learning without labels, for signals: two augmented views of a batch, the network, the loss.

Source: the notebook `self-supervised-learning` of Greydanus and Kobak (ICML 2024), after SimCLR (Chen et al. 2020,
section 2) with the projector of Bordes et al. 2023 ("guillotine").
"""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from flyroom import train
from flyroom.nets.conv import CNN
from flyroom.nets.convolution import Convolution
from flyroom.nets.mlp import MLP

SLOPE, OFFSET = 0.04, 0.3  # deviations of the slope and of the offset that a view gets: those of the data
SHIFTS = 10  # a view is shifted round by 0 to 9 positions
DRAWS = 4  # places of a batch that hold no example but a draw: together the key of the step
MOST = 1 << 16  # two draws make one word of a key
PROJECTORS = {"default": (125, 16), "no projector": (), "deep projector": (125, 125, 125, 16)}

Views = Float[Array, "position example"]


class Contrastive(eqx.Module):
    """The benchmark CNN's convolutions, whose 125 outputs are H, and a projector from H to Z, where the loss is.

    Without a projector Z is H. Parameters: 21,716; 3,950 without projector; 53,216 with the deep one.
    """

    convolutions: tuple[Convolution, ...]
    projector: MLP | None

    @staticmethod
    def init(key: PRNGKeyArray, variant: str) -> "Contrastive":
        """`variant` is a name of PROJECTORS."""
        encoder, projector = jax.random.split(key)
        cnn, widths = CNN.init(encoder), PROJECTORS[variant]
        return Contrastive(cnn.convolutions, MLP.init(projector, (125, *widths)) if widths else None)

    def layers(self, x: Views) -> list[Float[Array, "feature example"]]:
        """Every layer's output after its ReLU (Z has none), the examples last: convolutions, projector."""
        hidden, found = x[None], []
        for layer in self.convolutions:
            hidden = jax.nn.relu(layer(hidden))
            found.append(hidden.reshape(-1, x.shape[1]))
        if self.projector is not None:
            for layer in self.projector.layers[:-1]:
                found.append(jax.nn.relu(layer(found[-1])))
            found.append(self.projector.layers[-1](found[-1]))
        return found

    def __call__(self, x: Views) -> Float[Array, "feature example"]:
        return self.layers(x)[-1]


def detrended(x: Float[np.ndarray, "example position"]) -> Float[np.ndarray, "example position"]:
    """Each signal without its mean and without its least-squares slope: where both views begin."""
    t = positions(x.shape[1])
    centred = x - x.mean(axis=1, keepdims=True)
    return centred - np.outer(centred @ t / (t @ t), t)


def positions(count: int) -> Float[np.ndarray, " position"]:
    """-19.5 to 19.5 for 40: the positions about their middle."""
    return np.arange(count) - (count - 1) / 2


def shifted(x: Views, by: Int[Array, " example"]) -> Views:
    """Each signal shifted round by its own 0 to 15 positions to the right.

    Four choices between whole arrays (by 1, 2, 4 and 8): a CPU gathers single numbers many times slower.
    """
    for power in (1, 2, 4, 8):
        x = jnp.where(by & power, jnp.roll(x, power, axis=0), x)
    return x


def views(key: PRNGKeyArray, x: Views) -> Float[Array, "position view"]:
    """Two augmented views of detrended signals, side by side along the examples: shift, slope, offset drawn anew."""
    count = x.shape[1]
    one, two = jax.random.split(key)
    slope, offset = jax.random.normal(one, (2, 2 * count))
    moved = shifted(jnp.concatenate([x, x], axis=1), jax.random.randint(two, (2 * count,), 0, SHIFTS))
    return moved + SLOPE * slope * jnp.asarray(positions(x.shape[0]), x.dtype)[:, None] + OFFSET * offset


def agreement(
    first: Float[Array, "feature example"], second: Float[Array, "feature example"], temperature: float
) -> Float[Array, ""]:
    """How well each first view finds its second among all second views of the batch: mean cross-entropy in nats.

    Scores are cosine similarities / `temperature`. One direction, and no negatives among the first views: half of
    SimCLR's symmetric loss (Chen et al. 2020, equation 1), as the notebook has it. Chance is log(batch).
    """
    # Multiplied by the inverse root: divided by the norm, networks had other last bits alone than beside another.
    first, second = (z * jax.lax.rsqrt(jnp.maximum(jnp.sum(z * z, axis=0), 1e-16)) for z in (first, second))
    scores = first.T @ second / temperature
    return optax.softmax_cross_entropy_with_integer_labels(scores, jnp.arange(scores.shape[1])).mean()


@cache
def loss(temperature: float) -> train.Loss:
    """The loss as `train.Protocol` takes it; the same function each time, so that it is compiled once.

    Of a batch the last DRAWS targets are no examples but the key of its step (see `batches`).
    """

    def contrastive(net: Contrastive, x: Float[Array, "batch position"], y: Int[Array, " batch"]) -> Float[Array, ""]:
        a, b, c, d = y[-DRAWS:]
        key = jax.random.wrap_key_data(jnp.stack([a << 16 | b, c << 16 | d]).astype(jnp.uint32))
        z = net(views(key, x[:-DRAWS].T))
        half = z.shape[1] // 2
        return agreement(z[:, :half], z[:, half:], temperature)

    return contrastive


def batches(examples: int, batch: int, steps: int, seed: int) -> Int[np.ndarray, "step places"]:
    """An order for `train.train_many`: epochs shuffled anew, and behind each batch DRAWS numbers for its views.

    The targets must be the numbers of the examples, 0, 1, 2 and so on. A pure function of its arguments; more steps
    extend the same sequence. Raises ValueError for more examples than a key has room for.
    """
    if examples > MOST:
        raise ValueError(f"{examples} examples: the key of a step is made of numbers of examples, at most {MOST}")
    order = train.shuffled(examples, batch, steps, seed)
    draws = np.random.default_rng([seed, 1]).integers(0, examples, (steps, DRAWS), np.int32)
    return np.concatenate([order, draws], axis=1)


def representations(
    net: Contrastive, x: Float[np.ndarray, "example position"]
) -> list[Float[np.ndarray, "example feature"]]:
    """What each layer makes of signals as they are (neither augmented nor detrended), the signals themselves first."""
    return [x, *(np.asarray(layer).T for layer in _layers(net, jnp.asarray(x.T, jnp.float32)))]


@eqx.filter_jit
def _layers(net: Contrastive, x: Views) -> list[Float[Array, "feature example"]]:
    return net.layers(x)
