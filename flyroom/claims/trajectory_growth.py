"""Claim: random networks lengthen a path exponentially with depth, by the bases in print; with variance 2 / fan-in not.

Source: Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, ICML 2017, arXiv 1606.05336, figure 1 and theorem 3; Hanin,
Jeong and Rolnick, ICLR 2022, arXiv 2102.10492, for ReLU networks with weights of variance 2 / fan-in.

Protocol: networks of 6 hidden layers of equal width k, as many inputs, weights of variance s^2 / k, biases of variance
b^2 (0 unless said). A circle about the origin of radius sqrt(k). Its length after each activation, certified to 1 in
1000 (`measure.trajectory`). The seed draws the weights and the circle's plane. Ten seeds of

- hard tanh: k = 32, s = 1.5, 2, 4, and 4 with b = 1; k = 16 and 64 with s = 2;
- tanh: k = 64, s = 0.8, 1.5, 2.5;
- ReLU: k = 16, 32, 64, s = sqrt 2 and 2.

Growth a layer is (mean length after layer 6 / mean length after layer 2)^(1/4), of means over seeds, because what is
known and printed is about expected lengths; for ReLU from the input on, (mean after layer 6 / length)^(1/6). Judged:
it is above 1.1 ("exponential": at least 10 % a layer); it is within 5 % of the formula; it reaches the printed base,
taken as it is printed, without the constant of its O; ReLU with s = sqrt 2 stays at or below 1.02. Means of several
networks are estimates, though every length is certified.

Predicted from theory before the first run (only the time of single lengths had been measured), within 3 %: hard tanh,
formula for finite width at the fixed point of the variance: 1.170, 1.315, 1.747 (s = 1.5, 2, 4), 1.711 (b = 1), 1.285
and 1.330 (k = 16, 64); so the printed 1.197, 1.372, 1.886, 1.854, 1.333, 1.393 are not reached: refuted for s = 4,
perhaps undecided for 1.5. tanh, mean field from layer 2 to 6: 0.80, 1.08, 1.27, and 1 to 2 % less for finite width.
ReLU, exact: 0.960, 0.980, 0.990 (k = 16, 32, 64; s = sqrt 2), 1.358, 1.386, 1.400 (s = 2); printed 1.40 and 1.98 with k
= 64: refuted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from flyroom import plot, stats
from flyroom.claims import _trajectories, trials
from flyroom.claims.statements import bounds, difference, within
from flyroom.measure import random_networks
from flyroom.records import About, Cell, Evidence, Json, Judgement, Measurement, Result, Run, Statement, Verdict

ABOUT = About(
    id="trajectory-growth",
    version=1,
    title="How random networks lengthen a path",
    sentence="In random networks with large weights the length of a path grows exponentially with depth, at least by "
    "the base in print for each layer; in ReLU networks with weights of variance 2 / fan-in it does not grow.",
    source="Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, On the expressive power of deep neural networks, ICML "
    "2017, figure 1 and theorem 3; Hanin, Jeong and Rolnick, ICLR 2022",
    prediction="Growth a layer, within 3 %: hard tanh, width 32, 1.170, 1.315, 1.747 for weights of 1.5, 2, 4 / sqrt "
    "fan-in, so below the printed 1.197, 1.372, 1.886; tanh 0.80, 1.08, 1.27 for 0.8, 1.5, 2.5; ReLU of width 64 0.990 "
    "for sqrt 2 and 1.400 for 2, where 1.40 and 1.98 are printed.",
    cost_s=35.0,
)


class Kind(NamedTuple):
    """Networks of one kind."""

    activation: str
    width: int
    weight_std: float
    bias_std: float


ROOT2 = sqrt(2)
HARD = tuple(Kind("hard_tanh", *one) for one in ((32, 1.5, 0.0), (32, 2.0, 0.0), (32, 4.0, 0.0), (32, 4.0, 1.0)))
NARROW, WIDE = Kind("hard_tanh", 16, 2.0, 0.0), Kind("hard_tanh", 64, 2.0, 0.0)
TANH = tuple(Kind("tanh", 64, std, 0.0) for std in (0.8, 1.5, 2.5))
RELU = tuple(Kind("relu", width, std, 0.0) for std in (ROOT2, 2.0) for width in (16, 32, 64))
KINDS = (*HARD, NARROW, WIDE, *TANH, *RELU)
CALLED = {"hard_tanh": "hard tanh", "tanh": "tanh", "relu": "ReLU"}
LARGE = (HARD[1], HARD[2], TANH[2], RELU[5])  # networks that are to lengthen exponentially
PRINTED = (*HARD[:3], RELU[2], RELU[5])  # whose printed base is put to the test
FIRST = 2  # layer from which growth counts, but for ReLU: the first finds another variance than the others
FASTER, NEAR, FLAT = 1.1, 0.05, 1.02
REL_TOL = 1e-3


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    depth: int = 6  # hidden layers


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, four layers."""
    return {"runs": min(settings.runs, 2), "depth": min(settings.depth, 4)}


def cells(settings: Settings) -> list[Cell]:
    """The networks of each kind. Raises ValueError for no runs, and fewer than three layers or more than 12."""
    trials.require_positive(settings, "runs")
    if not FIRST < settings.depth <= 12:
        raise ValueError(f"depth {settings.depth}: growth counts from layer {FIRST} on, so give 3 to 12 hidden layers")
    changed = trials.differing(settings, "runs")
    return [
        Cell(tuple(Run(ABOUT.id, ABOUT.version, {**kind._asdict(), **changed}, seed, _path(kind, seed))
                   for seed in range(settings.runs)))
        for kind in KINDS
    ]  # fmt: skip


def _path(kind: Kind, seed: int) -> dict[str, Json]:
    return {"name": "circle", "units": kind.width, "radius": "sqrt(units)", "seed": seed}


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    each = {"hard_tanh": 0.25, "tanh": 0.13, "relu": 0.1}[run.settings["activation"]]
    return each * (run.settings["width"] / 32) ** 1.5 * 1.6 ** (run.settings.get("depth", Settings().depth) - 6)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Draw the networks of a cell and measure the lengths."""
    return [_measured(one, settings.depth) for one in cell.runs]


def _measured(run: Run, depth: int) -> Result:
    kind = _kind(run)
    net = _trajectories.network(kind.activation, kind.width, depth, kind.weight_std, kind.bias_std, run.seed)
    path = _trajectories.circle(kind.width, run.seed)
    found = _trajectories.lengths(net, path, kind.width, REL_TOL)
    low, high = ([float(one[end]) for one in found] for end in (0, 1))
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    gaps = [(b - a) / b for a, b in zip(low, high, strict=True)]
    curves = {"layer": [float(i + 1) for i in range(depth)], "length": middle, "low": low, "high": high}
    return Result(run, {"length": middle[-1], "gap": max(gaps)}, curves)


def _kind(run: Run) -> Kind:
    return Kind(*(run.settings[name] for name in Kind._fields))


def start(kind: Kind) -> float:
    """The length of the circle."""
    return 2 * np.pi * sqrt(kind.width)


def after(results: Sequence[Result], kind: Kind, layer: int) -> list[float]:
    """Lengths after a layer, by seed; those of the circle itself for layer 0."""
    found = trials.where(results, **kind._asdict())
    if not found:
        raise ValueError(f"no run of {kind} is stored, so the claim cannot be judged; run it again")
    return [start(kind) if layer == 0 else one.curves["length"][layer - 1] for one in found]


def begins(kind: Kind) -> int:
    """The layer from which growth counts: the formula for ReLU is exact from the input on."""
    return 0 if kind.activation == "relu" else FIRST


def grown(results: Sequence[Result], kind: Kind, depth: int) -> Measurement:
    """Growth a layer."""
    first = begins(kind)
    return _trajectories.growth(after(results, kind, first), after(results, kind, depth), depth - first)


@cache
def predicted(kind: Kind, depth: int) -> float:
    """Growth a layer by theory: exact for ReLU, at the fixed point for hard tanh, for infinite width for tanh."""
    name, width, weight_std, bias_std = kind
    if name == "relu":
        widths = [width] * (depth + 1)
        return random_networks.expected_relu_length(widths, weight_std, linear_head=False) ** (1 / depth)
    if name == "hard_tanh":
        fixed = random_networks.mean_field(name, weight_std, bias_std).variance
        return random_networks.expected_hard_tanh_growth(width, width, weight_std, fixed)
    # Speeds after the activation of layer d are those of the pre-activations of layer d + 1, over weight_std.
    found = random_networks.propagate(name, weight_std, bias_std, depth + 1, variance=weight_std**2)
    return float(found.metric[depth] / found.metric[FIRST]) ** (0.5 / (depth - FIRST))


def printed(kind: Kind) -> float:
    """The base of Raghu et al."""
    if kind.activation == "relu":
        return random_networks.raghu_relu_base(kind.width, kind.weight_std)
    return random_networks.raghu_hard_tanh_base(kind.width, kind.weight_std, kind.bias_std)


def name_of(kind: Kind) -> str:
    """A short name: hard tanh 4, width 32."""
    std = "√2" if kind.weight_std == ROOT2 else f"{kind.weight_std:g}"
    return f"{CALLED[kind.activation]} {std}" + (f" b {kind.bias_std:g}" if kind.bias_std else "")


def _id(kind: Kind) -> str:
    std = "root2" if kind.weight_std == ROOT2 else f"{kind.weight_std:g}"
    bias = f"-b{kind.bias_std:g}" if kind.bias_std else ""
    return f"{kind.activation.replace('_', '-')}-{std}{bias}-{kind.width}"


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    depth = settings.depth
    statements = [
        within(f"exponential-{_id(kind)}", f"{name_of(kind)}: grows by > 10 % a layer", grown(results, kind, depth),
               low=FASTER, unit="a layer", headline=True)
        for kind in LARGE
    ]  # fmt: skip
    for kind in PRINTED:
        base = printed(kind)
        statements.append(
            within(f"printed-{_id(kind)}", f"{name_of(kind)}: reaches the printed base", grown(results, kind, depth),
                   low=base, unit="a layer", headline=True, published=f"{base:.3f}")
        )  # fmt: skip
    for kind in RELU[:3]:
        found = grown(results, kind, depth)
        sentence = f"{name_of(kind)}, width {kind.width}: does not grow"
        statements.append(within(f"flat-{_id(kind)}", sentence, found, high=FLAT, unit="a layer", headline=True))
    statements += [_near(results, kind, depth) for kind in KINDS]
    statements += [*_widths(results, depth), _enclosed(results)]
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Paths grow exponentially, at least by the printed bases, and not in ReLU networks of variance 2 / fan-in.",
        table=_table(results, depth),
    )


def _near(results: Sequence[Result], kind: Kind, depth: int) -> Statement:
    """Growth over what theory says."""
    found, theory = grown(results, kind, depth), predicted(kind, depth)
    interval = None if found.interval is None else (found.interval[0] / theory, found.interval[1] / theory)
    return within(
        f"formula-{_id(kind)}", f"{name_of(kind)}, {kind.width}: formula within 5 %",
        replace(found, value=found.value / theory, interval=interval), low=1 - NEAR, high=1 + NEAR, unit="of theory",
    )  # fmt: skip


def _widths(results: Sequence[Result], depth: int) -> list[Statement]:
    """Whether wide networks lengthen more: growth by seed in logarithms, so that seeds count alike."""
    sides = [(NARROW, WIDE), (RELU[0], RELU[2]), (RELU[3], RELU[5])]
    pairs = [(_rates(results, narrow, depth), _rates(results, wide, depth)) for narrow, wide in sides]
    return [
        difference(f"width-{_id(wide)}", f"{name_of(wide)}: width 64 grows more than 16", order, unit="ln a layer")
        for (_, wide), order in zip(sides, stats.judge_orders(pairs), strict=True)
    ]


def _rates(results: Sequence[Result], kind: Kind, depth: int) -> list[float]:
    """Growth a layer in logarithms, by seed."""
    first = begins(kind)
    return (np.log(np.divide(after(results, kind, depth), after(results, kind, first))) / (depth - first)).tolist()


def _enclosed(results: Sequence[Result]) -> Statement:
    """How far apart the ends of an enclosed length are, at most."""
    gaps = [one.values["gap"] for one in results]
    verdict = Verdict.supported if max(gaps) <= REL_TOL else Verdict.refuted
    return Statement(
        "enclosed", "Every length is certified to 1 in 1000", verdict, max(gaps), None, None, Evidence.certified,
        len(gaps), unit="of the length",
    )  # fmt: skip


def _table(results: Sequence[Result], depth: int) -> tuple[tuple[str, ...], ...]:
    rows = []
    for kind in KINDS:
        found = grown(results, kind, depth)
        text = f"{found.value:.3f}"
        if found.interval is not None:
            text += f" [{found.interval[0]:.3f}, {found.interval[1]:.3f}]"
        base = "" if kind.activation == "tanh" else f"{printed(kind):.3f}"
        times = np.mean(after(results, kind, depth)) / start(kind)
        rows.append((name_of(kind), str(kind.width), text, f"{predicted(kind, depth):.3f}", base, f"{times:.3g}"))
    return (("network", "width", "growth a layer", "formula", "printed", "length, times"), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Mean length against depth, over that of the circle, with what is printed and what the formulas say."""
    depth = len(results[0].curves["layer"])
    rows = []
    shown = [(kind, CALLED[kind.activation]) for kind in (*HARD[:3], *TANH, RELU[2], RELU[5])]
    for kind, panel in shown:
        place = {"net": name_of(kind), "data": panel}
        for layer in range(depth + 1):
            found = stats.mean_interval(np.divide(after(results, kind, layer), start(kind)))
            rows.append({**place, "step": layer, "mean": found.value, **bounds(found)})
    compared = []
    for kind, panel in shown[:3]:
        begin = float(np.mean(after(results, kind, FIRST))) / start(kind)
        for label, base in (("measured", None), ("formula", predicted(kind, depth)), ("printed", printed(kind))):
            for layer in range(FIRST, depth + 1):
                mean = float(np.mean(after(results, kind, layer))) / start(kind)
                place = {"net": label, "data": f"{panel} {kind.weight_std:g}", "step": layer}
                compared.append({**place, "mean": mean if base is None else begin * base ** (layer - FIRST)})
    said = f"{judgement.runs} networks; every length certified, means over seeds with 95 % intervals"
    return {
        "Length of a circle's image after each layer, over that of the circle": plot.curves(
            rows, x_title="hidden layer", y_title="length, times", percent=False, log_y=True, points=True, columns=3,
            title="How random networks lengthen a path", subtitle=said,
        ),
        "Hard tanh, width 32: measured, by the formula, and by the base in print": plot.curves(
            compared, x_title="hidden layer", y_title="length, times", percent=False, log_y=True, points=True,
            columns=3, title="The base in print is too large", subtitle="both lines begin at layer 2",
        ),
    }  # fmt: skip
