"""What recurrent networks share: the weights of one direction, and their names in PyTorch.

A recurrent step that is read (`_named.py`) has its weights under the names of a `torch.nn.RNN` or `GRU` of one layer:
`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, and the same with `_reverse` for the other direction.
"""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from flyroom.nets._layers import Shape

PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
SIDES = ("", "_reverse")


class Direction(eqx.Module):
    """One direction's weights in PyTorch's layout: as many rows as all gates together have hidden units."""

    input_weight: Float[Array, "gates input"]
    hidden_weight: Float[Array, "gates hidden"]
    input_bias: Float[Array, " gates"]
    hidden_bias: Float[Array, " gates"]

    @staticmethod
    def shapes(inputs: int, hidden: int, gates: int) -> list[Shape]:
        """Shapes in order; PyTorch draws all of them within 1 / sqrt(hidden), whatever their number of inputs."""
        rows = gates * hidden
        return [((rows, inputs), hidden), ((rows, hidden), hidden), ((rows,), hidden), ((rows,), hidden)]


def by_name(directions: Sequence[Direction]) -> dict[str, Array]:
    """The weights of one direction, or of both, forward first, under PyTorch's names."""
    return {
        f"{part}_l0{side}": array
        for side, one in zip(SIDES, directions, strict=False)
        for part, array in zip(
            PARTS, (one.input_weight, one.hidden_weight, one.input_bias, one.hidden_bias), strict=True
        )
    }


def directions(weights: Mapping[str, Array], bidirectional: bool) -> tuple[Direction, ...]:
    """What `by_name` undoes. Biases that are not there are zero."""
    found = []
    for side in SIDES[: 1 + bidirectional]:
        of_input, of_hidden, *biases = (weights.get(f"{part}_l0{side}") for part in PARTS)
        if of_input is None or of_hidden is None:
            raise ValueError(
                f"weights {', '.join(sorted(weights))} lack weight_ih_l0{side} or weight_hh_l0{side}; "
                "name them as torch.nn.RNN and GRU do"
            )
        none = jnp.zeros(of_hidden.shape[0], of_hidden.dtype)
        found.append(Direction(of_input, of_hidden, *(none if bias is None else bias for bias in biases)))
    return tuple(found)
