"""What the conversion of a PyTorch module is made of: steps, values, and one call of an operation with its place.

PyTorch's tensors have the batch where the module puts it, most often first; steps here know the axes of one example
only. A `Value` remembers which of PyTorch's axes is the batch, so that every axis can be translated.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple


class Unconverted(ValueError):
    """A module holds something that there is no step for; the sentence names it and its place."""


class Place(NamedTuple):
    """Where in a module something is: the path of the submodule, its class, and the line of Python, where known."""

    path: str
    layer: str
    line: str

    def __str__(self) -> str:
        where = f"{self.path} ({self.layer})" if self.path else self.layer
        return f"{where}, {self.line}" if self.line else where


class Step(NamedTuple):
    """A step of the network to be: as `graph.Node`, the weights still PyTorch's tensors."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    place: str
    weights: dict[str, Any]
    details: tuple[tuple[str, Hashable], ...]


class Value(NamedTuple):
    """What a step makes: its number, the shape of one example, and which axis of PyTorch's tensor is the batch."""

    step: int
    shape: tuple[int, ...]
    batch: int

    @property
    def rank(self) -> int:
        return len(self.shape) + 1


class Spread(NamedTuple):
    """A tensor that is the same for every example of the batch; it is held without that axis."""

    tensor: Any
    batch: int


class Missing(NamedTuple):
    """A result that there is no step for; it is refused only where it is used."""

    why: str


@dataclass(frozen=True)
class Call:
    """One call of an ATen operation: its arguments by the schema's names, its results, its place, the steps so far.

    `results` are PyTorch's tensors without values, in which `batch_symbol` is the length of the batch axis in writing;
    `dtype` is that of the input; `label` is the place that its steps will have.
    """

    name: str
    given: Mapping[str, Any]
    results: Sequence[Any]
    batch_symbol: str
    dtype: Any
    place: Place
    label: str
    steps: list[Step]

    def refuse(self, why: str) -> Unconverted:
        """The error for this call, to be raised."""
        return Unconverted(f"{self.place}: {self.name}: {why}")

    def laid(self, i: int = 0) -> Value:
        """Shape and batch axis of a result, as a value without a step; refused where examples are mixed."""
        sizes = self.results[i].shape
        places = [axis for axis, size in enumerate(sizes) if str(size) == self.batch_symbol]
        others = [size for axis, size in enumerate(sizes) if axis not in places]
        if len(places) != 1 or not all(isinstance(size, int) for size in others):
            said = re.sub(rf"\b{self.batch_symbol}\b", "batch", ", ".join(map(str, sizes)))
            raise self.refuse(
                f"its result has the shape ({said}), and one axis of it must be the batch itself: what mixes, takes "
                "apart or sums over the examples of a batch cannot be converted"
            )
        return Value(-1, tuple(others), places[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example of the first result."""
        return self.laid().shape

    @property
    def batch(self) -> int:
        """Which axis of the first result is the batch."""
        return self.laid().batch

    def value(self, name: str) -> Value:
        """The argument as a value; refused where it is none."""
        return self.as_value(self.given[name])

    def as_value(self, given: Any) -> Value:
        """A value as it is; what is the same for every example as a constant step."""
        if isinstance(given, Missing):
            raise self.refuse(f"it uses {given.why}, which there is no step for")
        if isinstance(given, Spread):
            tensor = given.tensor
            weights, details = {"value": tensor}, (("trained", bool(tensor.requires_grad)),)
            self.steps.append(Step("constant", (), tuple(tensor.shape), self.label, weights, details))
            return Value(len(self.steps) - 1, tuple(tensor.shape), given.batch)
        if not isinstance(given, Value):
            raise self.refuse(f"it is given {type(given).__name__} where a value that depends on the input is needed")
        return given

    def batch_first(self, name: str, axes: int | None = None) -> Value:
        """The argument, its batch as the first axis and `axes` more after it, if given; refused otherwise."""
        x = self.value(name)
        if x.batch != 0:
            raise self.refuse(f"the batch is axis {x.batch} of its input here, where this layer has it first")
        if axes is not None and len(x.shape) != axes:
            raise self.refuse(
                f"its input has the shape (batch, {', '.join(map(str, x.shape))}); with the batch first it needs "
                f"{axes} axes after it, or the batch is taken for something else"
            )
        return x

    def constant(self, name: str) -> Any:
        """The argument as a tensor that does not depend on the input, or None where there is none."""
        given = self.given[name]
        if isinstance(given, Value | Spread | Missing):
            raise self.refuse(f"its {name} depends on the input; only weights of the module's own can be copied")
        return given

    def full(self, shape: Sequence[int], value: float) -> Any:
        """A tensor of one number, of the network's type."""
        import torch

        return torch.full(tuple(shape), value, dtype=self.dtype)

    def axis(self, axis: int, x: Value) -> int:
        """The axis of one example that an axis of PyTorch's tensor is; refused where that is the batch."""
        place = axis % x.rank
        if place == x.batch:
            raise self.refuse(f"axis {axis} is the batch, and examples of a batch must not be mixed")
        return place - (place > x.batch)

    def add(
        self,
        op: str,
        inputs: Sequence[Value],
        shape: Sequence[int] | None = None,
        batch: int | None = None,
        weights: Mapping[str, Any] | None = None,
        **attributes: Hashable,
    ) -> Value:
        """One more step; without `shape` and `batch` its value is laid out as the first result."""
        laid = self.laid() if shape is None or batch is None else None
        shape = tuple(shape) if shape is not None else laid.shape if laid else ()
        batch = batch if batch is not None else laid.batch if laid else 0
        there = {name: tensor for name, tensor in (weights or {}).items() if tensor is not None}
        indices = tuple(one.step for one in inputs)
        self.steps.append(Step(op, indices, shape, self.label, there, tuple(sorted(attributes.items()))))
        return Value(len(self.steps) - 1, shape, batch)

    def reshaped(self, x: Value, shape: Sequence[int], batch: int) -> Value:
        """The same numbers in another shape: no step where nothing changes, one for several changes in a row."""
        before = self.steps[x.step]
        if before.op == "reshape":
            x = Value(before.inputs[0], self.steps[before.inputs[0]].shape, batch)
        if tuple(shape) == x.shape:
            return x._replace(batch=batch)
        if prod(shape) != prod(x.shape):
            raise self.refuse(f"{x.shape} cannot become {tuple(shape)}")
        return self.add("reshape", [x], shape, batch)

    def reordered(self, x: Value, axes: Sequence[int], batch: int) -> Value:
        """The axes of one example in another order: no step where they keep theirs."""
        if tuple(axes) == tuple(range(len(x.shape))):
            return x._replace(batch=batch)
        return self.add("transpose", [x], [x.shape[i] for i in axes], batch, axes=tuple(axes))

    def cut(self, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
        """The places start, start + step ... of one axis of an example; no step where that is all of them."""
        length = x.shape[axis]
        if (start, stop, step) == (0, length, 1):
            return x
        starts, stops, steps = [0] * len(x.shape), list(x.shape), [1] * len(x.shape)
        starts[axis], stops[axis], steps[axis] = start, stop, step
        shape = (*x.shape[:axis], len(range(start, stop, step)), *x.shape[axis + 1 :])
        ends = {"starts": tuple(starts), "stops": tuple(stops), "steps": tuple(steps)}
        return self.add("slice", [x], shape, x.batch, **ends)  # pyright: ignore[reportArgumentType]

    def taken(self, x: Value, axis: int, index: Any) -> Value:
        """Places of one axis of an example in a fixed order; `index` is a tensor of whole numbers."""
        shape = (*x.shape[:axis], len(index), *x.shape[axis + 1 :])
        return self.add("take", [x], shape, x.batch, {"index": index}, axis=axis)
