"""Steps that have a name: whoever reads a network sees a convolution, not the slices and products that it is made of.

Each layer's computation goes through `named`. Outside of reading that is a plain call. While a network is read
(`nets/reader.py`) the call becomes one step of that kind, and what is inside it is not looked at.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import jax
import jax.extend.core
from jax.core import ShapedArray

# A user context is part of every cache key of JAX: what was traced before the reading is not taken for what is read.
reading = jax.make_user_context(default_value=False)

step = jax.extend.core.Primitive("flyroom_step")


@step.def_abstract_eval
def _abstract(*operands: Any, function: Callable, seen: int, names: tuple[str, ...], **_: Any) -> Any:
    shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in operands]
    with reading(False):
        found = jax.eval_shape(lambda *arrays: _called(function, seen, names, arrays), *shapes)
    return ShapedArray(found.shape, found.dtype)


@step.def_impl
def _evaluated(*operands: Any, function: Callable, seen: int, names: tuple[str, ...], **_: Any) -> Any:
    return _called(function, seen, names, operands)


def _called(function: Callable, seen: int, names: tuple[str, ...], arrays: Any) -> Any:
    x = arrays[0] if seen == 1 else tuple(arrays[:seen])
    return function(x, dict(zip(names, arrays[seen:], strict=True)))


def named(
    kind: str,
    function: Callable[[Any, dict[str, Any]], Any],
    x: Any,
    weights: Mapping[str, Any],
    **attributes: Hashable,
) -> Any:
    """`function(x, weights)`, which is to be read as one step of this kind with these weights and attributes.

    `x` is an array, or a tuple of arrays; weights that are None are left out. The function may use nothing but what it
    is given and values that are fixed when the network is built.
    """
    there = {name: array for name, array in weights.items() if array is not None}
    if not reading.value:
        return function(x, there)
    arrays = x if isinstance(x, tuple) else (x,)
    return step.bind(
        *arrays,
        *there.values(),
        function=function,
        seen=len(arrays),
        names=tuple(there),
        kind=kind,
        attributes=tuple(sorted(attributes.items())),
    )
