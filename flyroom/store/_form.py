"""The form in which things are written: plain values, canonical JSON, and a digest over each row."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flyroom.records import Account, Json, Run

encode = msgspec.json.Encoder(order="deterministic").encode


class Damaged(ValueError):
    """The store's file, or a file beside it, does not hold what was written to it."""


def key(run: Run) -> str:
    """The SHA-256 digest of a run's canonical JSON: its claim, version, settings, seed and data, nothing
    else.

    Values that mean the same have the same key: 1, 1.0 and `np.int64(1)`; a tuple and a list; any order of
    names. True is not 1. What has no one meaning is refused: NaN and infinities, integers beyond 64 bits,
    sets, arrays, and numbers in half or single precision that no short decimal denotes exactly
    (`np.float32(0.1)` is 0.100000001490116, and only the caller knows whether 0.1 was meant).

    Raises:
        TypeError: a setting that is not a plain value.
        ValueError: a number without one meaning.

    >>> one = Run("spatial-prior", 1, {"rate": 1, "widths": (100, 100)}, 0, {"name": "mnist1d"})
    >>> two = Run("spatial-prior", 1, {"widths": [100, 100], "rate": 1.0}, 0, {"name": "mnist1d"})
    >>> key(one) == key(two)
    True
    """
    return hashlib.sha256(encode(plain_run(run))).hexdigest()


def plain_run(run: Run) -> dict[str, Json]:
    """A run in plain values, as it enters the key and the file."""
    return {
        "claim": run.claim,
        "version": _whole(run.version, "version"),
        "settings": _plain(run.settings, "settings"),
        "seed": _whole(run.seed, "seed"),
        "data": _plain(run.data, "data"),
    }


def _whole(value: Any, where: str) -> int:
    number = _plain(value, where)
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"the {where} of a run is {value!r}; it must be a whole number")
    return number


def _plain(value: Any, where: str) -> Json:
    match value:
        case None | bool():
            return value
        case np.bool_():
            return bool(value)
        case str():
            return str.__str__(value)
        case int() | np.integer():
            if not -(2**63) <= int(value) < 2**64:
                raise ValueError(f"{where} is {value}, which needs more than 64 bits; give it as text")
            return int(value)
        case float() | np.floating():
            return _plain_number(value, where)
        case Mapping():
            for name in value:
                if not isinstance(name, str):
                    raise TypeError(f"{where} has the name {name!r}; names must be text")
            return {str.__str__(name): _plain(item, f"{where}.{name}") for name, item in value.items()}
        case list() | tuple():
            return [_plain(item, f"{where}[{place}]") for place, item in enumerate(value)]
    raise TypeError(
        f"{where} is {value!r} of type {type(value).__name__}; a run is identified by numbers, text, true"
        " or false, None, lists of them and dictionaries with text as names (an array: use .tolist())"
    )


def _plain_number(value: float | np.floating, where: str) -> int | float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{where} is {number}; a run is identified by finite numbers only")
    shown = str(value)
    if float(shown) != number:
        raise ValueError(
            f"{where} is {type(value).__name__}({shown}), which is {number!r} and not {shown}; say which is meant,"
            f" as a Python float: {shown} or float(x)"
        )
    whole = number.is_integer() and -(2**63) <= number < 2**64
    return int(number) if whole else number


def number(value: Any, where: str) -> float:
    """A value as a float. NaN and infinities are values: a training may diverge."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"the {where} of a result is {value!r} of type {type(value).__name__}; it must be a number"
        ) from error


def portable(tree: Any) -> Json:
    """The tree with the numbers that JSON does not have in a form of their own: {"$float": "nan"}."""
    match tree:
        case float():
            return tree if math.isfinite(tree) else {"$float": repr(float(tree))}
        case Mapping():
            return {str(name): portable(item) for name, item in tree.items()}
        case list() | tuple():
            return [portable(item) for item in tree]
    return tree


def _restored(tree: Any) -> Any:
    if isinstance(tree, dict):
        if tree.keys() == {"$float"}:
            return float(tree["$float"])
        return {name: _restored(item) for name, item in tree.items()}
    return [_restored(item) for item in tree] if isinstance(tree, list) else tree


def sealed(tree: Json, *others: str) -> tuple[str, str]:
    """The row's JSON, and the digest over it and over the other texts that belong to the row."""
    text = encode(tree)
    return text.decode(), _digest(text, others)


def opened(text: bytes | None, digest: str, path: Path, *others: str) -> Any:
    """What was sealed; an error if any byte of it has changed."""
    if text is None or _digest(text, others) != digest:
        raise damaged(path, "a row is not what was written")
    tree = msgspec.json.decode(text)
    return _restored(tree) if b'"$float"' in text else tree


def _digest(text: bytes, others: tuple[str, ...]) -> str:
    return hashlib.sha256(b"\n".join([*(other.encode() for other in others), text])).hexdigest()


def damaged(path: Path, detail: str) -> Damaged:
    """The error for a damaged file, with what to do."""
    return Damaged(
        f"{path} is damaged ({detail}) and was not used. Put a copy back; or rename it, which"
        " open_store(directory, set_aside=True) does, and run again: a new store is made and the old file"
        " is kept"
    )


def account_to_json(account: Account) -> Json:
    """An account in plain values, NumPy's scalars among them. Figures are pairs, since they have an order."""
    tree = msgspec.to_builtins(account, enc_hook=_unboxed)
    return portable({**tree, "figures": list(tree["figures"].items())})


def account_from_json(tree: Json) -> Account:
    """The account again, its verdicts and tuples restored. Accounts of schema 1 have their figures by name."""
    match tree:
        case {"figures": list(pairs)}:
            tree = {**tree, "figures": dict(msgspec.convert(pairs, list[tuple[str, Json]]))}
    return msgspec.convert(tree, Account)


def weight(tree: Json) -> tuple[int, int]:
    """What an account rests on: its claim's version, then its runs. One of another form weighs nothing."""
    match tree:
        case {"judgement": {"version": int(version), "runs": int(runs)}}:
            return version, runs
    return -1, -1


def _unboxed(value: Any) -> Json:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"an account holds {value!r} of type {type(value).__name__}, which is not plain JSON")
