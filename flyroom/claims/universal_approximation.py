"""Claim: a two-layer network can represent any well-behaved function; learning it is another matter.

Source: the sentence as courses teach it; that it can be represented: Cybenko 1989, Hornik, Stinchcombe and White 1989,
for ReLU Leshno, Lin, Pinkus and Schocken 1993. None of these says how to find the weights.

Protocol: functions on [-1, 1], sin 3x and sin 12x; networks with 10, 20, 40, 80, 160 hidden ReLU units and one output.

- Constructed: the network that interpolates between equally spaced knots, one hidden unit a knot. Its error is at most
  M h^2 / 8, with M the largest |f''| and h = 2 / width (proof in `_hinges.py`).
- Trained: the same shape, first weights as PyTorch draws them; squared error on 256 equally spaced points without
  noise, all of them at every update; 6000 updates by Adam, whose rate falls linearly from its first value to zero.
  First rates 0.001, 0.003, 0.01, 0.03; 0.01 is the one that was fixed beforehand. "The best rate" is taken for each
  seed by the very error that is judged: that favours training, and needs the function to be known.

The error is the largest on [-1, 1], enclosed between two numbers (`_hinges.py`; that of a constructed network by Taylor
models of network minus function, which know nothing of the bound): of a trained network the lower one is judged, of the
constructed one the upper. The root of the mean square is sampled, and informs. A third function, |x - 1/3|, informs:
its constructed error falls like 1 / width, and two units could represent it exactly. The seed draws first weights. A
network whose weights are no longer finite counts as the function 0, again in favour of training.

Predicted before the first run; one measurement had been seen (sin 3x: constructed .0075 and .0003 at widths 20 and 100,
Adam .06-.10 and .016-.027). Constructed: errors fall like width to the power -2.0 (sin 3x) and -1.96 +- .04 (sin 12x,
.64 at width 10, .0028 at 160), -1.0 for the corner. Trained at 0.01, sin 3x: .05 (.02-.10) at width 20, .010 (.004-.03)
at 160, power -.8 +- .4; sin 12x: 1.0 +- .2 at width 10, .1 (.03-.4) at 160, power -.8 +- .4. So at width 160 training
is 60 (20-150) and 40 (10-150) times worse; with the best rate half as much. At width 10 it comes closest: 1.5 times.
For the corner the best rate is below the construction at width 10. Half of the hidden units bend outside [-1, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import log10
from typing import Any

import jax
import numpy as np
import optax

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims._hinges import (
    HIGH,
    LOW,
    Distance,
    Hinges,
    Target,
    bends,
    distance,
    enclosed,
    hinges,
    interpolating,
    outputs,
    proved,
)
from flyroom.claims.statements import within
from flyroom.losses import squared_error
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Evidence, Json, Judgement, Measurement, Result, Run, Statement, Verdict

ABOUT = About(
    id="universal-approximation",
    version=1,
    title="Representable is not learnable",
    sentence="A two-layer network can represent any well-behaved function to any accuracy; learning it is another "
    "matter.",
    source="The universal approximation theorem as courses quote it (Hornik, Stinchcombe and White 1989; for ReLU "
    "Leshno et al. 1993)",
    prediction="Constructed networks: largest error within the proved bound at every width, falling like width^-2.0 "
    "(sin 3x) and width^-1.96 (sin 12x). Trained at the rate fixed beforehand: .010 (.004-.03) on sin 3x and .1 "
    "(.03-.4) on sin 12x with 160 units, 60 and 40 times the constructed error, falling like width^(-.8 +- .4); with "
    "the best of four rates half as much. Above the constructed error at every width, by 1.5 times at width 10.",
    cost_s=25.0,
)

CORNER = 1 / 3
TARGETS: Mapping[str, Target] = {
    "sin3": Target("sin 3x", lambda x: np.sin(3 * x), 3.0, 9.0, form=("sin", 3.0, 0.0)),
    "sin12": Target("sin 12x", lambda x: np.sin(12 * x), 12.0, 144.0, form=("sin", 12.0, 0.0)),
    "corner": Target("|x - 1/3|", lambda x: np.abs(x - CORNER), 1.0, 0.0, CORNER, 2.0, ("abs", 1.0, -CORNER)),
}
JUDGED = ("sin3", "sin12")  # the third informs
RATES = (0.001, 0.003, 0.01, 0.03)  # Adam's, at first
RATE = 0.01  # fixed beforehand
POWER, NEAR = -2.0, 0.1  # of the constructed error, from the theorem
FLATTER = -1.5  # "falls more slowly": a power above this
TIMES = 10  # "another matter": an error of another order of magnitude
FINE = 1024  # parts of each piece of the constructed network, for the root of its mean square error
PARTS = 4096  # parts of [-1, 1], beside every bend, on which a trained network is measured
SHOWN = 401  # points of a drawn function
MOST = 640  # units; beyond, the enclosure of the constructed error is no longer below the bound that it meets


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each width, function and rate
    steps: int = 6000  # updates
    points: int = 256  # that networks are trained on
    widths: str = "10-20-40-80-160"  # hidden units


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds, two widths, few updates."""
    return {"runs": min(settings.runs, 2), "steps": min(settings.steps, 300), "widths": "10-40"}


def _widths(settings: Settings) -> tuple[int, ...]:
    try:
        widths = tuple(sorted({int(word) for word in settings.widths.split("-")}))
    except ValueError:
        widths = ()
    if len(widths) < 2 or widths[0] < 3 or widths[-1] > MOST:
        raise ValueError(f"widths {settings.widths!r}: give two or more numbers of units, 3 to {MOST}, such as 10-40")
    return widths


def cells(settings: Settings) -> list[Cell]:
    """The constructed networks, then the trained ones, those of one width together: they share a program.

    Raises ValueError for counts below 1, fewer than two points, and widths that are none.
    """
    trials.require_positive(settings, "runs", "steps")
    if settings.points < 2:
        raise ValueError(f"points {settings.points}: give two or more, -1 and 1 among them")
    widths, changed = _widths(settings), trials.differing(settings, "runs", "widths", "points")
    wanted = [Cell((_run("constructed", name, width, {}, 0),)) for name in TARGETS for width in widths]
    for width in widths:
        for name in TARGETS:
            for rate in RATES:
                place = {"rate": rate, **changed}
                made = (_run("trained", name, width, place, seed, settings.points) for seed in range(settings.runs))
                first = name == "sin3" and rate == RATES[0]
                wanted.append(Cell(tuple(made), ahead=first))
    return wanted


def _run(net: str, name: str, width: int, place: Mapping[str, Json], seed: int, points: int = 0) -> Run:
    recipe = {"name": "curve", "function": TARGETS[name].label, "low": LOW, "high": HIGH}
    coordinates = {"net": net, "target": name, "width": width, **place}
    return Run(ABOUT.id, ABOUT.version, coordinates, seed, {**recipe, "points": points} if points else recipe)


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    width = run.settings["width"]
    if run.settings["net"] == "constructed":
        return 1e-5 * width * width
    return run.settings.get("steps", Settings().steps) * (8e-6 + 1e-7 * width)


@cache
def falling(steps: int) -> train.Optimiser:
    """Adam whose rate falls linearly to zero over so many updates; the same number gives the same function."""

    def optimiser(learning_rate: Any) -> optax.GradientTransformation:
        return optax.chain(train.adam(1.0), optax.scale_by_schedule(lambda count: learning_rate * (1 - count / steps)))

    return optimiser


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Construct a network, or train those of a cell, and measure how far they are from the function."""
    first = cell.runs[0].settings
    target, width = TARGETS[first["target"]], first["width"]
    if first["net"] == "constructed":
        net = interpolating(target, width)
        at_least, at_most = enclosed(net, target)
        found = distance(net, target, FINE * width)._replace(at_least=at_least, at_most=at_most)
        values = {**_values(net, found), "proved": proved(target, width)}
        return [Result(one, values, _drawn(net)) for one in cell.runs]
    x = np.linspace(LOW, HIGH, settings.points)
    trained = train.train_many(
        [MLP.init(jax.random.key(one.seed), (1, width, 1)) for one in cell.runs],
        x[:, None].astype(np.float32),
        target.function(x)[:, None].astype(np.float32),
        train.contiguous(settings.points, settings.points, settings.steps),
        train.Protocol(squared_error, falling(settings.steps)),
        learning_rate=first["rate"],
    )
    return [_result(one, net, target) for one, net in zip(cell.runs, trained, strict=True)]


def _result(run: Run, trained: train.Trained, target: Target) -> Result:
    """What is measured of a trained network; one that is lost counts as the function 0, and says so."""
    net, broken = hinges(trained.net), train.diverged(trained)
    lost = not all(np.isfinite(part).all() for part in net)
    if lost:
        net = Hinges(np.zeros(1), np.zeros(1), np.zeros(1), 0.0)
    values = _values(net, distance(net, target, PARTS))
    if lost or broken is not None:
        values["diverged_at_step"] = float(len(trained.losses) if broken is None else broken)
    drawn = run.seed == 0 and run.settings["rate"] == RATE
    return Result(run, values, _drawn(net) if drawn else {})


def _values(net: Hinges, found: Distance) -> dict[str, float]:
    return {
        "sup_error": found.at_least,
        "sup_at_most": found.at_most,
        "rms_error": found.rms,
        "bends": float(len(bends(net))),
    }


def _drawn(net: Hinges) -> dict[str, list[float]]:
    x = np.linspace(LOW, HIGH, SHOWN)
    return {"x": x.tolist(), "output": outputs(net, x).tolist()}


def _constructed(results: Sequence[Result], name: str, value: str) -> np.ndarray:
    """One value of the constructed networks of a function, by width."""
    chosen = trials.where(results, net="constructed", target=name)
    if not chosen:
        raise ValueError(f"no constructed network for {name} is stored, so the claim cannot be judged; run it again")
    chosen.sort(key=lambda one: one.run.settings["width"])
    return np.array([one.values[value] for one in chosen])


def logs(results: Sequence[Result], name: str, widths: Sequence[int], rate: float | None, value: str) -> np.ndarray:
    """log10 of an error of the trained networks, one row a width, one column a seed; `rate` None: the best for each.

    An error of zero counts as 1e-12.
    """
    found = np.array(
        [
            [trials.by_seed(results, value, net="trained", target=name, width=width, rate=one) for one in RATES]
            for width in widths
        ]
    )
    kept = found.min(axis=1) if rate is None else found[:, RATES.index(rate)]
    return np.log10(np.maximum(kept, 1e-12))


def power(widths: Sequence[int], errors: np.ndarray) -> np.ndarray:
    """The slope of log10 errors (one row a width) against log10 width, by least squares: one number a column."""
    place = np.log10(widths) - np.mean(np.log10(widths))
    return place @ errors / (place @ place)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    widths = _widths(settings)
    statements = [_bound(results), *(_falls(results, name, widths) for name in TARGETS)]
    for name in JUDGED:
        statements += _learned(results, name, widths)
    statements += _informing(results, widths)
    return trials.judgement(
        ABOUT,
        results,
        statements,
        f"Constructed networks keep their bound; trained ones are worse, the widest {TIMES} times or more.",
        table=_table(results, widths),
        runs=sum(one.run.settings["net"] == "trained" for one in results),
    )


def _bound(results: Sequence[Result]) -> Statement:
    """The largest share of its bound that a constructed network's error takes up, enclosed."""
    shares = np.array(
        [
            [_constructed(results, name, end) / _constructed(results, name, "proved") for name in TARGETS]
            for end in ("sup_error", "sup_at_most")
        ]
    ).reshape(2, -1)
    low, high = shares.max(axis=1).tolist()
    verdict = Verdict.supported if high <= 1 else Verdict.refuted if low > 1 else Verdict.undecided
    return Statement(
        "bound", "Constructed: error within the proved bound", verdict, high, (low, high), "≤ 1", Evidence.certified,
        shares.shape[1], unit="of the bound", headline=True,
    )  # fmt: skip


def _falls(results: Sequence[Result], name: str, widths: Sequence[int]) -> Statement:
    """How the constructed error falls with width; from numbers that are enclosed to a millionth."""
    errors = np.log10(np.maximum(_constructed(results, name, "sup_at_most"), 1e-12))
    wanted = POWER if TARGETS[name].corner is None else POWER / 2
    slope = Measurement(float(power(widths, errors[:, None])[0]), None, Evidence.exact, 1)
    return within(
        f"constructed-{name}", f"Constructed, {TARGETS[name].label}: width^{wanted:g}", slope, low=wanted - NEAR,
        high=wanted + NEAR, unit="power", headline=name in JUDGED, published=f"{wanted:g}",
    )  # fmt: skip


def _learned(results: Sequence[Result], name: str, widths: Sequence[int]) -> list[Statement]:
    """Trained against constructed networks of one width, at the rate fixed beforehand and at the best one."""
    label, known = TARGETS[name].label, np.log10(_constructed(results, name, "sup_at_most"))[:, None]
    fixed, best = (logs(results, name, widths, rate, "sup_error") for rate in (RATE, None))
    most = widths[-1]
    judged = (
        ("above", "trained worse at every width", (fixed - known).min(axis=0), 0.0, "log10"),
        ("times", f"{most} units, {TIMES} times worse", (fixed - known)[-1], log10(TIMES), "log10"),
        ("best", f"{most} units, best rate still worse", (best - known)[-1], 0.0, "log10"),
        ("power", f"trained falls slower than w^{FLATTER:g}", power(widths, fixed), FLATTER, "power"),
    )
    return [
        within(f"{short}-{name}", f"{label}: {said}", stats.mean_interval(values), low=low, unit=unit, headline=True)
        for short, said, values, low, unit in judged
    ]


def _informing(results: Sequence[Result], widths: Sequence[int]) -> list[Statement]:
    found = []
    for name in TARGETS:
        label = TARGETS[name].label
        known, typical = (np.log10(np.maximum(_constructed(results, name, value), 1e-12))[:, None]
                          for value in ("sup_at_most", "rms_error"))  # fmt: skip
        best = logs(results, name, widths, None, "sup_error") - known
        sentence = f"{label}: best rate worse at every width"
        found.append(within(f"best-everywhere-{name}", sentence, stats.mean_interval(best.min(axis=0)), low=0.0,
                            unit="log10"))  # fmt: skip
        times = stats.mean_interval((logs(results, name, widths, RATE, "rms_error") - typical)[-1])
        sentence = f"{label}: {widths[-1]} units, {TIMES} times worse (rms)"
        found.append(within(f"rms-{name}", sentence, times, low=log10(TIMES), unit="log10"))
    return found


def _table(results: Sequence[Result], widths: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    rows = []
    for name, target in TARGETS.items():
        columns = [_constructed(results, name, value) for value in ("proved", "sup_at_most")]
        for i, width in enumerate(widths):
            chosen = trials.where(results, net="trained", target=name, width=width, rate=RATE)
            lost = sum("diverged_at_step" in one.values for one in chosen)
            inside = np.mean([one.values["bends"] for one in chosen])
            trained = _text(logs(results, name, widths, RATE, "sup_error")[i]) + (f", {lost} diverged" if lost else "")
            best = _text(logs(results, name, widths, None, "sup_error")[i])
            rows.append((target.label, str(width), *(f"{column[i]:.3g}" for column in columns), trained, best,
                         f"{inside:.0f}"))  # fmt: skip
    head = ("function", "units", "proved", "constructed", f"trained, rate {RATE}", "best of 4 rates", "bends inside")
    return (head, *rows)


def _text(values: np.ndarray) -> str:
    found = stats.mean_interval(values)
    text = f"{10**found.value:.3g}"
    return text if found.interval is None else f"{text} [{10 ** found.interval[0]:.2g}, {10 ** found.interval[1]:.2g}]"


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Error against width, and what the networks of one width look like."""
    widths = sorted({one.run.settings["width"] for one in results})
    rows = []
    for name, target in TARGETS.items():
        for value, label in (("proved", "proved bound"), ("sup_at_most", "constructed")):
            for width, error in zip(widths, _constructed(results, name, value), strict=True):
                rows.append({"net": label, "data": target.label, "step": width, "mean": max(error, 1e-12)})
        for rate, label in ((RATE, f"trained, {RATE}"), (None, "best rate")):
            for width, errors in zip(widths, logs(results, name, widths, rate, "sup_error"), strict=True):
                found = stats.mean_interval(errors)
                between = {} if found.interval is None else dict(zip(("low", "high"), found.interval, strict=True))
                place = {"net": label, "data": target.label, "step": width, "mean": 10**found.value}
                rows.append({**place, **{end: 10**exponent for end, exponent in between.items()}})
    return {
        "The largest error on [-1, 1] against the number of hidden units": plot.curves(
            rows, x_title="hidden units", y_title="largest error", percent=False, log_x=True, log_y=True, points=True,
            title="Representable is not learnable",
            subtitle=f"{judgement.runs} trained networks; geometric means over seeds with 95 % intervals",
        ),
        "A constructed network and a trained one of equal width": _shapes(results, widths),
    }  # fmt: skip


def _shapes(results: Sequence[Result], widths: Sequence[int]) -> Json:
    width = widths[len(widths) // 2]
    rows = []
    for name, target in TARGETS.items():
        made = trials.where(results, net="constructed", target=name, width=width)[0]
        trained = trials.where(results, net="trained", target=name, width=width, rate=RATE)[0]
        x = made.curves["x"]
        drawn = {"function": target.function(np.array(x)).tolist(), "constructed": made.curves["output"],
                 "trained": trained.curves["output"]}  # fmt: skip
        rows += [
            {"net": label, "data": target.label, "step": at, "mean": value}
            for label, values in drawn.items()
            for at, value in zip(x, values, strict=True)
        ]
    return plot.curves(
        rows, x_title="x", y_title="f(x)", percent=False, title=f"{width} hidden units",
        subtitle=f"the trained one is the first seed at rate {RATE}",
    )  # fmt: skip
