"""The nouns: what passes from room to room. Frozen, typed, and without behaviour.

A *dataset* is trained on by *runs*; a *cell* is a batch of runs that are trained together; each run leaves a
*result*; results are judged into *statements*, and statements into a *judgement* of a *claim*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

Json = Any  # str | int | float | bool | None | list[Json] | dict[str, Json]


class Evidence(IntEnum):
    """How strongly a number is known. Evidence combines by minimum: `min(a.evidence, b.evidence)`."""

    single = 0  # one run, one sample: no spread is known
    estimate = 1  # sampled, with an interval at a stated confidence
    certified = 2  # an interval that provably holds the true value, rounding included
    exact = 3  # the value itself


class Verdict(StrEnum):
    """What became of a statement. The last two are for published figures, which are facts to compare with."""

    supported = "supported"
    refuted = "refuted"
    undecided = "undecided"
    compatible = "compatible"
    excluded = "excluded"


@dataclass(frozen=True)
class Dataset:
    """Examples in a training and a test part, and what they mean.

    `recipe` says how the arrays were made, in plain JSON values: it, not the bytes, identifies the data (the last
    bit of a float64 differs between processors). `extras` holds further arrays under names of their own.
    """

    name: str
    x_train: Shaped[np.ndarray, "train *example"]
    y_train: Int[np.ndarray, " train"]
    x_test: Shaped[np.ndarray, "test *example"]
    y_test: Int[np.ndarray, " test"]
    classes: tuple[str, ...]
    axes: tuple[str, ...] = ()  # one name per axis of an example
    recipe: Mapping[str, Json] = field(default_factory=dict)
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A number with its evidence; `interval` is (low, high), `n` the number of independent values behind it."""

    value: float
    interval: tuple[float, float] | None
    evidence: Evidence
    n: int = 1


@dataclass(frozen=True)
class Run:
    """What identifies one network trained once. Everything here, and nothing else, is in the store's key.

    `settings` holds only what differs from the claim's defaults plus the cell's own coordinates (which network,
    which data), so that a setting added later with a default does not rename old runs.
    """

    claim: str
    version: int
    settings: Mapping[str, Json]
    seed: int
    data: Mapping[str, Json]


@dataclass(frozen=True)
class Cell:
    """The smallest unit of work that is scheduled: runs of one setting, trained together. Seconds, not minutes.

    `ahead` says that its work begins with `train_many`, so that its program may be compiled while the cell before it is
    trained.
    """

    runs: tuple[Run, ...]
    ahead: bool = False


@dataclass(frozen=True)
class Result:
    """What one run left: named numbers, named curves (lists), and arrays too large for a row of a table.

    `wall_s` is the run's share of its cell's wall time; `cpu_s` its share of the process's time on all cores meanwhile,
    what was compiled for the next cell included.
    """

    run: Run
    values: Mapping[str, float]
    curves: Mapping[str, list[float]] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class Provenance:
    """Where results come from: enough for somebody else to do the same again."""

    version: str  # of flyroom
    source: str  # digest of the package's source files
    packages: Mapping[str, str]
    machine: Mapping[str, Json]
    command: str
    started: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Statement:
    """One sentence of a claim, judged. `headline` statements decide the claim; the others inform.

    `value` is the statistic that was judged (a mean, a difference, a ratio; `unit` says in what), `interval` its
    95 % interval, `published` the figure that it is compared with, as text, `p` the Holm-adjusted p-value of its
    test where there was one.
    """

    id: str
    sentence: str
    verdict: Verdict
    value: float | None = None
    interval: tuple[float, float] | None = None
    published: str | None = None
    evidence: Evidence = Evidence.estimate
    n: int = 0
    p: float | None = None
    unit: str = ""
    headline: bool = False


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, in one sentence, with the statements that it rests on.

    `table` is what a reader wants to see first: column names, then rows of text.
    """

    claim: str
    version: int
    verdict: Verdict
    sentence: str
    statements: tuple[Statement, ...]
    runs: int
    table: tuple[tuple[str, ...], ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True)
class About:
    """What a claim says of itself. `prediction` was written before the first run and is never edited to fit."""

    id: str
    version: int  # raised when its numbers stop being comparable
    title: str
    sentence: str
    source: str
    prediction: str
    cost_s: float  # measured wall seconds of a default run on two cores
    shortened: str = ""  # what the default run leaves out of the published protocol, and the check that it may


@dataclass(frozen=True)
class Account:
    """All that a page shows of a claim: made when it is judged, kept in the store, read by the report.

    `figures` maps a caption to a Vega-Lite specification with its data inside, or to the text of an animated SVG;
    `keys` names the results behind it.
    """

    about: About
    judgement: Judgement
    figures: Mapping[str, Json]
    provenance: Provenance
    settings: Mapping[str, Json]
    keys: tuple[str, ...]
