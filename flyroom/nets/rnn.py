"""A plain recurrent network (Elman 1990) on signals: the state of each position is fed back into the next.

A network that is read has the recurrence as one step of the kind "rnn": x is (input, position, batch), the output
(states, position, batch) with the forward direction first. Its weights have PyTorch's names (`_recurrent.py`), its
attributes are `nonlinearity` and `bidirectional`, the number of hidden units is the second axis of `weight_hh_l0`. A
direction takes hidden (input + hidden) multiply-adds at a position.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets._named import named
from flyroom.nets._recurrent import Direction, by_name, directions
from flyroom.nets.activations import Activation

_SQUASHED: Mapping[str, Activation] = MappingProxyType({"tanh": jnp.tanh, "relu": jax.nn.relu})  # PyTorch's two


def rnn(
    x: Float[Array, "input position batch"],
    weights: Mapping[str, Array],
    *,
    nonlinearity: str = "tanh",
    bidirectional: bool = False,
) -> Float[Array, "states position batch"]:
    """The states of one plain recurrent layer at every position from h_0 = 0, the forward direction's first.

    h_t = f(W x_t + b + U h_(t-1) + c). `weights` have PyTorch's names; its two biases b and c do the work of one, and
    are both there because its layout has them. The other direction reads the signal from its end; its state is given at
    the position that it has just read.

    Raises ValueError for another nonlinearity than "tanh" and "relu".
    """
    squash = _squash(nonlinearity)
    sides = [_states(one, x, squash, reverse=i == 1) for i, one in enumerate(directions(weights, bidirectional))]
    return jnp.concatenate(sides)


def _squash(nonlinearity: str) -> Activation:
    if nonlinearity not in _SQUASHED:
        raise ValueError(f"a plain recurrent network has no nonlinearity {nonlinearity!r}; use tanh or relu")
    return _SQUASHED[nonlinearity]


def _states(
    direction: Direction, x: Float[Array, "input position batch"], squash: Activation, *, reverse: bool
) -> Float[Array, "hidden position batch"]:
    # What does not depend on the state is one product for all positions.
    bias = direction.input_bias + direction.hidden_bias
    fed = jnp.einsum("hi,itb->thb", direction.input_weight, x) + bias[:, None]

    def step(before: Float[Array, "hidden batch"], fed: Float[Array, "hidden batch"]):
        after = squash(fed + direction.hidden_weight @ before)
        return after, after

    _, states = jax.lax.scan(step, jnp.zeros_like(fed[0]), fed, reverse=reverse)
    return states.transpose(1, 0, 2)


class RNN(eqx.Module):
    """A plain recurrent network over a signal of one channel; a dense layer reads its states at all positions.

    With 6 hidden units on 40 positions: 2,464 parameters in one direction, 4,918 in both. Elman's network feeds back
    the hidden state; Jordan's feeds back the output. Gradients over many positions are products of as many Jacobians,
    and vanish or grow without the gates of a GRU.

    >>> RNN.init(jax.random.key(0), bidirectional=True)(jnp.zeros((3, 40))).shape
    (3, 10)
    """

    forward: Direction
    backward: Direction | None
    last: Dense
    nonlinearity: str = eqx.field(static=True)

    @staticmethod
    def init(
        key: PRNGKeyArray,
        positions: int = 40,
        hidden: int = 6,
        outputs: int = 10,
        *,
        bidirectional: bool = False,
        nonlinearity: str = "tanh",
    ) -> "RNN":
        """First weights as PyTorch draws them; ValueError for sizes below 1 and an unknown nonlinearity."""
        if min(positions, hidden, outputs) < 1:
            raise ValueError(f"positions {positions}, hidden {hidden} and outputs {outputs} must be at least 1")
        _squash(nonlinearity)
        sides = 1 + bidirectional
        of_direction = Direction.shapes(1, hidden, gates=1)
        values = draw(key, of_direction * sides + Dense.shapes(sides * hidden * positions, outputs))
        forward, *backward = (Direction(*(next(values) for _ in of_direction)) for _ in range(sides))
        return RNN(forward, backward[0] if backward else None, Dense(next(values), next(values)), nonlinearity)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        sides = [self.forward] if self.backward is None else [self.forward, self.backward]
        given = {"nonlinearity": self.nonlinearity, "bidirectional": self.backward is not None}
        states = named("rnn", partial(rnn, **given), x.T[None], by_name(sides), **given)
        return self.last(states.transpose(1, 0, 2).reshape(-1, x.shape[0])).T
