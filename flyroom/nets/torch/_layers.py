"""The layers that can be converted: for each of PyTorch's operations a function from one call of it to steps."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Any

from flyroom.nets._recurrent import PARTS, SIDES
from flyroom.nets.torch._steps import Call, Missing, Step, Value

Handler = Callable[[Call], Any]

EVAL = "call module.eval() before converting"

# Products with weights. -----------------------------------------------------------------------------------------------


def _linear(call: Call) -> Value:
    weights = {"weight": call.constant("weight"), "bias": call.constant("bias")}
    return call.add("dense", [call.value("input")], weights=weights)


def _matmul(call: Call) -> Value:
    """x W or W x with a weight of the module's own; the first sums over the last axis, the second over that before."""
    left, right = call.given["self"], call.given.get("other", call.given.get("mat2"))
    if isinstance(left, Value) and isinstance(right, Value):
        raise call.refuse("a product of two values that both depend on the input (attention?) has no step")
    weight = right if isinstance(left, Value) else left
    x = call.as_value(left if isinstance(left, Value) else right)
    if weight.ndim != 2:
        raise call.refuse(f"its weight has the shape {tuple(weight.shape)}; two axes are needed")
    if isinstance(left, Value):
        return call.add("dense", [x], weights={"weight": weight.t()})
    last = len(x.shape) - 1
    order = (*range(last - 1), last, last - 1) if x.batch < last else range(last + 1)  # the batch may be the last axis
    turned = call.reordered(x, order, x.batch)
    made = call.add("dense", [turned], (*turned.shape[:-1], weight.shape[0]), x.batch, {"weight": weight})
    return call.reordered(made, order, x.batch)


def _per_axis(given: Any, axes: int) -> tuple[int, ...]:
    each = (given,) if isinstance(given, int) else tuple(given)
    return each * axes if len(each) == 1 else each


def _conv(call: Call) -> Value:
    weight = call.constant("weight")
    axes = weight.ndim - 2
    x = call.batch_first("input", 1 + axes)
    stride, dilation = (_per_axis(call.given[name], axes) for name in ("stride", "dilation"))
    given, kernel = call.given["padding"], tuple(weight.shape[2:])
    if given == "same":  # d (k - 1) in all, the odd one after
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        widths = tuple((total // 2, total - total // 2) for total in totals)
    else:
        widths = tuple((n, n) for n in _per_axis(0 if given == "valid" else given, axes))
    mode, before = "zero", call.steps[x.step]
    # A padding mode is a step of its own in PyTorch; where the same module pads and convolves, it is one layer.
    if before.op == "pad" and before.place == call.label and not any(map(any, widths)):
        details: dict[str, Any] = dict(before.details)
        if details["widths"][0] == (0, 0):
            widths, mode = details["widths"][1:], details["mode"]
            x = Value(before.inputs[0], call.steps[before.inputs[0]].shape, 0)
    weights = {"weight": weight, "bias": call.constant("bias")}
    return call.add(
        "conv", [x], weights=weights,
        stride=stride, dilation=dilation, groups=call.given["groups"], padding=widths, mode=mode,
    )  # fmt: skip


# Windows. -------------------------------------------------------------------------------------------------------------


def _max_pool(axes: int) -> Handler:
    def handler(call: Call) -> Value:
        x = call.batch_first("self", 1 + axes)
        if set(_per_axis(call.given["dilation"], axes)) != {1}:
            raise call.refuse(f"dilation {call.given['dilation']}: the windows of a pooling here have no holes")
        window, stride, padding = _windows(call, axes)
        widths = []
        for n, out, k, s, p in zip(x.shape[1:], call.shape[1:], window, stride, padding, strict=True):
            # ceil_mode: a last window that reaches beyond the input, of which what is outside never wins.
            after = max(p, (out - 1) * s + k - n - p)
            if 2 * after > k:
                raise call.refuse(f"ceil_mode with a window of {k} that is to reach {after} places beyond the input")
            widths.append((p, after))
        return call.add("max_pool", [x], window=window, stride=stride, padding=tuple(widths))

    return handler


def _mean_pool(axes: int) -> Handler:
    def handler(call: Call) -> Value:
        x = call.batch_first("self", 1 + axes)
        window, stride, padding = _windows(call, axes)
        if call.given.get("divisor_override") is not None:
            raise call.refuse("divisor_override: a mean here is divided by the number of places")
        sizes = zip(x.shape[1:], window, stride, padding, strict=True)
        if tuple((n + 2 * p - k) // s + 1 for n, k, s, p in sizes) != call.shape[1:]:
            raise call.refuse("ceil_mode, where it adds a window that reaches beyond the input")
        widths = tuple((p, p) for p in padding)
        counted = bool(call.given["count_include_pad"])
        return call.add("mean_pool", [x], window=window, stride=stride, padding=widths, count_padding=counted)

    return handler


def _windows(call: Call, axes: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    window = _per_axis(call.given["kernel_size"], axes)
    stride = _per_axis(call.given["stride"], axes) if call.given["stride"] else window
    return window, stride, _per_axis(call.given["padding"], axes)


def _adaptive(op: str, axes: int) -> Handler:
    """To one place: mean or maximum over all of space. A mean also to a size that divides the input's."""

    def handler(call: Call) -> Any:
        x = call.batch_first("self", 1 + axes)
        sizes = tuple(zip(x.shape[1:], call.shape[1:], strict=True))
        if all(out == 1 for _, out in sizes):
            reduced = call.add(op, [x], x.shape[:1], 0, axes=tuple(range(1, 1 + axes)))
            found = call.reshaped(reduced, call.shape, 0)
        elif op == "mean" and all(n % out == 0 for n, out in sizes):
            window = tuple(n // out for n, out in sizes)
            found = call.add(
                "mean_pool", [x], window=window, stride=window, padding=((0, 0),) * axes, count_padding=True
            )  # fmt: skip
        else:
            raise call.refuse(
                f"from {x.shape[1:]} places to {call.shape[1:]}, with windows of unequal size; a mean over all places, "
                "or to a size that divides theirs, can be converted"
            )
        return (found, Missing("the places of the maxima")) if len(call.results) == 2 else found

    return handler


def summed_squares(steps: Sequence[Step], i: int) -> Step | None:
    """The mean pooling of squares whose scaled-up result step `i` is; None where it is something else.

    PyTorch writes `lp_pool` as (sign(m) * relu(|m|)) * window with m the mean of the powers.
    """

    made = steps[i]
    product = _from(steps, made, "scale", "multiply")
    if product is None or len(product.inputs) != 2:
        return None
    sign, positive = (steps[j] for j in product.inputs)
    size = _from(steps, positive, "activation", "elementwise")
    pool = _from(steps, sign, "elementwise", "mean_pool")
    if size is None or pool is None or _from(steps, size, "elementwise", "mean_pool") is not pool:
        return None
    names = [dict(step.details)["name"] for step in (sign, positive, size)]
    scale: Any = dict(made.details)["value"]
    window: Any = dict(pool.details)["window"]
    squares = _from(steps, pool, "mean_pool", "activation")
    of_squares = squares is not None and ("name", "square") in squares.details
    return pool if names == ["sign", "relu", "abs"] and scale == prod(window) and of_squares else None


def _from(steps: Sequence[Step], step: Step, op: str, before: str) -> Step | None:
    """The step before one of this operation, where it is of that one."""
    first = steps[step.inputs[0]] if step.op == op else None
    return first if first is not None and first.op == before else None


# Norms. ---------------------------------------------------------------------------------------------------------------


def _batch_norm(call: Call) -> Value:
    x = call.batch_first("input")
    if call.given["training"]:
        raise call.refuse(f"it normalises by the batch (train mode, or track_running_stats=False); {EVAL}")
    return _by_running(call, x)


def _by_running(call: Call, x: Value) -> Value:
    names = {"gain": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}
    weights = {ours: call.constant(theirs) for ours, theirs in names.items()}
    return call.add("batch_norm", [x], weights=weights, eps=call.given["eps"], convention="pytorch")


def _instance_norm(call: Call) -> Value:
    x = call.batch_first("input")
    if not call.given["use_input_stats"]:
        return _by_running(call, x)
    return _by_groups(call, x, x.shape[0])


def _group_norm(call: Call) -> Value:
    return _by_groups(call, call.batch_first("input"), call.given["num_groups"])


def _by_groups(call: Call, x: Value, groups: int) -> Value:
    weights = {"gain": call.constant("weight"), "bias": call.constant("bias")}
    return call.add("group_norm", [x], weights=weights, groups=groups, eps=call.given["eps"])


def _layer_norm(call: Call) -> Value:
    x, axes, eps = call.value("input"), len(call.given["normalized_shape"]), call.given["eps"]
    weights = {"gain": call.constant("weight"), "bias": call.constant("bias")}
    given = [tensor for tensor in weights.values() if tensor is not None]
    if given or axes == len(x.shape):
        return call.add("layer_norm", [x], weights=weights, eps=eps)
    # Without gain and bias the step would take all axes of an example: each group is what shares a mean.
    groups = prod(x.shape[: len(x.shape) - axes])
    flat = call.reshaped(x, (groups, *x.shape[len(x.shape) - axes :]), x.batch)
    normalised = call.add("group_norm", [flat], flat.shape, x.batch, groups=groups, eps=eps)
    return call.reshaped(normalised, x.shape, x.batch)


# Activations, dropout. ------------------------------------------------------------------------------------------------


def _activation(name: str, **needed: int | str) -> Handler:
    """The activation of that name, where PyTorch's further arguments are what it stands for."""

    def handler(call: Call) -> Value:
        for argument, value in needed.items():
            if call.given[argument] != value:
                raise call.refuse(f"{argument} = {call.given[argument]!r}; only {value!r} is an activation here")
        return call.add("activation", [call.value("self")], name=name)

    return handler


def _leaky_relu(call: Call) -> Value:
    return call.add("activation", [call.value("self")], name="leaky_relu", slope=float(call.given["negative_slope"]))


def _hard_tanh(call: Call) -> Value:
    bounds = call.given["min_val"], call.given["max_val"]
    if bounds == (-1, 1):
        return call.add("activation", [call.value("self")], name="hard_tanh")
    raise call.refuse(f"a value held between {bounds[0]} and {bounds[1]}; between -1 and 1 it is hard_tanh")


def _clamp(call: Call) -> Value:
    names = {(-1, 1): "hard_tanh", (0, None): "relu"}
    bounds = call.given.get("min"), call.given.get("max")
    if any(isinstance(bound, Value) for bound in bounds) or bounds not in names:
        raise call.refuse(
            f"a value held between {bounds[0]} and {bounds[1]}; -1 and 1 is hard_tanh, 0 and None is relu"
        )
    return call.add("activation", [call.value("self")], name=names[bounds])


def _prelu(call: Call) -> Value:
    return call.add("prelu", [call.batch_first("self")], weights={"slope": call.constant("weight")})


def _dropout(call: Call) -> Any:
    if call.given["train"] and call.given["p"] > 0:
        raise call.refuse(f"its output is random; {EVAL}")
    return call.given["input"]


def _softmax(call: Call) -> Value:
    x = call.value("self")
    return call.add("softmax", [x], axis=call.axis(call.given["dim"], x))


# Recurrent layers. ----------------------------------------------------------------------------------------------------


def _recurrent(kind: str, **attributes: str) -> Handler:
    def handler(call: Call) -> tuple[Value, Value]:
        given = call.given
        x = _sequence(call)
        both = bool(given["bidirectional"])
        names = [f"{part}_l0{side}" for side in SIDES[: 1 + both] for part in PARTS[: 4 if given["has_biases"] else 2]]
        weights = dict(zip(names, given["params"], strict=True))
        states, hidden = weights["weight_hh_l0"].shape[1] * (1 + both), weights["weight_hh_l0"].shape[1]
        positions = x.shape[0]
        turned = call.reordered(x, (1, 0), x.batch)
        made = call.add(
            kind, [turned], (states, positions), x.batch, weights, bidirectional=both, **attributes
        )  # fmt: skip
        last = [call.cut(call.cut(made, 0, 0, hidden), 1, positions - 1, positions)]
        if both:  # what the other direction ends with stands at the first position
            last.append(call.cut(call.cut(made, 0, hidden, 2 * hidden), 1, 0, 1))
        rows = [call.reshaped(one, (1, hidden), 1) for one in last]
        ends = rows[0] if not both else call.add("concatenate", rows, (2, hidden), 1, axis=0)
        return call.reordered(made, (1, 0), x.batch), ends

    return handler


def _sequence(call: Call) -> Value:
    """The input of a recurrent layer, (position, feature) for each example; refused for what there is no step for."""
    given, x = call.given, call.value("input")
    if given["num_layers"] != 1:
        raise call.refuse(f"{given['num_layers']} layers in one; use as many modules of one layer, one after the other")
    first = given["batch_first"]
    if x.batch != (0 if first else 1) or len(x.shape) != 2:
        raise call.refuse(
            f"with batch_first={first} it takes {'(batch, position' if first else '(position, batch'}, feature), but "
            f"the batch is axis {x.batch} of {x.rank}: the batch would be taken for positions"
        )
    start = given["hx"]
    tensor = getattr(start, "tensor", start)
    if isinstance(start, Value) or bool((tensor != 0).any()):
        raise call.refuse("its first state is not zero; here the states begin at zero")
    return x


RECURRENT = ("aten.gru.input", "aten.rnn_tanh.input", "aten.rnn_relu.input")

LAYERS: Mapping[str, Handler] = MappingProxyType(
    {
        "aten.linear.default": _linear,
        "aten.matmul.default": _matmul,
        "aten.mm.default": _matmul,
        **dict.fromkeys((f"aten.conv{n}d.{way}" for n in (1, 2) for way in ("default", "padding")), _conv),
        "aten.max_pool1d.default": _max_pool(1),
        "aten.max_pool2d.default": _max_pool(2),
        "aten.avg_pool1d.default": _mean_pool(1),
        "aten.avg_pool2d.default": _mean_pool(2),
        "aten.adaptive_avg_pool1d.default": _adaptive("mean", 1),
        "aten.adaptive_avg_pool2d.default": _adaptive("mean", 2),
        "aten.adaptive_max_pool1d.default": _adaptive("max", 1),
        "aten.adaptive_max_pool2d.default": _adaptive("max", 2),
        "aten.batch_norm.default": _batch_norm,
        "aten.instance_norm.default": _instance_norm,
        "aten.group_norm.default": _group_norm,
        "aten.layer_norm.default": _layer_norm,
        "aten.relu.default": _activation("relu"),
        "aten.sigmoid.default": _activation("sigmoid"),
        "aten.tanh.default": _activation("tanh"),
        "aten.silu.default": _activation("silu"),
        "aten.sin.default": _activation("sin"),
        "aten.erf.default": _activation("erf"),
        "aten.special_erf.default": _activation("erf"),
        "aten.square.default": _activation("square"),
        "aten.gelu.default": _activation("gelu", approximate="none"),
        "aten.elu.default": _activation("elu", alpha=1, scale=1, input_scale=1),
        "aten.softplus.default": _activation("softplus", beta=1, threshold=20),
        "aten.leaky_relu.default": _leaky_relu,
        "aten.hardtanh.default": _hard_tanh,
        "aten.clamp.default": _clamp,
        "aten.clamp_min.default": _clamp,
        "aten.prelu.default": _prelu,
        **dict.fromkeys(
            (f"aten.{name}dropout.default" for name in ("", "feature_", "alpha_", "feature_alpha_")), _dropout
        ),
        "aten.softmax.int": _softmax,
        "aten.special_softmax.int": _softmax,
        "aten.gru.input": _recurrent("gru"),
        "aten.rnn_tanh.input": _recurrent("rnn", nonlinearity="tanh"),
        "aten.rnn_relu.input": _recurrent("rnn", nonlinearity="relu"),
    }
)
