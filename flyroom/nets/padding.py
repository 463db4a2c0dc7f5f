"""What is put around an input before a kernel passes over it, and the sizes that follow.

Arrays are (channel, *space, batch): a signal is (channel, position, batch), an image (channel, row, column, batch).
Sizes are counts of positions along one axis of space. Source of the formulas: Dumoulin and Visin (2016, "A guide to
convolution arithmetic for deep learning", arXiv 1603.07285, sections 2 and 5.1).
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Places = Float[Array, "channel *space batch"]
Widths = tuple[tuple[int, int], ...]  # (before, after) for each axis of space
Padding = int | str | Sequence[int | Sequence[int]]  # everything that `padding_widths` understands

MODES = ("zero", "reflect", "replicate", "circular")
ALIASES: Mapping[str, str] = MappingProxyType({"mirror": "reflect", "duplicate": "replicate"})
ELSEWHERE: Mapping[str, str] = MappingProxyType(  # what NumPy and PyTorch call them
    {"constant": "zero", "zeros": "zero", "edge": "replicate", "wrap": "circular"}
)
_IN_JAX = {"zero": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def padding_mode(name: str) -> str:
    """The mode of that name, one of MODES; "mirror" is "reflect", "duplicate" is "replicate".

    ValueError for any other name, with the one that was probably meant.
    """
    if name in MODES:
        return name
    if name in ALIASES:
        return ALIASES[name]
    known = (*MODES, *ALIASES)
    near = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, known, n=2) or known
    raise ValueError(f"there is no padding mode {name!r}; did you mean {' or '.join(near)}?")


def pad(
    x: Places, widths: Sequence[tuple[int, int]], mode: str = "zero"
) -> Float[Array, "channels_after *padded batch"]:
    """`x` with `widths`, (before, after), put around each axis of space; the batch is never padded.

    "zero" puts zeros there. "reflect" ("mirror") walks back from the edge, which is *not* repeated: 3 2 | 1 2 3. What
    repeats it, 2 1 | 1 2 3, is NumPy's "symmetric" and not offered, because PyTorch has no such mode. "replicate"
    ("duplicate") repeats nothing but the edge: 1 1 | 1 2 3. "circular" goes on at the other end: 2 3 | 1 2 3.

    Widths may be given for the channels as well, one for each axis of an example.

    >>> pad(jnp.arange(1.0, 6).reshape(1, 5, 1), [(2, 1)], "mirror").ravel().tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 4.0]

    Raises ValueError for an unknown mode, a count of widths that is not the count of axes, widths below 0, a
    reflection that reaches further than the input minus its edge, and a circle that goes round more than once.
    """
    chosen = padding_mode(mode)
    every = ((0, 0), *widths) if len(widths) == x.ndim - 2 else tuple(widths)
    if len(every) != x.ndim - 1:
        raise ValueError(
            f"{len(widths)} widths do not fit an array of shape {x.shape}, (channel, *space, batch); "
            f"give (before, after) for its {_axes(x.ndim - 2)}"
        )
    for length, (before, after) in zip(x.shape[:-1], every, strict=True):
        _fits(length, before, after, chosen)
    return jnp.pad(x, (*every, (0, 0)), _IN_JAX[chosen])


def _fits(length: int, before: int, after: int, mode: str) -> None:
    if min(before, after) < 0:
        raise ValueError(f"a padding of {before} before and {after} after is below 0; to cut positions off, slice")
    most = {"reflect": length - 1, "circular": length}.get(mode)
    if most is None or max(before, after) <= most:
        return
    why = "the edge itself is not repeated" if mode == "reflect" else "it would go round more than once"
    raise ValueError(
        f"a {mode} padding of {before} before and {after} after does not fit {length} positions: {why}; "
        f"choose at most {most}, or the mode zero or replicate"
    )


def _axes(count: int) -> str:
    return "1 axis of space" if count == 1 else f"{count} axes of space"


def effective_kernel(kernel: int, dilation: int = 1) -> int:
    """Positions from the first tap of a kernel to its last: d (k - 1) + 1.

    Not to be confused with what a layer of a stack sees of the *input*, its receptive field.

    >>> effective_kernel(3, dilation=4)
    9
    """
    return dilation * (kernel - 1) + 1


def effective_input(length: int, padding: int | tuple[int, int] = 0) -> int:
    """Positions after padding: n + 2 p, or n + before + after."""
    before, after = (padding, padding) if isinstance(padding, int) else padding
    return length + before + after


def output_length(
    length: int, kernel: int, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> int:
    """Positions after a convolution: floor((n + 2 p - d (k - 1) - 1) / s) + 1; p zeros on *each* side.

    The size stays the same with stride 1 and d (k - 1) positions of padding in all; without padding n - k + 1 are left.
    Where the division leaves a remainder, the last positions are not seen: several lengths have one output length.

    >>> output_length(224, 7, stride=2, padding=3)
    112

    Raises ValueError where the kernel does not fit.
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    padded = length + before + after
    if min(kernel, stride, dilation) < 1 or min(before, after) < 0 or padded < effective_kernel(kernel, dilation):
        around = before if before == after else (before, after)
        apart = "" if dilation == 1 else f" and dilation {dilation}"
        raise ValueError(
            f"a kernel of {kernel} with stride {stride} and padding {around}{apart} does not fit {length} positions; "
            "kernel, stride and dilation must be at least 1 and the kernel no longer than the padded signal"
        )
    return (padded - effective_kernel(kernel, dilation)) // stride + 1


def same(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """The (before, after) with which stride 1 keeps the size: d (k - 1) in all, the odd one after, as in PyTorch.

    >>> same(3), same(4)
    ((1, 1), (1, 2))
    """
    total = effective_kernel(kernel, dilation) - 1
    return total // 2, total - total // 2


def per_axis(value: int | Sequence[int], axes: int, name: str) -> tuple[int, ...]:
    """A number for each axis of space, where one may stand for all; ValueError for another count and below 1.

    `name` is what the numbers are, for the message: "stride".
    """
    each = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(each) != axes:
        raise ValueError(f"{name} {each}: {len(each)} numbers for {_axes(axes)}; give one for all, or one for each")
    if min(each) < 1:
        raise ValueError(f"{name} {value}: must be at least 1")
    return each


def padding_widths(
    padding: Padding, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] | None = None
) -> Widths:
    """Padding in any of its forms as (before, after) for each axis of space.

    A number is that many on every side of every axis; for a signal, (before, after) says them apart. Otherwise one
    entry for each axis, a number or a (before, after). "valid" is none, "same" keeps the size (`same`), which has no
    meaning with a stride.

    Raises ValueError for other words, other counts, numbers below 0, "same" with a stride, and two different numbers
    for an image: PyTorch takes (1, 2) as rows 1, columns 2, others as 1 before and 2 after.

    >>> padding_widths("same", (3, 4), (1, 1))
    ((1, 1), (1, 2))
    """
    axes = len(kernel)
    if isinstance(padding, str):
        return _by_name(padding, kernel, stride, dilation or (1,) * axes)
    entries: tuple[int | Sequence[int], ...] = (padding,) * axes if isinstance(padding, int) else tuple(padding)
    if not isinstance(padding, int) and len(entries) == 2:
        first, second = entries
        if isinstance(first, int) and isinstance(second, int):
            if axes == 1:
                entries = ((first, second),)
            elif first != second:
                raise ValueError(
                    f"padding ({first}, {second}) can be read in two ways: write (({first}, {first}), ({second}, "
                    f"{second})) for rows and columns, (({first}, {second}), ({first}, {second})) for before and after"
                )
    pairs = [(entry, entry) if isinstance(entry, int) else entry for entry in entries]
    widths = tuple((pair[0], pair[1]) for pair in pairs if len(pair) == 2)
    if len(pairs) != axes or len(widths) != axes:
        raise ValueError(
            f"padding {padding} does not fit {_axes(axes)}; "
            "give one number, or for each axis a number or (before, after)"
        )
    if min(min(width) for width in widths) < 0:
        raise ValueError(f"padding {padding} is below 0; to cut positions off, slice")
    return widths


def _by_name(padding: str, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Widths:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        if padding in (*MODES, *ALIASES):
            raise ValueError(f"padding {padding!r} is a mode: write mode={padding!r}, and in padding how much")
        near = get_close_matches(padding, ("same", "valid"), n=1) or ("same", "valid")
        raise ValueError(f"there is no padding {padding!r}; did you mean {' or '.join(near)}, or a number?")
    if max(stride) > 1:
        raise ValueError(
            f'padding "same" with stride {tuple(stride)}: with a stride the size does not stay the same; '
            "give the padding as a number"
        )
    return tuple(same(size, apart) for size, apart in zip(kernel, dilation, strict=True))


def taps(
    x: Float[Array, "*others batch"],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int] | None = None,
) -> list[Float[Array, "*seen batch"]]:
    """What each tap of a kernel sees of a padded `x`, place by place: slices, the last axis of the kernel fastest.

    The axes of space are the last before the batch. Raises ValueError where the kernel does not fit.
    """
    axes = len(kernel)
    apart = dilation or (1,) * axes
    sizes = zip(x.shape[-1 - axes : -1], kernel, stride, apart, strict=True)
    counts = [output_length(n, k, s, 0, d) for n, k, s, d in sizes]

    def seen(tap: tuple[int, ...]) -> tuple[slice, ...]:
        places = zip(tap, counts, stride, apart, strict=True)
        return tuple(slice(j * d, j * d + s * (count - 1) + 1, s) for j, count, s, d in places)

    return [x[(..., *seen(tap), slice(None))] for tap in np.ndindex(*kernel)]
