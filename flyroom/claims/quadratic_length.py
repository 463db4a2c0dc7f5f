"""Claim: what products of layers say of the length of a path in networks of squares, and where the factors 2 belong.

Source: the bounds that courses derive for u -> u^2. The Jacobian is W_h D W_(h-1) ... D W_1 with D = diag(2 u), so

    l(x) inj(W_1) prod_k 2 inf |u_i^k| inj(W_(k+1)) <= l(f(x)) <= l(x) |W_1| prod_k 2 sup |u_i^k| |W_(k+1)|,

infima and suprema over units i and the path, |A| the largest and inj(A) the smallest stretch of a unit vector (0 for a
map to fewer numbers). One slope of u^2 is 2u, not u: each square brings a factor 2, on both sides. The lower bound is
not 0 only if no pre-activation crosses 0 on the path and no layer is narrower than the one before.

Protocol: every bound and every length is enclosed (`measure.trajectory.bounds`). With h = 1, 2, 3 squares, ten seeds,
which draw weights of variance 1 / fan-in and the path's plane:

- chain: x^(2^h) on [0.99, 1.01], one number wide; one network each, no seed;
- wide: 8 inputs, hidden layers of 12, 16, 16 (the first h of them), 16 outputs; no biases; an arc of a circle about the
  origin: 1, 1/8, 1/64, 1/512 of it;
- narrow: the same with 4 outputs, on 1/512 of the circle;
- shifted: "wide" on the whole circle, with biases: each is twice the largest absolute pre-activation of its unit
  without biases on 1001 points, so that no pre-activation comes near 0.

A crossing is a change of sign of a pre-activation among 1001 points of the path.

Judged. Without the 2s the upper product lies below the length in every chain (so it is no bound), certified; with them
at or above the length in every network, certified. Random networks do not show it: for wide ones on the whole circle
the product without the 2s is still above the length, certified. The lower product of wide and shifted networks is above
0 where no crossing is found and 0 where one is; 0 for all narrow ones; above 0 for all shifted ones, certified. On the
whole circle the upper product of wide networks with 3 squares is above 10 times the length (geometric mean). Where the
lower product is not 0 (wide, 3 squares, 1/512 of the circle, seeds with a product above 0, six or more) it is below
1 / 100 of the length: not 0 is not much. A bound of 0 counts as 1e-80 where means are taken.

Predicted before the first run. Chains: with the 2s 1.01 (h = 1), 1.03, 1.07 times the length, without them 0.505,
0.26, 0.13. Wide, whole circle: upper product 8, 60, 500 times (before, on lines, with width 64: 62 at depth 2, 3700 at
4), within a factor 3; without the 2s 4, 15, 60. Share of wide networks with a lower product above 0, at 3 squares: 0,
0, .15 (0-.4), .8 (.5-1), because the 44 units cross 0 some 120 times on a circle; on the whole circle every unit of the
first layer crosses twice. Where it is above 0 it is 1e-7 of the length (within two powers of ten). Shifted: upper 5-30
times, lower 1e-2 to 1e-5 of the length at 1 to 3 squares.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import pi, sqrt
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flyroom import plot, stats
from flyroom.claims import _ladders, trials
from flyroom.claims.statements import bounds, within
from flyroom.measure import paths, trajectory
from flyroom.nets.mlp import MLP
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Evidence, Json, Judgement, Result, Run, Statement, Verdict

ABOUT = About(
    id="quadratic-length",
    version=1,
    title="Squares: where the factors 2 belong",
    sentence="For u -> u^2 every square puts a factor 2 into the layer products that bound a path's length; without "
    "them the upper one is no bound. The lower one is not 0 only if no pre-activation crosses 0 on the path and no "
    "layer is narrower than the one before.",
    source="The bounds by products of layers that courses derive for quadratic networks",
    prediction="x^(2^h): upper product 1.01, 1.03, 1.07 times the length with the 2s, 0.505, 0.26, 0.13 without. "
    "Random networks on a circle: 8, 60, 500 times, so that they hide the error. Lower product above 0 in 0, 0, 15, 80 "
    "% of networks on 1, 1/8, 1/64, 1/512 of the circle (3 squares), and then 1e-7 of the length.",
    cost_s=105.0,
)


class Kind(NamedTuple):
    """Networks of one kind on a part of a circle."""

    net: str
    squares: int
    part: int  # the path is 1 / part of a circle; 0 for the chain's line


SQUARES = (1, 2, 3)
PARTS = (1, 8, 64, 512)
CHAINS = tuple(Kind("chain", squares, 0) for squares in SQUARES)
WIDE = tuple(Kind("wide", squares, part) for squares in SQUARES for part in PARTS)
NARROW = tuple(Kind("narrow", squares, PARTS[-1]) for squares in SQUARES)
SHIFTED = tuple(Kind("shifted", squares, 1) for squares in SQUARES)
KINDS = (*CHAINS, *WIDE, *NARROW, *SHIFTED)
INPUTS, HIDDEN, OUTPUTS = 8, (12, 16, 16), {"wide": 16, "shifted": 16, "narrow": 4}
HALF = 0.01  # of the chain's interval about 1
POINTS, SHIFT = 1001, 2.0
LOOSE, LITTLE = 10.0, 0.01
UPPER, LOWER = ("upper", "layers apart"), ("lower", "layers apart")
HIGH, LOW = _ladders.label(*UPPER, "high"), _ladders.label(*LOWER, "low")
SECONDS = 30.0  # of processor time for one ladder; beyond, intervals are wider, and say so


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds."""
    return {"runs": min(settings.runs, 2)}


def cells(settings: Settings) -> list[Cell]:
    """The networks of each kind. Raises ValueError for no runs."""
    trials.require_positive(settings, "runs")
    return [
        Cell(tuple(Run(ABOUT.id, ABOUT.version, kind._asdict(), seed, _recipe(kind, seed))
                   for seed in range(1 if kind in CHAINS else settings.runs)))
        for kind in KINDS
    ]  # fmt: skip


def _recipe(kind: Kind, seed: int) -> dict[str, Json]:
    if kind in CHAINS:
        return {"name": "line", "low": 1 - HALF, "high": 1 + HALF}
    return {"name": "arc", "units": INPUTS, "radius": "sqrt(units)", "turn": f"1/{kind.part}", "seed": seed}


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    return 0.05 if run.settings["net"] == "chain" else 0.2 * (1 + run.settings["squares"])


def path(kind: Kind, seed: int) -> paths.Path:
    """The chain's interval, or a part of a circle about the origin of radius sqrt(8)."""
    if kind in CHAINS:
        return paths.line([1 - HALF], [1 + HALF])
    whole = paths.circle(INPUTS, radius=sqrt(INPUTS), seed=seed)
    return paths.arc(whole.centre, whole.u, whole.v, 0.0, 2 * pi / kind.part)


def network(kind: Kind, seed: int) -> MLP:
    """A chain of ones, or a random network; biases only where it is shifted."""
    if kind in CHAINS:
        net = parse("quadratic:" + "-".join(["1"] * (kind.squares + 2))).init(jax.random.key(0))
        return jax.tree.map(lambda leaf: jnp.ones_like(leaf) if leaf.ndim == 2 else jnp.zeros_like(leaf), net)
    widths = "-".join(map(str, (INPUTS, *HIDDEN[: kind.squares], OUTPUTS[kind.net])))
    net = parse(f"quadratic:{widths}?weight_std=1&bias_std=0").init(jax.random.key(seed))
    if kind.net != "shifted":
        return net
    for i in range(kind.squares):
        largest = SHIFT * np.abs(pre_activations(net, path(kind, seed))[i]).max(axis=0)
        net = eqx.tree_at(lambda net, i=i: net.layers[i].bias, net, jnp.asarray(largest, jnp.float32))
    return net


def pre_activations(net: MLP, path: paths.Path) -> list[Float[np.ndarray, "point _"]]:
    """What is squared, layer by layer, at `POINTS` places of a path, in float64."""
    z, found = paths.points(path, np.linspace(0, 1, POINTS)), []
    for layer in net.layers[:-1]:
        u = z @ np.asarray(layer.weight, np.float64).T + np.asarray(layer.bias, np.float64)
        found.append(u)
        z = u * u
    return found


def crossings(net: MLP, path: paths.Path) -> int:
    """How many pre-activations have both signs among the points."""
    return sum(int(((u.min(axis=0) < 0) & (u.max(axis=0) > 0)).sum()) for u in pre_activations(net, path))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Draw the networks of a cell, enclose their ladders, and look for crossings."""
    return [_measured(one) for one in cell.runs]


def _measured(run: Run) -> Result:
    kind = Kind(*(run.settings[name] for name in Kind._fields))
    net, along = network(kind, run.seed), path(kind, run.seed)
    found = trajectory.bounds(net, along, seconds=SECONDS)
    values = {"length": found.length.high, "reached": float(found.reached), "crossings": float(crossings(net, along))}
    return Result(run, {**values, **_ladders.shares(found)})


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = [*_factors(results), *_signs(results), *_sizes(results), *_informing(results)]
    return trials.judgement(
        ABOUT, results, statements,
        "Without the 2s the upper product is no bound; the lower one is not 0 only without crossings and narrowing.",
        table=_table(results),
    )  # fmt: skip


def _of(results: Sequence[Result], kinds: Sequence[Kind]) -> list[Result]:
    found = [one for kind in kinds for one in trials.where(results, **kind._asdict())]
    if not found:
        raise ValueError(f"no run of {kinds[0]} or its like is stored, so the claim cannot be judged; run it again")
    return found


def _shown(name: str, said: str, share: float, count: int, value: float, unit: str, published: str = "") -> Statement:
    """A statement about every single network: supported where it was proved for all, refuted where not."""
    verdict = Verdict.supported if share == 1 else Verdict.refuted
    return Statement(name, said, verdict, value, None, published or None, Evidence.certified, count, unit=unit,
                     headline=True)  # fmt: skip


def without(result: Result, end: str) -> float:
    """The upper product without the 2s over the length."""
    return result.values[_ladders.label(*UPPER, end)] / 2.0 ** result.run.settings["squares"]


def _factors(results: Sequence[Result]) -> list[Statement]:
    """Where leaving out the 2s is seen, and where not."""
    chains, random = _of(results, CHAINS), _of(results, [kind for kind in WIDE if kind.part == 1])
    below = [without(one, "high") for one in chains]
    above = [one.values[HIGH] for one in results]
    hidden = [without(one, "low") for one in random]
    return [
        _shown("without-chain", "x^(2^h): without the 2s below the length", float(np.mean(np.less(below, 1))),
               len(below), max(below), "of the length", "< 1"),
        _shown("with", "With the 2s the upper product is a bound", float(np.mean(np.greater_equal(above, 1))),
               len(above), min(above), "of the length", "≥ 1"),
        _shown("without-wide", "Random networks hide the error: still above", float(np.mean(np.greater(hidden, 1))),
               len(hidden), min(hidden), "of the length", "> 1"),
    ]  # fmt: skip


def _signs(results: Sequence[Result]) -> list[Statement]:
    """When the lower product is 0."""
    level, narrow, shifted = _of(results, (*WIDE, *SHIFTED)), _of(results, NARROW), _of(results, SHIFTED)
    alike = float(np.mean([(one.values[LOW] > 0) == (one.values["crossings"] == 0) for one in level]))
    zero = float(np.mean([one.values[_ladders.label(*LOWER, "high")] == 0 for one in narrow]))
    positive = float(np.mean([one.values[LOW] > 0 for one in shifted]))
    found = [
        _shown("iff", "Lower product > 0 where nothing crosses 0", alike, len(level), alike, "of networks"),
        _shown("narrow", "It is 0 where a layer is narrower", zero, len(narrow), zero, "of networks"),
        _shown("shifted", "It is > 0 where biases keep units from 0", positive, len(shifted), positive, "of networks"),
    ]
    # That a sign changes is seen at points, computed in float64.
    return [replace(found[0], evidence=Evidence.estimate), *found[1:]]


def _sizes(results: Sequence[Result]) -> list[Statement]:
    """How far the products are from the length."""
    last = SQUARES[-1]
    upper = _ladders.logs(results, _ladders.label(*UPPER, "low"), **Kind("wide", last, 1)._asdict())
    small = [one for one in _of(results, [Kind("wide", last, PARTS[-1])]) if one.values[LOW] > 0]
    said = "Lower product > 0: below 1 / 100 of length"
    if small:
        lower = _ladders.geometric(np.log10([one.values[_ladders.label(*LOWER, "high")] for one in small]))
        second = within("little", said, lower, high=LITTLE, unit="of the length", headline=True)
    else:
        second = Statement("little", said, Verdict.undecided, evidence=Evidence.single, headline=True)
    first = within("loose", f"{last} squares: upper product > {LOOSE:g} times", _ladders.geometric(upper), low=LOOSE,
                   unit="of the length", headline=True)  # fmt: skip
    return [first, second]


def positive(results: Sequence[Result], kind: Kind) -> list[float]:
    """By seed 1 where the lower product was proved to be above 0, else 0."""
    return [float(one.values[LOW] > 0) for one in _of(results, [kind])]


def _informing(results: Sequence[Result]) -> list[Statement]:
    """How short a path must be, and how much sharper the tangents' rungs are."""
    last, found = SQUARES[-1], []
    for part in PARTS:
        share = stats.mean_interval(positive(results, Kind("wide", last, part)))
        said = f"{f'1/{part} of' if part > 1 else 'Whole'} circle: lower product mostly > 0"
        found.append(within(f"positive-{part}", said, share, low=0.5, unit="of networks"))
    place = Kind("wide", last, 1)._asdict()
    least = _ladders.geometric(_ladders.logs(results, _ladders.label("lower", "infimum on T", "low"), **place))
    most = _ladders.geometric(_ladders.logs(results, _ladders.label("upper", "supremum on T", "high"), **place))
    found.append(within("infimum-on-T", f"{last} squares: infimum on T above {LITTLE:g}", least, low=LITTLE,
                        unit="of the length"))  # fmt: skip
    found.append(within("supremum-on-T", f"{last} squares: supremum on T below {LOOSE:g}", most, high=LOOSE,
                        unit="of the length"))  # fmt: skip
    return found


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    head = ("network", "squares", "of a circle", "upper product", "without 2s", "sup on T", "inf on T",
            "lower product", "above 0, %", "crossings")  # fmt: skip
    rows = []
    for kind in KINDS:
        place, level = kind._asdict(), _of(results, [kind])
        upper = _ladders.geometric(_ladders.logs(results, HIGH, **place)).value
        # One number wide, all directions are tangents.
        on = " on T" if _ladders.label("upper", "supremum on T", "high") in level[0].values else ""
        ends = (("upper", f"supremum{on}", "high"), ("lower", f"infimum{on}", "low"), (*LOWER, "low"))
        numbers = [_ladders.text(results, _ladders.label(*end), **place) for end in ends]
        rows.append((kind.net, str(kind.squares), f"1/{kind.part}" if kind.part > 1 else str(kind.part or "line"),
                     f"{upper:.3g}", f"{upper / 2**kind.squares:.3g}", *numbers,
                     f"{100 * np.mean(positive(results, kind)):.0f}",
                     f"{np.mean([one.values['crossings'] for one in level]):.1f}"))  # fmt: skip
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Upper products with and without the 2s by the number of squares; how often the lower one is above 0."""
    rows, shares = [], []
    for kind in (*CHAINS, *(one for one in WIDE if one.part == 1), *SHIFTED):
        found = _ladders.logs(results, HIGH, **kind._asdict())
        for label, factor in (("with the 2s", 0), ("without", kind.squares)):
            share = _ladders.geometric(found - factor * np.log10(2))
            rows.append({"net": label, "data": kind.net, "step": kind.squares, "mean": share.value, **bounds(share)})
    for kind in WIDE:
        share = float(np.mean(positive(results, kind)))
        shares.append({"net": f"{kind.squares} squares", "data": "wide", "step": 1 / kind.part, "mean": share})
    return {
        "The upper product over the length, with and without the factors 2": plot.curves(
            rows, x_title="squares", y_title="bound / length", percent=False, log_y=True, points=True, columns=3,
            title="Where the factors 2 belong", subtitle="below 1 it is no bound; random networks do not show it",
        ),
        "Share of networks whose lower product is above 0, by the part of the circle that is the path": plot.curves(
            shares, x_title="part of the circle", y_title="networks", log_x=True, points=True,
            title="When the lower product is not 0", subtitle="widths that never shrink, no biases",
        ),
    }  # fmt: skip
