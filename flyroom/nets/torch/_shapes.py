"""Changes of shape: for each of PyTorch's operations a function from one call of it to steps."""

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Any

from flyroom.nets.torch._steps import Call, Missing, Spread, Value

Handler = Callable[[Call], Any]


def _reshape(call: Call) -> Value:
    """To the result's shape, the batch between the same numbers as before."""
    x = call.value("self")
    if prod(x.shape[: x.batch]) != prod(call.shape[: call.batch]):
        raise call.refuse(f"from {_said(x)} to {_said(call.laid())}: it mixes the batch with the axes of an example")
    return call.reshaped(x, call.shape, call.batch)


def _said(x: Value) -> str:
    sizes = [*map(str, x.shape[: x.batch]), "batch", *map(str, x.shape[x.batch :])]
    return f"({', '.join(sizes)})"


def _permuted(call: Call, order: list[int]) -> Value:
    x = call.value("self")
    axes = [axis - (axis > x.batch) for axis in order if axis != x.batch]
    return call.reordered(x, axes, order.index(x.batch))


def _permute(call: Call) -> Value:
    rank = call.value("self").rank
    return _permuted(call, [axis % rank for axis in call.given["dims"]])


def _transpose(first: str, second: str) -> Handler:
    def handler(call: Call) -> Value:
        rank = call.value("self").rank
        order = list(range(rank))
        a, b = call.given[first] % rank, call.given[second] % rank
        order[a], order[b] = order[b], order[a]
        return _permuted(call, order)

    return handler


def _turned(call: Call) -> Value:
    order = list(range(call.value("self").rank))
    return _permuted(call, [*order[:-2], *order[:-3:-1]])


def _moved(call: Call) -> Value:
    rank = call.value("self").rank
    sources, targets = (
        [axis % rank for axis in ([given] if isinstance(given, int) else given)]
        for given in (call.given["source"], call.given["destination"])
    )
    order = [axis for axis in range(rank) if axis not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return _permuted(call, order)


def _broadcast(call: Call) -> Any:
    given = call.given["self"]
    if isinstance(given, Value):
        x = call.as_value(given)
        if x.rank - x.batch != len(call.shape) + 1 - call.batch:
            raise call.refuse("the batch is moved to another axis")
        wide = call.reshaped(x, (1,) * (len(call.shape) - len(x.shape)) + x.shape, call.batch)
        return wide if wide.shape == call.shape else call.add("broadcast", [wide])
    rank, batch = len(call.shape) + 1, call.batch
    tensor, own = (given.tensor.unsqueeze(given.batch), given.batch) if isinstance(given, Spread) else (given, None)
    tensor = tensor.reshape((1,) * (rank - tensor.ndim) + tuple(tensor.shape))
    if tensor.shape[batch] != 1 or (own is not None and own + rank - given.tensor.ndim - 1 != batch):
        raise call.refuse("a tensor is spread over the batch along an axis that it has already")
    return Spread(tensor.select(batch, 0).expand(call.shape), batch)


def _slice(call: Call) -> Value:
    x, axis = call.value("self"), call.given["dim"] % call.value("self").rank
    if axis == x.batch:
        call.laid()  # refuses a part of the batch
        if (call.given["start"] or 0, call.given["step"]) != (0, 1):
            raise call.refuse("a part of the batch, or the batch in another order")
        return x
    place = call.axis(axis, x)
    start, stop, step = slice(call.given["start"], call.given["end"], call.given["step"]).indices(x.shape[place])
    return call.cut(x, place, start, max(start, stop), step)


def _narrow(call: Call) -> Value:
    x = call.value("self")
    place = call.axis(call.given["dim"], x)
    start = call.given["start"] % x.shape[place]
    return call.cut(x, place, start, start + call.given["length"])


def _select(call: Call) -> Value:
    x = call.value("self")
    place = call.axis(call.given["dim"], x)
    start = call.given["index"] % x.shape[place]
    return call.reshaped(call.cut(x, place, start, start + 1), call.shape, call.batch)


def _pieces(call: Call) -> tuple[Value, ...]:
    """All results of a split, a chunk or an unbind, one after the other along an axis."""
    x = call.value("self")
    place, start, found = call.axis(call.given["dim"], x), 0, []
    for i in range(len(call.results)):
        laid = call.laid(i)
        length = laid.shape[place] if len(laid.shape) == len(x.shape) else 1
        found.append(call.reshaped(call.cut(x, place, start, start + length), laid.shape, laid.batch))
        start += length
    return tuple(found)


def _index_select(call: Call) -> Value:
    x = call.value("self")
    return call.taken(x, call.axis(call.given["dim"], x), call.constant("index"))


def _index(call: Call) -> Value:
    """x[:, index] with fixed whole numbers, or a fixed choice of places, along one axis of an example."""
    x, given = call.value("self"), call.given["indices"]
    places = [axis for axis, index in enumerate(given) if index is not None]
    if len(places) != 1 or isinstance(given[places[0]], Value | Spread | Missing):
        raise call.refuse("places along several axes, or that depend on the input; one fixed index can be converted")
    (axis,) = places
    index, place = given[axis], call.axis(axis, x)
    if index.ndim != 1:
        raise call.refuse(f"an index of shape {tuple(index.shape)}; one of a single axis can be converted")
    chosen = index.nonzero().reshape(-1) if str(index.dtype) == "torch.bool" else index
    return call.taken(x, place, chosen % x.shape[place])


def _flip(call: Call) -> Value:
    import torch

    x = call.value("self")
    for axis in call.given["dims"]:
        place = call.axis(axis, x)
        x = call.taken(x, place, torch.arange(x.shape[place] - 1, -1, -1))
    return x


def _concatenate(call: Call) -> Value:
    whole = [_joined(call, one) for one in call.given["tensors"]]
    return call.add("concatenate", whole, axis=call.axis(call.given["dim"], call.laid()))


def _stack(call: Call) -> Value:
    axis = call.axis(call.given["dim"], call.laid())
    shape = (*call.shape[:axis], 1, *call.shape[axis + 1 :])
    parts = [call.reshaped(call.as_value(one), shape, call.batch) for one in call.given["tensors"]]
    return call.add("concatenate", parts, axis=axis)


def _joined(call: Call, given: Any) -> Value:
    x = call.as_value(given)
    if x.batch != call.batch:
        raise call.refuse("it puts values together whose batches lie along different axes")
    return x


def _pad(call: Call) -> Value:
    x, given = call.value("self"), list(call.given["pad"])
    mode = {"constant": "zero"}.get(call.given.get("mode", "constant"), call.given.get("mode", "constant"))
    if mode == "zero" and call.given["value"] not in (None, 0):
        raise call.refuse(f"a padding with {call.given['value']}; zeros, reflect, replicate and circular have steps")
    if min(given, default=0) < 0:
        raise call.refuse(f"a padding of {given}, which cuts off; slice instead")
    pairs = list(zip(given[::2], given[1::2], strict=True))  # from the last axis to the first
    full = [(0, 0)] * (x.rank - len(pairs)) + pairs[::-1]
    if full.pop(x.batch) != (0, 0):
        raise call.refuse("a padding of the batch")
    return call.add("pad", [x], widths=tuple(full), mode=mode) if any(map(any, full)) else x


def _filled(value: float | None) -> Handler:
    """A tensor of one number with an axis as long as the batch: zeros for a first state, and such."""

    def handler(call: Call) -> Spread:
        number = call.given["fill_value"] if value is None else value
        return Spread(call.full(call.shape, float(number)), call.batch)

    return handler


def _same(call: Call) -> Any:
    given = call.given["self"] if "self" in call.given else call.given["input"]
    if isinstance(given, Value) and call.laid()[1:] != given[1:]:
        raise call.refuse(f"from {_said(given)} to {_said(call.laid())}")
    return given


def _cast(call: Call) -> Any:
    """To the type that a value has; to another it is refused, because a network here has one."""
    if call.results[0].dtype != call.dtype:
        raise call.refuse(f"it changes the type of numbers to {call.results[0].dtype}")
    return _same(call)


_VIEWS = (
    *("view.default", "_unsafe_view.default", "reshape.default", "view_as.default", "reshape_as.default"),
    *("flatten.using_ints", "unflatten.int", "ravel.default"),
    *("squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default"),
)
_PIECES = ("split.Tensor", "split.sizes", "split_with_sizes.default", "chunk.default", "unbind.int")
_COPIES = ("clone", "contiguous", "alias", "detach", "positive", "lift_fresh_copy")
_CASTS = ("to.dtype", "to.device", "to.dtype_layout", "to.other", "_to_copy.default", "type_as.default")

SHAPES: Mapping[str, Handler] = MappingProxyType(
    {
        **dict.fromkeys((f"aten.{name}" for name in _VIEWS), _reshape),
        "aten.permute.default": _permute,
        "aten.transpose.int": _transpose("dim0", "dim1"),
        "aten.swapaxes.default": _transpose("axis0", "axis1"),
        "aten.swapdims.default": _transpose("dim0", "dim1"),
        **dict.fromkeys(("aten.t.default", "aten.numpy_T.default", "aten.mT.default"), _turned),
        **dict.fromkeys(("aten.movedim.int", "aten.movedim.intlist"), _moved),
        **dict.fromkeys(("aten.expand.default", "aten.expand_as.default"), _broadcast),
        "aten.slice.Tensor": _slice,
        "aten.narrow.default": _narrow,
        "aten.select.int": _select,
        **dict.fromkeys((f"aten.{name}" for name in _PIECES), _pieces),
        "aten.index_select.default": _index_select,
        "aten.index.Tensor": _index,
        "aten.flip.default": _flip,
        **dict.fromkeys(("aten.cat.default", "aten.concat.default"), _concatenate),
        "aten.stack.default": _stack,
        **dict.fromkeys(("aten.pad.default", "aten.constant_pad_nd.default"), _pad),
        **{f"aten.{name}.default": _filled(0.0) for name in ("zeros", "zeros_like", "new_zeros")},
        **{f"aten.{name}.default": _filled(1.0) for name in ("ones", "ones_like", "new_ones")},
        **{f"aten.{name}.default": _filled(None) for name in ("full", "full_like", "new_full")},
        **dict.fromkeys((f"aten.{name}.default" for name in _COPIES), _same),
        **dict.fromkeys((f"aten.{name}" for name in _CASTS), _cast),
    }
)
