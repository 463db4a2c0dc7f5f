"""What is compared, and what a comparison leaves: records without behaviour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from flyroom.records import Account, Json, Measurement, Statement, Verdict
from flyroom.store import Record


class Agreement(StrEnum):
    """What became of a pair. `agrees` says that the two were not told apart, not that they are equal."""

    identical = "identical"
    agrees = "agrees"
    undecided = "undecided"
    differs = "differs"
    only_a = "only in A"
    only_b = "only in B"
    incomparable = "not comparable"  # another version of the claim, or judged under other settings


class Side(NamedTuple):
    """What a store holds: its name, the accounts of all its claims (the weightiest first) and its records."""

    name: str
    accounts: Sequence[Account]
    records: Sequence[Record]


@dataclass(frozen=True)
class Runs:
    """One run that is in both stores. `differences` names the values and curves that are not the same bits, with the
    largest absolute difference (NaN where only one of two is finite, or a curve has another length).
    """

    key: str
    settings: Mapping[str, Json]
    seed: int
    identical: bool
    differences: Mapping[str, float]


@dataclass(frozen=True)
class Number:
    """One value of one setting: its mean over seeds in A and in B, and the mean difference B - A.

    `p` is adjusted by Holm over the numbers of the claim that were tested; `test` is "paired" or "Welch". `lost`
    counts the values of each side that are NaN or infinite; the means are of the others.
    """

    version: int
    settings: Mapping[str, Json]
    value: str
    a: Measurement | None
    b: Measurement | None
    lost: tuple[int, int]
    difference: Measurement | None
    test: str
    p: float | None
    agreement: Agreement


@dataclass(frozen=True)
class Pair:
    """One statement as it was judged in A and in B; None where it was not made."""

    id: str
    a: Statement | None
    b: Statement | None
    agreement: Agreement


@dataclass(frozen=True)
class Compared:
    """One claim in both stores. `settings` holds what the accounts beside each other do not share, as (A, B)."""

    claim: str
    versions: tuple[int | None, int | None]
    verdicts: tuple[Verdict | None, Verdict | None]
    verdict: Agreement
    settings: Mapping[str, tuple[Json, Json]]
    runs: tuple[int, int]
    cpu_s: tuple[float, float]  # of the runs in both, together
    statements: tuple[Pair, ...]
    numbers: tuple[Number, ...]
    shared: tuple[Runs, ...]


@dataclass(frozen=True)
class Comparison:
    """Two stores beside each other. `differs` is True if a number, a statement or a verdict differs."""

    a: str
    b: str
    claims: tuple[Compared, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    sentence: str
    differs: bool
