"""What the reader knows while it reads: weights, steps so far, and which axis of a value is the batch."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flyroom.nets.graph import Node

BATCH = 2  # examples that the network is traced with: with one, no axis could be told from the batch


class Unread(ValueError):
    """A network holds something that the reader has no rule for; the sentence names it and its place."""


class Known(NamedTuple):
    """A value that does not depend on the input: an array, or only its shape. `name` is the weight's path."""

    array: Any
    name: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self.array)) if not isinstance(self.array, jax.ShapeDtypeStruct) else self.array.shape

    @property
    def abstract(self) -> bool:
        return isinstance(self.array, jax.ShapeDtypeStruct)

    def row(self, i: int) -> "Known":
        """Entry i along the first axis."""
        if self.abstract:
            return Known(jax.ShapeDtypeStruct(self.shape[1:], self.array.dtype), f"{self.name}.{i}")
        return Known(np.asarray(self.array)[i], f"{self.name}.{i}" if self.name else "")

    def map(self, function: Any) -> "Known":
        """The same name, another array: `function` of it, in NumPy, or its shape only."""
        if not self.abstract:
            return Known(function(np.asarray(self.array)), self.name)
        found = jax.eval_shape(lambda x: jnp.asarray(_traceable(function, x)), self.array)
        return Known(jax.ShapeDtypeStruct(found.shape, found.dtype), self.name)


def _traceable(function: Any, x: Any) -> Any:
    return function(x)


class Step(NamedTuple):
    """A value that depends on the input: a node, and where in its traced array the batch axis lies."""

    index: int
    batch: int


@dataclass
class Reading:
    """The steps so far. The only thing of the reader that changes while it reads."""

    shape: tuple[int, ...]
    nodes: list[Node] = field(default_factory=list)
    where: str = ""

    def __post_init__(self) -> None:
        self.nodes.append(Node("input", (), self.shape, "input"))

    @property
    def input(self) -> Step:
        return Step(0, 0)

    def add(
        self,
        op: str,
        inputs: list[Step],
        shape: Any,
        batch: int,
        *,
        place: str = "",
        weights: Any = None,
        **attributes: Any,
    ) -> Step:
        """One more step, its batch at axis `batch` of what was traced."""
        indices = tuple(one.index for one in inputs)
        details = tuple(sorted(attributes.items()))
        self.nodes.append(Node(op, indices, tuple(int(n) for n in shape), place, weights or {}, details))
        return Step(len(self.nodes) - 1, batch)

    def replaced(
        self, step: Step, *, op: str | None = None, weights: Any = None, place: str = "", **attributes: Any
    ) -> Step:
        """A copy of a step with other weights or attributes; the old one stays, and goes if nobody needs it."""
        old = self.nodes[step.index]
        details = tuple(sorted(attributes.items())) if attributes else old.details
        self.nodes.append(
            Node(op or old.op, old.inputs, old.shape, place or old.place, old.weights | (weights or {}), details)
        )
        return Step(len(self.nodes) - 1, step.batch)

    def node(self, step: Step) -> Node:
        return self.nodes[step.index]

    def refuse(self, what: str) -> Unread:
        return Unread(f"{self.where}: {what}")

    def reordered(self, step: Step, axes: tuple[int, ...]) -> Step:
        """The step with the axes of an example in another order; the batch comes last of what is traced."""
        if axes == tuple(range(len(axes))):
            return step
        shape = self.node(step).shape
        return self.add("transpose", [step], [shape[i] for i in axes], step.batch, axes=axes)

    def batch_last(self, step: Step) -> Step:
        """The same value seen with its batch axis last: an example's axes keep their order, so nothing is done."""
        return Step(step.index, len(self.node(step).shape))

    def constant(self, known: Known, shape: tuple[int, ...], batch: int) -> Step:
        """A weight as a step, for where it is added to or multiplied with a whole example."""
        return self.add("constant", [], shape, batch, place=parent(known.name), weights={"value": known.array})

    def example(self, known: Known, batch: int, rank: int) -> Known:
        """A weight that meets a value of this rank, without the batch axis; refused where it varies along it."""
        if len(known.shape) == 0:
            return known
        if len(known.shape) != rank:
            raise self.refuse(f"a weight of shape {known.shape} meets a value of {rank} axes")
        varies = not known.abstract and known.shape[batch] > 1 and bool(np.ptp(np.asarray(known.array), batch).any())
        if varies:
            raise self.refuse("a weight differs between the examples of a batch")
        return known.map(lambda array: array.take(0, axis=batch))

    def computed(self, equation: Any, inputs: list[Known]) -> list[Known]:
        """What an operation makes of weights alone; of their shapes, where the weights are not there."""
        names = {one.name for one in inputs if one.name}
        name = names.pop() if len(names) == 1 else ""
        if any(one.abstract for one in inputs):
            return [Known(jax.ShapeDtypeStruct(out.aval.shape, out.aval.dtype), name) for out in equation.outvars]
        found = IN_NUMPY.get(equation.primitive.name, _by_jax)(equation, [np.asarray(one.array) for one in inputs])
        found = found if equation.primitive.multiple_results else [found]
        return [Known(array, name) for array in found]


def parent(name: str) -> str:
    """`layers.0.weight` -> `layers.0`; a weight's place is what it belongs to."""
    return name.rpartition(".")[0] if "." in name else name


def _by_jax(equation: Any, arrays: list[np.ndarray]) -> Any:
    found = equation.primitive.bind(*arrays, **equation.primitive.get_bind_params(equation.params))
    return [np.asarray(one) for one in found] if equation.primitive.multiple_results else np.asarray(found)


def _broadcast(equation: Any, arrays: list[np.ndarray]) -> np.ndarray:
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    widened = [1] * len(shape)
    for axis, place in enumerate(places):
        widened[place] = arrays[0].shape[axis]
    return np.broadcast_to(arrays[0].reshape(widened), shape)


# The operations that weights go through most often; JAX would compile a program for each of their shapes.
IN_NUMPY: dict[str, Any] = {
    "transpose": lambda equation, arrays: arrays[0].transpose(equation.params["permutation"]),
    "reshape": lambda equation, arrays: arrays[0].reshape(equation.params["new_sizes"]),
    "squeeze": lambda equation, arrays: arrays[0].squeeze(tuple(equation.params["dimensions"])),
    "broadcast_in_dim": _broadcast,
    "add": lambda equation, arrays: np.add(*arrays),
    "sub": lambda equation, arrays: np.subtract(*arrays),
    "mul": lambda equation, arrays: np.multiply(*arrays),
    "neg": lambda equation, arrays: -arrays[0],
}
