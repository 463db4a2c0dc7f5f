"""Sums, products and reductions: for each of PyTorch's operations a function from one call of it to steps."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from flyroom.nets.torch._layers import summed_squares
from flyroom.nets.torch._steps import Call, Missing, Spread, Value

Handler = Callable[[Call], Any]

# Sums and products. ---------------------------------------------------------------------------------------------------


def _number(given: Any) -> float | None:
    """The one number that an operand is; None where it is a tensor of several, or a trained one."""
    tensor = given.tensor if isinstance(given, Spread) else given
    if isinstance(tensor, int | float):
        return float(tensor)
    if isinstance(tensor, Value | Missing) or tensor.requires_grad or tensor.numel() == 0:
        return None
    flat = tensor.reshape(-1)
    same = bool((flat == flat[0]).all()) and (isinstance(given, Spread) or tensor.numel() == 1)
    return float(flat[0]) if same else None


def _beside(call: Call, given: Any) -> Value:
    """An operand as a value whose batch stands where the result's does, so that it can be broadcast against others."""
    rank, batch = len(call.shape) + 1, call.batch
    if isinstance(given, Value | Spread | Missing):
        x = call.as_value(given)
        if x.rank - x.batch != rank - batch:
            raise call.refuse("it puts values together whose batches lie along different axes")
        return x
    wide = given.reshape((1,) * (rank - given.ndim) + tuple(given.shape))
    if wide.shape[batch] != 1:
        raise call.refuse(f"a tensor of shape {tuple(given.shape)} differs between the examples of a batch")
    return call.as_value(Spread(wide.select(batch, 0), batch))


def _alone(call: Call, x: Value) -> bool:
    """Whether an operand has the result's shape by itself, so that a number can be put to it."""
    return x.shape == call.shape and x.batch == call.batch


def _shifted(call: Call, x: Value, value: float) -> Value:
    return x if value == 0 else call.add("shift", [x], x.shape, x.batch, value=value)


def _scaled(call: Call, x: Value, value: float) -> Value:
    return x if value == 1 else call.add("scale", [x], x.shape, x.batch, value=value)


def _sum(sign: int, turned: bool = False) -> Handler:
    """self + sign * alpha * other; `turned` for other - alpha * self."""

    def handler(call: Call) -> Value:
        left, right = call.given["self"], call.given["other"]
        left, right = (right, left) if turned else (left, right)
        alpha = float(call.given.get("alpha", 1)) * sign
        number = _number(right)
        if number is not None and isinstance(left, Value) and _alone(call, left):
            return _shifted(call, left, alpha * number)
        number = _number(left)
        if number is not None and isinstance(right, Value) and _alone(call, right):
            return _shifted(call, _scaled(call, right, alpha), number)
        pair = [_beside(call, left), _scaled(call, _beside(call, right), abs(alpha))]
        return call.add("add" if alpha >= 0 else "subtract", pair)

    return handler


def _product(call: Call) -> Value:
    operands = call.given["self"], call.given["other"]
    for x, other in (operands, operands[::-1]):
        number = _number(other)
        if number is not None and isinstance(x, Value) and _alone(call, x):
            return _scaled(call, x, number)
    return call.add("multiply", [_beside(call, one) for one in operands])


def _quotient(call: Call) -> Value:
    if call.given.get("rounding_mode") is not None:
        raise call.refuse("a quotient that is rounded has no step")
    left, right = call.given["self"], call.given["other"]
    number = _number(right)
    if number and isinstance(left, Value) and _alone(call, left):
        return _scaled(call, left, 1 / number)
    pair = [call.full((), float(one)) if isinstance(one, int | float) else one for one in (left, right)]
    return call.add("divide", [_beside(call, one) for one in pair])


def _reciprocal(call: Call) -> Value:
    return call.add("divide", [_beside(call, call.full((), 1.0)), call.value("self")])


def _of_two(op: str) -> Handler:
    return lambda call: call.add(op, [_beside(call, call.given[name]) for name in ("self", "other")])


def _negative(call: Call) -> Value:
    return _scaled(call, call.value("self"), -1.0)


def _power(call: Call) -> Value:
    x, exponent = call.value("self"), call.given["exponent"]
    if exponent == 1:
        return x
    if exponent == 2:
        return call.add("activation", [x], name="square")
    if exponent != 0.5:
        raise call.refuse(f"the power {exponent} has no step; 2 and 1/2 have, and max, mean and L2 pooling")
    pool = summed_squares(call.steps, x.step)
    if pool is None:
        return call.add("elementwise", [x], name="sqrt")
    given = dict(pool.details)
    before = call.steps[pool.inputs[0]].inputs[0]
    squares = Value(before, call.steps[before].shape, x.batch)
    return call.add(
        "l2_pool", [squares], window=given["window"], stride=given["stride"], padding=given["padding"]
    )  # fmt: skip


def _elementwise(name: str) -> Handler:
    return lambda call: call.add("elementwise", [call.value("self")], name=name)


# Reductions. ----------------------------------------------------------------------------------------------------------


def _reduction(op: str) -> Handler:
    def handler(call: Call) -> Any:
        x, given = call.value("self"), call.given.get("dim")
        dims = [given] if isinstance(given, int) else list(given or range(x.rank))
        axes = tuple(sorted(call.axis(axis, x) for axis in dims))
        kept = tuple(n for axis, n in enumerate(x.shape) if axis not in axes)
        found = call.reshaped(call.add(op, [x], kept, call.batch, axes=axes), call.shape, call.batch)
        return (found, Missing("the places of the maxima")) if len(call.results) == 2 else found

    return handler


_ELEMENTWISE = ("abs", "cos", "exp", "expm1", "log", "log1p", "rsqrt", "sqrt", "sign", "floor")

ARITHMETIC: Mapping[str, Handler] = MappingProxyType(
    {
        **dict.fromkeys(("aten.add.Tensor", "aten.add.Scalar"), _sum(1)),
        **dict.fromkeys(("aten.sub.Tensor", "aten.sub.Scalar"), _sum(-1)),
        **dict.fromkeys(("aten.rsub.Tensor", "aten.rsub.Scalar"), _sum(-1, turned=True)),
        **dict.fromkeys(("aten.mul.Tensor", "aten.mul.Scalar"), _product),
        **dict.fromkeys(
            ("aten.div.Tensor", "aten.div.Scalar", "aten.div.Tensor_mode", "aten.true_divide.Tensor"), _quotient
        ),
        "aten.reciprocal.default": _reciprocal,
        "aten.maximum.default": _of_two("maximum"),
        "aten.minimum.default": _of_two("minimum"),
        "aten.neg.default": _negative,
        "aten.pow.Tensor_Scalar": _power,
        **{f"aten.{name}.default": _elementwise(name) for name in _ELEMENTWISE},
        "aten.mean.dim": _reduction("mean"),
        "aten.mean.default": _reduction("mean"),
        "aten.sum.dim_IntList": _reduction("sum"),
        "aten.sum.default": _reduction("sum"),
        "aten.amax.default": _reduction("max"),
        "aten.max.dim": _reduction("max"),
    }
)
