"""Claim: sigmoid units train more slowly than ReLU units.

Source: the sentence as courses teach it; Glorot, Bordes and Bengio, "Deep sparse rectifier neural networks", AISTATS
2011, and for what goes wrong with sigmoid Glorot and Bengio, AISTATS 2010.

Protocol: the published data set; MLPs with 2, 4 and 6 layers of weights (64 hidden units each), with sigmoid, tanh or
ReLU; cross-entropy, batches of 100 shuffled anew each epoch, at most 2000 updates (50 epochs); Adam, and gradient
descent with momentum 0.9. A network has arrived when the mean training loss of its last 40 batches, an epoch, is below
1.0 nats: far below what a linear classifier can reach, and not by heart. Rates: Adam 0.003, 0.01, 0.03, 0.1; descent
0.03, 0.1, 0.3, 1, 3, 10. Each kind of network has the best rate of its own, chosen on four further seeds by the
geometric mean of updates; beside it 0.01 (Adam) and 0.1 (descent) for all, fixed beforehand. First weights as PyTorch
draws them, and "fitting" ones, biases at zero: He's for ReLU, Glorot's for tanh, four times Glorot's for sigmoid, whose
slope at 0 is a quarter.

Networks that do not arrive are censored: counted with 2000 updates, less than they need. What is judged is who is first
in pairs of one seed (first weights before their scale, and batches, are the same); two that never arrive are a tie.

Predicted before the first run, nothing of the kind having been seen. Updates at the best rate, PyTorch's first weights,
with 2, 4, 6 layers: Adam ReLU 450, 300, 350, tanh 500, 350, 400, sigmoid 800, 900, 1500 (up to a half never); descent
ReLU 450, 350, 400, tanh 450, 400, 500, sigmoid 1500, never, never (each +- 40 %). So ReLU is first everywhere, by 1.8
times with 2 layers and Adam, and the more the deeper. tanh, which is the same curve scaled to be centred with slope 1,
is close to ReLU and far ahead of sigmoid: it is not saturation that is slow. With fitting first weights sigmoid gains
most (4 layers within 1.5 times of tanh) and stays behind ReLU.

Version 2, after one run of the first: rates of 0.1 for Adam, 3 and 10 for descent were added (and 0.001, which nobody
chose, left out), because the best rate of sigmoid had been the largest of the grid. The prediction is as it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp, sqrt
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flyroom import plot, stats, train
from flyroom.claims import _speed, trials
from flyroom.claims._book import he_uniform
from flyroom.claims.statements import bounds, difference, within
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.nets.activations import activation
from flyroom.nets.mlp import MLP
from flyroom.records import About, Cell, Dataset, Json, Judgement, Measurement, Result, Run, Statement, Verdict

ABOUT = About(
    id="sigmoid-against-relu",
    version=2,
    title="Sigmoid against ReLU",
    sentence="Sigmoid units train more slowly than ReLU units.",
    source="A sentence of courses; Glorot, Bordes and Bengio, Deep sparse rectifier neural networks, AISTATS 2011",
    prediction="Updates to a training loss of 1.0 at the best rate with 2, 4, 6 layers, +- 40 %: Adam ReLU 450, 300, "
    "350, tanh 500, 350, 400, sigmoid 800, 900, 1500; descent ReLU 450, 350, 400, tanh 450, 400, 500, sigmoid 1500, "
    "never, never. ReLU first everywhere, the more the deeper; tanh close to it and far ahead of sigmoid.",
    cost_s=165.0,
)

ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid"}
OPTIMISERS: Mapping[str, train.Optimiser] = {"adam": train.adam, "momentum": trials.momentum}
CALLED = {"adam": "Adam", "momentum": "descent"}
RATES = {"adam": (0.003, 0.01, 0.03, 0.1), "momentum": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)}
RATE = {"adam": 0.01, "momentum": 0.1}  # for all, fixed beforehand
STARTS = {"pytorch": "PyTorch's", "fitting": "fitting"}  # first weights
LEVEL, WINDOW, BATCH = 1.0, 40, 100  # nats; batches that the mean is taken over, an epoch
STAGE = 500  # updates of one call: a network that has arrived is not trained to the end
TIMES = 2  # "more slowly" by a factor that matters, of geometric means


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind and rate that judge
    choosing: int = 4  # and that choose the rate
    steps: int = 2000  # updates, at most
    width: int = 64  # units of each hidden layer
    depths: str = "2-4-6"  # layers of weights


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds that judge and two that choose, two depths, few updates."""
    few = {"runs": min(settings.runs, 2), "choosing": min(settings.choosing, 2)}
    return {**few, "steps": min(settings.steps, 100), "width": min(settings.width, 16), "depths": "2-4"}


def _depths(settings: Settings) -> tuple[int, ...]:
    try:
        depths = tuple(sorted({int(word) for word in settings.depths.split("-")}))
    except ValueError:
        depths = ()
    if len(depths) < 2 or depths[0] < 2 or depths[-1] > 30:
        raise ValueError(f"depths {settings.depths!r}: give two or more numbers of layers, 2 to 30, such as 2-4-6")
    return depths


@cache
def _data() -> Dataset:
    return mnist1d.make()


def cells(settings: Settings) -> list[Cell]:
    """Every kind of network with each optimiser, at each rate and from both kinds of first weights.

    Raises ValueError for counts below 1, fewer updates than the mean is taken over, and depths that are none.
    """
    trials.require_positive(settings, "runs", "choosing", "width")
    if settings.steps < WINDOW:
        raise ValueError(f"steps {settings.steps}: the loss is a mean over {WINDOW} batches, so give as many or more")
    changed = trials.differing(settings, "runs", "choosing", "depths")
    wanted = []
    for depth in _depths(settings):
        for name in ACTIVATIONS:
            for optimiser, rates in RATES.items():
                first = True  # the others of this kind share its program
                for start in STARTS:
                    for rate in rates:
                        place = {"activation": name, "depth": depth, "optimiser": optimiser, "start": start}
                        made = (
                            Run(ABOUT.id, ABOUT.version, {**place, "rate": rate, **changed}, seed, _data().recipe)
                            for seed in _speed.seeds(settings.runs, settings.choosing)
                        )
                        wanted.append(Cell(tuple(made), ahead=first))
                        first = False
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly: half of the updates, for most arrive before the last."""
    return 0.5 * run.settings.get("steps", Settings().steps) * 1.5e-5 * (1 + run.settings["depth"])


def network(name: str, depth: int, start: str, width: int, seed: int) -> MLP:
    """An MLP with that many layers of weights; its first weights differ from start to start by their scale only."""
    widths = (40, *(width for _ in range(depth - 1)), 10)
    net = MLP.init(jax.random.key(seed), widths, activation(name))
    return net if start == "pytorch" else fitting(net, name)


def fitting(net: MLP, name: str) -> MLP:
    """First weights that suit the activation, from PyTorch's, uniform on (-1 / sqrt(f), 1 / sqrt(f)) with f the fan-in.

    He's for ReLU (2015). For the others Glorot's (2010), uniform up to sqrt(6 / (f + fan-out)), which keeps the
    variance of what goes forth and back where the activation's slope at 0 is 1; for sigmoid, whose slope is 1/4, four
    times as large. Biases at zero.
    """
    if name == "relu":
        return he_uniform(net)
    gain = 4 if name == "sigmoid" else 1

    def stretched(leaf):
        if leaf.ndim < 2:
            return jnp.zeros_like(leaf)
        outputs, inputs = leaf.shape
        return leaf * (gain * sqrt(6 * inputs / (inputs + outputs)))

    return jax.tree.map(stretched, net)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell until all have arrived, or broken down, or the updates are used up.

    The optimiser's memory is handed in from the beginning, so that every stage is one program.
    """
    first, budget = cell.runs[0].settings, settings.steps
    optimiser = OPTIMISERS[first["optimiser"]]
    kind = (first["activation"], first["depth"], first["start"], settings.width)
    nets: list[Any] = [network(*kind, one.seed) for one in cell.runs]
    memories = [optimiser(1.0).init(eqx.filter(net, eqx.is_inexact_array)) for net in nets]
    orders = [train.shuffled(len(_data().x_train), BATCH, budget, one.seed) for one in cell.runs]
    x, y = train.examples(_data())
    losses = [np.zeros(0, np.float32) for _ in nets]
    for begin in range(0, budget, STAGE):
        trained = train.train_many(
            nets,
            x,
            y,
            [order[begin : begin + STAGE] for order in orders],
            train.Protocol(cross_entropy, optimiser),
            learning_rate=first["rate"],
            memories=memories,
        )
        nets, memories = [one.net for one in trained], [one.memory for one in trained]
        losses = [np.concatenate([before, one.losses]) for before, one in zip(losses, trained, strict=True)]
        if all(_speed.arrival(loss, LEVEL, WINDOW) or not np.isfinite(loss).all() for loss in losses):
            break
    return [_speed.result(one, loss, LEVEL, WINDOW, budget) for one, loss in zip(cell.runs, losses, strict=True)]


Kinds = Mapping[tuple[str, int, str, str], list[Result]]  # activation, layers, optimiser, first weights


def kinds(results: Sequence[Result]) -> Kinds:
    """The results of each kind of network."""
    found: dict[tuple[str, int, str, str], list[Result]] = {}
    for one in results:
        given = one.run.settings
        kind = (given["activation"], given["depth"], given["optimiser"], given["start"])
        found.setdefault(kind, []).append(one)
    return found


def chosen_rate(found: Kinds, name: str, depth: int, optimiser: str, start: str = "pytorch") -> float:
    """The best rate of one kind of network, by the seeds that choose."""
    place = {"activation": name, "depth": depth, "optimiser": optimiser, "start": start}
    return _speed.best_rate(found.get((name, depth, optimiser, start), []), RATES[optimiser], **place)


def _of(
    found: Kinds,
    name: str,
    depth: int,
    optimiser: str,
    *,
    start: str = "pytorch",
    rate: float | None = None,
    value: str = "steps",
) -> list[float]:
    """One value by seed, of the runs that judge, at the rate that is given or the best one."""
    place = {"activation": name, "depth": depth, "optimiser": optimiser, "start": start}
    rate = chosen_rate(found, name, depth, optimiser, start) if rate is None else rate
    return _speed.judging(found.get((name, depth, optimiser, start), []), value, rate=rate, **place)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    depths = _depths(settings)
    found = kinds(results)
    statements = (*_slower(found, depths), *_everywhere(found, depths), *_factors(found, depths))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "Each at its own best rate, ReLU is there before sigmoid, at every depth and by either optimiser.",
        table=_table(found, depths),
    )


def _slower(found: Kinds, depths: Sequence[int]) -> list[Statement]:
    """The headlines: ReLU before sigmoid, each at its own best rate; one family."""
    places = [(optimiser, depth) for optimiser in OPTIMISERS for depth in depths]
    signs = [
        _speed.sooner(_of(found, "relu", depth, optimiser), _of(found, "sigmoid", depth, optimiser))
        for optimiser, depth in places
    ]
    return [
        difference(
            f"sooner-{optimiser}-{depth}", f"{CALLED[optimiser]}, {depth} layers: ReLU before sigmoid", order,
            unit="share", headline=True,
        )
        for (optimiser, depth), order in zip(places, _speed.judge_sooner(signs), strict=True)
    ]  # fmt: skip


def _everywhere(found: Kinds, depths: Sequence[int]) -> list[Statement]:
    """The same in other conditions and of tanh: by seed the least of the signs over all depths."""
    comparisons = (
        ("fixed", "one rate: ReLU before sigmoid", "relu", "sigmoid", {"fixed": True}),
        ("fitting", "fitting start: ReLU before sigmoid", "relu", "sigmoid", {"start": "fitting"}),
        ("tanh-sigmoid", "tanh before sigmoid", "tanh", "sigmoid", {}),
        ("relu-tanh", "ReLU before tanh", "relu", "tanh", {}),
    )
    statements = []
    for short, said, *pair, how in comparisons:
        families = []
        for optimiser in OPTIMISERS:
            given = {"start": how.get("start", "pytorch"), "rate": RATE[optimiser] if how.get("fixed") else None}
            signs = [_speed.sooner(*(_of(found, name, depth, optimiser, **given) for name in pair)) for depth in depths]
            families.append(np.min(signs, axis=0).tolist())
        for optimiser, order in zip(OPTIMISERS, _speed.judge_sooner(families), strict=True):
            statements.append(difference(f"{short}-{optimiser}", f"{CALLED[optimiser]}, {said}", order, unit="share"))
    return statements


def _factors(found: Kinds, depths: Sequence[int]) -> list[Statement]:
    """By how much, and whether the more the deeper; where a network is censored, only what that allows to be said."""
    statements = []
    for optimiser in OPTIMISERS:
        logs, late, early = {}, {}, {}
        for depth in depths:
            slow, fast = (_of(found, name, depth, optimiser) for name in ("sigmoid", "relu"))
            logs[depth] = np.log(np.divide(slow, fast))
            late[depth], early[depth] = (
                0.0 in _of(found, name, depth, optimiser, value="reached") for name in ("sigmoid", "relu")
            )
            sentence = f"{CALLED[optimiser]}, {depth} layers: sigmoid {TIMES} times slower"
            times = within(f"times-{optimiser}-{depth}", sentence, _times(logs[depth]), low=float(TIMES), unit="times")
            statements.append(_allowed(times, at_least=late[depth], at_most=early[depth]))
        first, last = depths[0], depths[-1]
        order = stats.judge_order(logs[first], logs[last])
        grows = difference(f"grows-{optimiser}", f"{CALLED[optimiser]}: the deeper, the more so", order, unit="ln")
        statements.append(_allowed(grows, at_least=late[last] or early[first], at_most=early[last] or late[first]))
    return statements


def _times(logs: np.ndarray) -> Measurement:
    """A geometric mean of ratios, with its interval."""
    found = stats.mean_interval(logs)
    interval = None if found.interval is None else (exp(found.interval[0]), exp(found.interval[1]))
    return replace(found, value=exp(found.value), interval=interval)


def _allowed(statement: Statement, *, at_least: bool, at_most: bool) -> Statement:
    """Undecided where the value is only a bound, and on the other side the verdict would be another one.

    `at_least`: the true value may be larger, so that nothing that asks for a large one is refuted; `at_most` likewise.
    """
    hollow = {Verdict.refuted} if at_least else set()
    hollow |= {Verdict.supported} if at_most else set()
    return replace(statement, verdict=Verdict.undecided) if statement.verdict in hollow else statement


def _table(found: Kinds, depths: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """Updates (geometric mean) and the rate that was chosen."""
    rows = []
    for optimiser in OPTIMISERS:
        for start, called in STARTS.items():
            for depth in depths:
                entries = []
                for name in ACTIVATIONS:
                    steps, reached = (
                        _of(found, name, depth, optimiser, start=start, value=value) for value in ("steps", "reached")
                    )
                    rate = chosen_rate(found, name, depth, optimiser, start)
                    entries.append(f"{_speed.shown(steps, reached)} at {rate:g}")
                rows.append((CALLED[optimiser], called, str(depth), *entries))
    return (("optimiser", "first weights", "layers", *ACTIVATIONS.values()), *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Who has arrived when, and how much the rate matters."""
    found, depths = kinds(results), sorted({one.run.settings["depth"] for one in results})
    budget = int(results[0].run.settings.get("steps", Settings().steps))
    shares, rates = [], []
    for optimiser in OPTIMISERS:
        for depth in depths:
            for name, label in ACTIVATIONS.items():
                place = {"net": label, "data": f"{CALLED[optimiser]}, {depth} layers"}
                steps, reached = (_of(found, name, depth, optimiser, value=value) for value in ("steps", "reached"))
                shares += _speed.arrived(steps, reached, budget, place)
                for rate in RATES[optimiser]:
                    typical = _times(np.log(_of(found, name, depth, optimiser, rate=rate)))
                    rates.append({**place, "step": rate, "mean": typical.value, **bounds(typical)})
    return {
        "Share of networks that have arrived at the loss, each kind at its best rate": plot.curves(
            shares, x_title="updates", y_title="arrived", title="Sigmoid against ReLU", columns=len(depths),
            subtitle=f"training loss below {LEVEL:g} nats, PyTorch's first weights",
        ),
        "Updates against the rate; who never arrives counts with all updates": plot.curves(
            rates, x_title="rate", y_title="updates", percent=False, log_x=True, log_y=True, points=True,
            columns=len(depths), title="How much the rate matters", subtitle="geometric means over seeds",
        ),
    }  # fmt: skip
