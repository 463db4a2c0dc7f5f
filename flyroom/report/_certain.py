"""An interval as a number with the digits that are certain, in text and in LaTeX; rounded outward, always."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import NamedTuple

SHARPEST = Decimal("1e-9")  # relative; nobody reads more digits
WIDEST = Decimal("0.05")  # relative; above this both ends are said
ENDS = 4  # digits of each end then
PLAIN = range(-4, 7)  # powers of ten that are written out
_CONTEXT = Context(prec=800)  # of a double every digit


class _Power(NamedTuple):
    """What stands before a power of ten, and the power."""

    digits: str
    exponent: int


def certain(low: float, high: float, *, latex: bool = False) -> str:
    """`middle ± radius` around [low, high], or both ends where the radius is above 5 % of the middle.

    The middle has as many digits as the radius allows, ten at most. What is printed always holds the whole interval:
    it is computed in decimal numbers without rounding. An infinite end is said as `at least`.

    Raises ValueError for NaN and for ends in the wrong order.

    >>> certain(19.141786356, 19.141786396), certain(0.5, 2.25), certain(0.0, 0.0)
    ('19.14178638 ± 3e-8', '[0.5, 2.25]', '0')
    >>> certain(1.0, float("inf"))
    'at least 1'
    """
    if not low <= high:
        raise ValueError(f"[{low}, {high}] is no interval: the first end lies below the second")
    if math.isinf(low) or math.isinf(high):
        return _open(low, high, latex)
    a, b = Decimal(low), Decimal(high)
    if a == b == 0:
        return "0"
    scale = max(abs(a), abs(b))
    half = _CONTEXT.divide(_CONTEXT.subtract(b, a), Decimal(2))
    if half > WIDEST * scale:
        return f"[{_end(a, ROUND_FLOOR, latex)}, {_end(b, ROUND_CEILING, latex)}]"
    return _plus_minus(_CONTEXT.add(a, half), max(half, SHARPEST * scale), half, latex)


def _plus_minus(middle: Decimal, radius: Decimal, half: Decimal, latex: bool) -> str:
    exponent = radius.adjusted()
    while True:
        unit = Decimal(1).scaleb(exponent)
        shown = middle.quantize(unit, context=_CONTEXT)
        missed = _CONTEXT.add(half, abs(_CONTEXT.subtract(middle, shown)))
        units = int(_CONTEXT.divide(missed, unit).to_integral_value(ROUND_CEILING))
        if units <= 9:
            break
        exponent += 1
    power = 0 if shown.adjusted() in PLAIN else shown.adjusted()
    digits = f"{shown.scaleb(-power, context=_CONTEXT):f}"
    sign = r" \pm " if latex else " ± "
    if units == 0:
        return _written(_Power(digits, power), latex)
    if not power:
        return f"{digits}{sign}{_radius(units, exponent, latex)}"
    return _written(_Power(f"({digits}{sign}{_radius(units, exponent - power, latex)})", power), latex)


def _radius(units: int, exponent: int, latex: bool) -> str:
    if -2 <= exponent <= 0:
        return f"{Decimal(units).scaleb(exponent):f}"
    return _written(_Power(str(units), exponent), latex)


def _written(number: _Power, latex: bool) -> str:
    if not number.exponent:
        return number.digits
    if latex:
        return rf"{number.digits}\cdot 10^{{{number.exponent}}}"
    return f"{number.digits}e{number.exponent}"


def _end(value: Decimal, rounding: str, latex: bool) -> str:
    if value == 0:
        return "0"
    rounded = Context(prec=ENDS, rounding=rounding).plus(value).normalize(_CONTEXT)
    power = 0 if rounded.adjusted() in PLAIN else rounded.adjusted()
    return _written(_Power(f"{rounded.scaleb(-power, context=_CONTEXT):f}", power), latex)


def _open(low: float, high: float, latex: bool) -> str:
    if math.isinf(low) and math.isinf(high):
        return r"\text{no bound}" if latex else "no bound"
    upward = math.isinf(high)
    end = _end(Decimal(low if upward else high), ROUND_FLOOR if upward else ROUND_CEILING, latex)
    if latex:
        return (r"\ge " if upward else r"\le ") + end
    return f"at {'least' if upward else 'most'} {end}"
