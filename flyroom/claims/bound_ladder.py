"""Claim: the bounds that the chain rule gives are far from the length of a path's image, unless restricted to tangents.

Source: the chain of inequalities that courses derive: inj(J) l(x) <= l(f(x)) <= |J| l(x), and products of the layers'
norms under and over these. l is a length, J the network's Jacobian along the path, |A| the largest and inj(A) the
smallest stretch of a unit vector, T the span of the path's tangents.

Protocol: networks of 2, 4 and 6 hidden layers of width 24, as many inputs and outputs, weights of variance s^2 / 24,
biases of variance b^2: tanh (s = 1.5, b = 0.3), ReLU (s = sqrt 2, b = 0.1), GELU (s = 1.5, b = 0.1). A circle about the
origin of radius sqrt 24; for the deepest also a straight line between two normal points. The seed draws weights and
path; ten seeds. Every rung of the ladder and the length itself are enclosed (`measure.trajectory.bounds`), and a rung
is divided by the length so that what is said errs against the claim: a bound that is to be too large by its low end
over the length's high end, one that is to be too small the other way about.

Judged, of geometric means over seeds at 6 layers, for each activation: the product of norms and slope constants is
more than 100 times the length, and gets looser by 1.5 times a layer or more (from 2 layers to 6, by seed); the infimum
of inj(J), times the length of the path, is below 1e-6 of the length; the product of the layers' smallest stretches is
below 1e-11; the infimum of inj(J on T) is above 0.05, and the supremum of |J on T| below 5, on the circle. A bound of
0 counts as 1e-80. Means of several networks are estimates, though every number in them is certified.

Predicted before the first run (two networks had been timed, no number of theirs was seen). Product of norms: a square
normal matrix of width 24 has norm 1.91 s, and lengths grow as mean field says, so 18, 147, 1140 times for tanh, 14,
103, 765 for ReLU, 18, 166, 1540 for GELU at 2, 4, 6 layers, within 30 %; 2.8, 2.7, 3.0 times a layer. Infimum in all
directions for tanh 1e-6, 1e-9, 1e-12, each within two powers of ten (width 64, depth 6 was measured before: 8e-16); for
ReLU and GELU 0 but for rounding, because a slope of 0 somewhere makes J singular. Product below: 1e-9, 1e-16, 1e-23 for
tanh, within three powers of ten; 0 for ReLU and GELU. On T: infimum 0.13 (0.05-0.25) for tanh at 6 layers, as before
with width 64; a guess for the others: GELU 0.1, ReLU 0.05, which may refute; on a line, where T is one direction, twice
that. Supremum on T: 2.5 (1.6-4.6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Any, NamedTuple

import jax
import numpy as np

from flyroom import plot
from flyroom.claims import _ladders, _trajectories, trials
from flyroom.claims.statements import bounds, within
from flyroom.measure import paths, trajectory
from flyroom.nets.mlp import MLP
from flyroom.nets.spec import parse
from flyroom.records import About, Cell, Evidence, Json, Judgement, Result, Run, Statement, Verdict

ABOUT = About(
    id="bound-ladder",
    version=1,
    title="How loose the bounds of a length are",
    sentence="The chain rule's bounds of how long a network makes a path are useless by themselves: products of norms "
    "are hundreds of times too large, smallest stretches next to nothing. Restricted to the path's tangents they say "
    "something.",
    source="The chain of inequalities that courses derive, from the integral of the Jacobian's norm to products of the "
    "layers' norms",
    prediction="Over the length, at 2, 4, 6 layers: product of norms 18, 147, 1140 times (tanh), 14, 103, 765 (ReLU), "
    "18, 166, 1540 (GELU). Under it: infimum 1e-6, 1e-9, 1e-12 for tanh, 0 for the others; product 1e-9, 1e-16, 1e-23 "
    "for tanh. Restricted to tangents, at 6 layers: 0.13 (tanh), 0.1 (GELU), 0.05 (ReLU) under, 2.5 over.",
    cost_s=25.0,
)


class Kind(NamedTuple):
    """Networks of one kind on paths of one kind."""

    activation: str
    layers: int
    path: str


SCALES = {"tanh": (1.5, 0.3), "relu": (sqrt(2), 0.1), "gelu": (1.5, 0.1)}  # standard deviations: weights, biases
CALLED = {"tanh": "tanh", "relu": "ReLU", "gelu": "GELU"}
TOO_LARGE, LOOSER, NEXT_TO_NOTHING, PRODUCT, SHARE, OVER = 100.0, 1.5, 1e-6, 1e-11, 0.05, 5.0
CONSTANTS = ("upper", "slope constants")
SHOWN = (
    ("upper", "integral on T"), ("upper", "supremum on T"), ("upper", "supremum"), ("upper", "layers apart"),
    CONSTANTS, ("lower", "integral on T"), ("lower", "infimum on T"), ("lower", "infimum"), ("lower", "layers apart"),
)  # fmt: skip
SECONDS = 30.0  # of processor time for one ladder; beyond, intervals are wider, and say so


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    width: int = 24
    layers: str = "2-4-6"  # hidden layers


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, width 8, two depths."""
    return {"runs": min(settings.runs, 2), "width": min(settings.width, 8), "layers": "1-3"}


def depths(settings: Settings) -> tuple[int, ...]:
    """The numbers of hidden layers, ascending. Raises ValueError for fewer than two of them, and beyond 1 to 12."""
    try:
        found = tuple(sorted({int(word) for word in settings.layers.split("-")}))
    except ValueError:
        found = ()
    if len(found) < 2 or not 1 <= found[0] <= found[-1] <= 12:
        raise ValueError(f"layers {settings.layers!r}: give two or more numbers of hidden layers, 1 to 12, as 2-4-6")
    return found


def kinds(settings: Settings) -> list[Kind]:
    """Circles for every network, lines for the deepest."""
    wanted = depths(settings)
    found = [Kind(name, layers, "circle") for name in SCALES for layers in wanted]
    return [*found, *(Kind(name, wanted[-1], "line") for name in SCALES)]


def cells(settings: Settings) -> list[Cell]:
    """The networks of each kind. Raises ValueError for no runs, widths below 3 or above 64, and wrong depths."""
    trials.require_positive(settings, "runs")
    if not 3 <= settings.width <= 64:
        raise ValueError(f"width {settings.width}: give 3 to 64 units; a ladder takes minutes beyond")
    changed = trials.differing(settings, "runs", "layers")
    return [
        Cell(tuple(Run(ABOUT.id, ABOUT.version, {**kind._asdict(), **changed}, seed,
                       {"name": kind.path, "units": settings.width, "seed": seed}) for seed in range(settings.runs)))
        for kind in kinds(settings)
    ]  # fmt: skip


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    return 0.05 * (1 + run.settings["layers"]) * (run.settings.get("width", 24) / 24) ** 2


def network(kind: Kind, width: int, seed: int) -> MLP:
    """As many inputs and outputs as hidden units, a linear map at the end."""
    weight_std, bias_std = SCALES[kind.activation]
    widths = "-".join([str(width)] * (kind.layers + 2))
    text = f"mlp:{widths}:{kind.activation}?weight_std={weight_std!r}&bias_std={bias_std!r}"
    return parse(text).init(jax.random.key(seed))


def path(kind: Kind, width: int, seed: int) -> paths.Path:
    """A circle about the origin of radius sqrt(width), or a line between two normal points."""
    if kind.path == "circle":
        return _trajectories.circle(width, seed)
    return paths.line(*np.random.default_rng(seed).standard_normal((2, width)))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Draw the networks of a cell and enclose every rung of their ladders."""
    return [_measured(one, settings.width) for one in cell.runs]


def _measured(run: Run, width: int) -> Result:
    kind = Kind(*(run.settings[name] for name in Kind._fields))
    found = trajectory.bounds(network(kind, width, run.seed), path(kind, width, run.seed), seconds=SECONDS)
    return Result(run, {"length": found.length.high, "reached": float(found.reached), **_ladders.shares(found)})


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    wanted = depths(settings)
    statements: list[Statement] = []
    for name in SCALES:
        statements += _judged(results, name, wanted)
    for name in SCALES:
        statements += _informing(results, name, wanted[-1])
    return trials.judgement(
        ABOUT, results, [*statements, _sides(results)],
        "Products of norms are far too large, smallest stretches next to nothing; on the tangents both say something.",
        table=_table(results, settings),
    )  # fmt: skip


def _judged(results: Sequence[Result], name: str, wanted: Sequence[int]) -> list[Statement]:
    first, last = wanted[0], wanted[-1]
    called, deep = CALLED[name], Kind(name, last, "circle")._asdict()

    def stated(short: str, said: str, rung: tuple[str, str], low: float = 0.0, high: float = inf) -> Statement:
        found = _ladders.geometric(_ladders.logs(results, _ladders.label(*rung, "low" if low else "high"), **deep))
        sentence = f"{called}: {said}"
        return within(f"{short}-{name}", sentence, found, low=low, high=high, unit="of the length", headline=True)

    constants = _ladders.label(*CONSTANTS, "low")
    looser = (
        _ladders.logs(results, constants, **deep)
        - _ladders.logs(results, _ladders.label(*CONSTANTS, "high"), **Kind(name, first, "circle")._asdict())
    ) / (last - first)
    return [
        stated("constants", f"product of norms > {TOO_LARGE:g} times", CONSTANTS, low=TOO_LARGE),
        within(f"looser-{name}", f"{called}: looser by {LOOSER:g} a layer or more", _ladders.geometric(looser),
               low=LOOSER, unit="times a layer", headline=True),
        stated("infimum", f"infimum below {NEXT_TO_NOTHING:g}", ("lower", "infimum"), high=NEXT_TO_NOTHING),
        stated("product", f"smallest stretches below {PRODUCT:g}", ("lower", "layers apart"), high=PRODUCT),
        stated("tangents", f"infimum on T above {SHARE:g}", ("lower", "infimum on T"), low=SHARE),
        stated("over", f"supremum on T below {OVER:g}", ("upper", "supremum on T"), high=OVER),
    ]  # fmt: skip


def _informing(results: Sequence[Result], name: str, last: int) -> list[Statement]:
    """The line, the integrals, and what the tangents are worth over the length."""
    called = CALLED[name]
    found = []
    for short, said, rung, path_name, low, high in (
        ("line", f"on a line infimum on T above {SHARE:g}", ("lower", "infimum on T"), "line", SHARE, inf),
        ("integral-over", "integral on T below 2", ("upper", "integral on T"), "circle", 0.0, 2.0),
        ("integral-under", "integral on T above 0.2", ("lower", "integral on T"), "circle", 0.2, inf),
    ):
        place = Kind(name, last, path_name)._asdict()
        share = _ladders.geometric(_ladders.logs(results, _ladders.label(*rung, "low" if low else "high"), **place))
        sentence = f"{called}: {said}"
        found.append(within(f"{short}-{name}", sentence, share, low=low, high=high, unit="of the length"))
    return found


def _sides(results: Sequence[Result]) -> Statement:
    """How near a rung comes to the wrong side of the length: of upper ones the least, of lower ones 1 over the most."""
    nearest = [
        value if name.startswith("upper") else 1 / max(value, _ladders.NOTHING)
        for one in results
        for name, value in one.values.items()
        if (name.startswith("upper/") and name.endswith("/high"))
        or (name.startswith("lower/") and name.endswith("/low"))
    ]
    verdict = Verdict.supported if min(nearest) >= 1 else Verdict.refuted
    return Statement("sides", "Every bound is on its side of the length", verdict, min(nearest), None, "≥ 1",
                     Evidence.certified, len(nearest), unit="times")  # fmt: skip


def _table(results: Sequence[Result], settings: Settings) -> tuple[tuple[str, ...], ...]:
    head = ("network", "layers", "path", *(f"{'≤' if side == 'upper' else '≥'} {rung}" for side, rung in SHOWN))
    rows = []
    for kind in kinds(settings):
        shown = (_ladders.label(side, rung, "high" if side == "upper" else "low") for side, rung in SHOWN)
        numbers = (_ladders.text(results, value, **kind._asdict()) for value in shown)
        rows.append((CALLED[kind.activation], str(kind.layers), kind.path, *numbers))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Each rung over the length against depth, on the circle; bounds that are 0 are left out."""
    rows = []
    layers = sorted({one.run.settings["layers"] for one in results})
    for name in SCALES:
        for side, rung in SHOWN:
            value = _ladders.label(side, rung, "high" if side == "upper" else "low")
            for depth in layers:
                found = _ladders.logs(results, value, **Kind(name, depth, "circle")._asdict())
                if float(found.min()) > np.log10(_ladders.NOTHING):
                    share = _ladders.geometric(found)
                    place = {"net": f"{'≤' if side == 'upper' else '≥'} {rung}", "data": CALLED[name], "step": depth}
                    rows.append({**place, "mean": share.value, **bounds(share)})
    return {
        "Bounds over the length of a circle's image, by depth": plot.curves(
            rows, x_title="hidden layers", y_title="bound / length", percent=False, log_y=True, points=True, columns=3,
            title="How loose the bounds of a length are",
            subtitle="geometric means over seeds with 95 % intervals; every number in them is certified",
        ),
    }  # fmt: skip
