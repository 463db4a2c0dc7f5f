"""A bidirectional GRU on signals, written for the speed of training.

One matrix product a time step serves both directions, all gates and all biases: the columns of the big matrix see
(h forward, h backward, x forward, x backward, 1, 0), its rows are (r, z, n's hidden part, n's input part) for either
direction. Most of it is zeros, and still it is faster than the small products that it replaces. The backward pass is
written by hand: what JAX derives by itself costs about twice as much (benchmarks/training.py).

A network that is read has the recurrence as one step of the kind "gru": x is (input, position, batch), the output
(states, position, batch) with the forward direction first. Its weights have PyTorch's names (`_recurrent.py`; rows r,
z, n), its attribute is `bidirectional`, the number of hidden units is the second axis of `weight_hh_l0`. A direction
takes 3 hidden (input + hidden) multiply-adds at a position.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, draw
from flyroom.nets._named import named
from flyroom.nets._recurrent import Direction, by_name, directions

Steps = Float[Array, "time fed batch"]  # at each time the inputs, those of the reversed signal, 1, and 0
States = Float[Array, "time state batch"]


def _sigmoid(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return 0.5 + 0.5 * jnp.tanh(0.5 * x)  # one fused, vectorised kernel where the logistic function takes two


# Inside the loops states and gates are flat: one loop over state x batch vectorises without a remainder in every row.


def _forward(matrix: Float[Array, "row column"], steps: Steps) -> tuple[States, tuple]:
    batch = steps.shape[2]
    size = matrix.shape[0] // 4 * batch

    def step(hidden: Float[Array, " flat"], inputs: Float[Array, "fed batch"]):
        seen = jnp.concatenate([hidden, inputs.reshape(-1)]).reshape(-1, batch)
        gates = (matrix @ seen).reshape(-1)
        reset_update = _sigmoid(gates[: 2 * size])
        candidate_hidden = gates[2 * size : 3 * size]
        candidate = jnp.tanh(gates[3 * size :] + reset_update[:size] * candidate_hidden)
        hidden = candidate + reset_update[size:] * (hidden - candidate)
        # All that the way back needs is kept as it is: computed again inside one fused loop, tanh of tanh would not
        # vectorise, at five times the cost.
        return hidden, (hidden, seen, reset_update, candidate_hidden, candidate)

    _, (hidden, *kept) = jax.lax.scan(step, jnp.zeros(size, matrix.dtype), steps)
    return hidden.reshape(len(steps), -1, batch), (matrix, *kept)


def _backward(kept: tuple, upstream: States) -> tuple[Float[Array, "row column"], Steps]:
    matrix, seen, reset_update, candidate_hidden, candidate = kept
    states, batch, size = upstream.shape[1], upstream.shape[2], candidate.shape[1]
    to_hidden, to_inputs = matrix[:, :states].T, matrix[:, states:].T

    def step(carry, inputs):
        from_future, for_matrix = carry
        upstream, seen, reset_update, candidate_hidden, candidate = inputs
        reset, update, before = reset_update[:size], reset_update[size:], seen.reshape(-1)[:size]
        slope = from_future + upstream.reshape(-1)
        for_candidate = slope * (1 - update) * (1 - candidate * candidate)
        for_gates = jnp.concatenate(
            [
                for_candidate * candidate_hidden * reset * (1 - reset),
                slope * (before - candidate) * update * (1 - update),
                for_candidate * reset,
                for_candidate,
            ]
        ).reshape(-1, batch)
        carry = (slope * update + (to_hidden @ for_gates).reshape(-1), for_matrix + for_gates @ seen.T)
        return carry, for_gates

    start = (jnp.zeros_like(candidate[0]), jnp.zeros_like(matrix))
    inputs = (upstream, seen, reset_update, candidate_hidden, candidate)
    (_, for_matrix), for_gates = jax.lax.scan(step, start, inputs, reverse=True)
    # Outside the loop, so that training, which asks for no gradient of the inputs, does not compute it.
    return for_matrix, jnp.einsum("kg,tgb->tkb", to_inputs, for_gates)


@jax.custom_vjp
def recurrence(matrix: Float[Array, "row column"], steps: Steps) -> States:
    """The states h_1 ... h_T of both directions from h_0 = 0.

    Differentiable backward, any number of times; forward mode (`jax.jvp`) is not defined for a hand-written
    backward pass and raises.
    """
    return _forward(matrix, steps)[0]


recurrence.defvjp(_forward, _backward)


def _matrix(sides: Sequence[Direction]) -> Float[Array, "row column"]:
    """The one matrix that a time step multiplies by: for both directions and one input 8h rows and 2h + 4 columns.

    The last column is zero and does nothing but make the matrix of six hidden units sixteen wide, at which the product
    for its gradient takes two thirds of the time.
    """
    inputs, hidden = sides[0].input_weight.shape[1], sides[0].hidden_weight.shape[1]
    gate = [slice(g * hidden, (g + 1) * hidden) for g in range(3)]

    def rows(side: int, of_hidden, of_input, bias):
        square, column, last = (jnp.zeros((hidden, n), bias.dtype) for n in (hidden, inputs, 1))
        seen = range(len(sides))
        hiddens = [of_hidden if side == s and of_hidden is not None else square for s in seen]
        fed = [of_input if side == s and of_input is not None else column for s in seen]
        return jnp.concatenate([*hiddens, *fed, bias[:, None], last], axis=1)

    blocks = [
        rows(i, s.hidden_weight[g], s.input_weight[g], s.input_bias[g] + s.hidden_bias[g])
        for g in gate[:2]
        for i, s in enumerate(sides)
    ]
    blocks += [rows(i, s.hidden_weight[gate[2]], None, s.hidden_bias[gate[2]]) for i, s in enumerate(sides)]
    blocks += [rows(i, None, s.input_weight[gate[2]], s.input_bias[gate[2]]) for i, s in enumerate(sides)]
    return jnp.concatenate(blocks)


def gru(
    x: Float[Array, "input position batch"], weights: Mapping[str, Array], *, bidirectional: bool
) -> Float[Array, "states position batch"]:
    """The states of a GRU of one layer at every position from h_0 = 0, the forward direction's first.

    `weights` have PyTorch's names. Cell as in PyTorch (Cho et al. 2014 with the reset gate applied *after* the product
    with the hidden weights): n = tanh(Wx + b + r * (Uh + c)), h = (1 - z) n + z h.
    """
    sides = directions(weights, bidirectional)
    signal = x.transpose(1, 0, 2)
    ones, zeros = jnp.ones_like(signal[:, :1]), jnp.zeros_like(signal[:, :1])
    read = [signal, signal[::-1]][: len(sides)]
    states = recurrence(_matrix(sides), jnp.concatenate([*read, ones, zeros], axis=1))
    hidden = states.shape[1] // len(sides)
    seen = [states[:, :hidden], states[::-1, hidden:]][: len(sides)]  # as seen at each position
    return jnp.concatenate(seen, axis=1).transpose(1, 0, 2)


class BiGRU(eqx.Module):
    """A bidirectional GRU over a signal of one channel; a dense layer reads its outputs at all positions.

    With 6 hidden units on 40 positions: 5,134 parameters.
    """

    forward: Direction
    backward: Direction
    last: Dense

    @staticmethod
    def init(key: PRNGKeyArray, positions: int = 40, hidden: int = 6, outputs: int = 10) -> "BiGRU":
        of_direction = Direction.shapes(1, hidden, gates=3)
        values = draw(key, of_direction + of_direction + Dense.shapes(2 * hidden * positions, outputs))
        forward, backward = (Direction(*(next(values) for _ in of_direction)) for _ in range(2))
        return BiGRU(forward, backward, Dense(next(values), next(values)))

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        weights = by_name((self.forward, self.backward))
        states = named("gru", partial(gru, bidirectional=True), x.T[None], weights, bidirectional=True)
        return self.last(states.transpose(1, 0, 2).reshape(-1, x.shape[0])).T
