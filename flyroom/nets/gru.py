"""A bidirectional GRU on signals, written for the speed of training.

One matrix product a time step serves both directions, all gates and all biases: the columns of the big matrix see
(h forward, h backward, x forward, x backward, 1, 0), its rows are (r, z, n's hidden part, n's input part) for either
direction. Most of it is zeros, and still it is faster than the small products that it replaces. The backward pass is
written by hand: what JAX derives by itself costs about twice as much (benchmarks/training.py).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from flyroom.nets._layers import Dense, Shape, draw

Steps = Float[Array, "time fed batch"]  # at each time the input, the input of the reversed signal, 1, and 0
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


class Direction(eqx.Module):
    """One direction's weights in PyTorch's layout and order: rows r, z, n."""

    input_weight: Float[Array, "gates 1"]
    hidden_weight: Float[Array, "gates hidden"]
    input_bias: Float[Array, " gates"]
    hidden_bias: Float[Array, " gates"]

    @staticmethod
    def shapes(hidden: int) -> list[Shape]:
        gates = 3 * hidden
        return [((gates, 1), hidden), ((gates, hidden), hidden), ((gates,), hidden), ((gates,), hidden)]


class BiGRU(eqx.Module):
    """A bidirectional GRU over a signal of one channel; a dense layer reads its outputs at all positions.

    With 6 hidden units on 40 positions: 5,134 parameters. Cell as in PyTorch (Cho et al. 2014 with the reset gate
    applied *after* the product with the hidden weights): n = tanh(Wx + b + r * (Uh + c)), h = (1 - z) n + z h.
    """

    forward: Direction
    backward: Direction
    last: Dense

    @staticmethod
    def init(key: PRNGKeyArray, positions: int = 40, hidden: int = 6, outputs: int = 10) -> "BiGRU":
        of_direction = Direction.shapes(hidden)
        values = draw(key, of_direction + of_direction + Dense.shapes(2 * hidden * positions, outputs))
        forward, backward = (Direction(*(next(values) for _ in of_direction)) for _ in range(2))
        return BiGRU(forward, backward, Dense(next(values), next(values)))

    def matrix(self) -> Float[Array, "row column"]:
        """The one matrix that a time step multiplies by: 8h rows, 2h + 4 columns.

        The last column is zero and does nothing but make the matrix of six hidden units sixteen wide, at which
        the product for its gradient takes two thirds of the time.
        """
        hidden = self.forward.hidden_weight.shape[1]
        sides = (self.forward, self.backward)
        gate = [slice(g * hidden, (g + 1) * hidden) for g in range(3)]

        def rows(side: int, of_hidden, of_input, bias):
            square, column = (jnp.zeros((hidden, n), bias.dtype) for n in (hidden, 1))
            hiddens = [of_hidden if side == s and of_hidden is not None else square for s in (0, 1)]
            inputs = [of_input if side == s and of_input is not None else column for s in (0, 1)]
            return jnp.concatenate([*hiddens, *inputs, bias[:, None], column], axis=1)

        blocks = [
            rows(i, s.hidden_weight[g], s.input_weight[g], s.input_bias[g] + s.hidden_bias[g])
            for g in gate[:2]
            for i, s in enumerate(sides)
        ]
        blocks += [rows(i, s.hidden_weight[gate[2]], None, s.hidden_bias[gate[2]]) for i, s in enumerate(sides)]
        blocks += [rows(i, None, s.input_weight[gate[2]], s.input_bias[gate[2]]) for i, s in enumerate(sides)]
        return jnp.concatenate(blocks)

    def __call__(self, x: Float[Array, "batch position"]) -> Float[Array, "batch output"]:
        signal = x.T
        ones, zeros = jnp.ones_like(signal), jnp.zeros_like(signal)
        steps = jnp.stack([signal, signal[::-1], ones, zeros], axis=1)
        states = recurrence(self.matrix(), steps)
        hidden = states.shape[1] // 2
        both = jnp.concatenate([states[:, :hidden], states[::-1, hidden:]], axis=1)  # as seen at each position
        return self.last(both.reshape(-1, x.shape[0])).T
