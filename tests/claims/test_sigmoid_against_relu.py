"""Sigmoid against ReLU: arrivals and censoring, first weights, what is run, how it is judged, a small run."""

from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _speed
from flyroom.claims import sigmoid_against_relu as claim
from flyroom.claims.sigmoid_against_relu import ACTIVATIONS, OPTIMISERS, RATES, STARTS, Settings
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Result, Run, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, choosing=1, steps=60, width=8, depths="2-3")
# Updates at the best rate, which is the second one; at the others four times as many.
TRUE = {
    ("relu", 2): 450.0, ("relu", 4): 300.0, ("relu", 6): 350.0,
    ("tanh", 2): 600.0, ("tanh", 4): 400.0, ("tanh", 6): 470.0,
    ("sigmoid", 2): 1000.0, ("sigmoid", 4): 1200.0, ("sigmoid", 6): 9999.0,
}  # fmt: skip


def results(settings=Settings(), spread=0.05, best=1, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has names such as sigmoid4 or sigmoid4momentum."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            given = run.settings
            name, depth, optimiser = given["activation"], given["depth"], given["optimiser"]
            steps = changed.get(f"{name}{depth}", TRUE[name, depth])
            steps = changed.get(f"{name}{depth}{optimiser}", steps) * np.exp(spread * draw.standard_normal())
            steps *= 1 if given["rate"] == RATES[optimiser][best] else 4
            reached = steps < settings.steps
            values = {"steps": float(np.round(steps)) if reached else float(settings.steps), "reached": float(reached)}
            made.append(Result(run, values))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Arrivals


def test_an_arrival_is_the_first_mean_below_the_level():
    losses = np.array([3.0, 0.0, 3.0, 1.0, 1.0, 1.0, 0.1])
    assert _speed.arrival(losses, 2.0, 1) == 2
    assert _speed.arrival(losses, 1.4, 2) == 5  # means 1.5, 1.5, 2, 1, ...: the last of the two is batch 5
    assert _speed.arrival(losses, 1.2, 3) == 6
    assert _speed.arrival(losses, 0.1, 3) is None
    assert _speed.arrival(losses[:2], 10.0, 3) is None  # no mean of three yet


def test_what_breaks_down_does_not_arrive():
    broken = np.array([3.0, 3.0, np.nan, 0.1, 0.1])
    assert _speed.arrival(broken, 1.0, 2) is None
    assert _speed.arrival(np.array([0.5, 0.5, np.inf]), 1.0, 2) == 2


def test_a_censored_run_counts_with_the_budget_and_says_so():
    run = Run("c", 1, {}, 0, {})
    late = _speed.result(run, np.array([3.0, 3.0, 3.0, 0.0, 0.0]), 1.0, 2, 3)
    assert late.values == {"steps": 3.0, "reached": 0.0}  # what lies beyond the budget does not count
    lost = _speed.result(run, np.array([3.0, np.nan, np.nan]), 1.0, 2, 3)
    assert lost.values == {"steps": 3.0, "reached": 0.0, "diverged_at_step": 1.0}
    early = _speed.result(run, np.array([0.5, 0.5, np.nan]), 1.0, 2, 3)
    assert early.values == {"steps": 2.0, "reached": 1.0}  # later losses, of which there may be more or fewer, neither


def test_only_who_is_first_counts():
    assert _speed.sooner([100.0, 1999.0, 2000.0], [101.0, 20.0, 2000.0]) == [1.0, -1.0, 0.0]
    (far,), (near,) = (_speed.judge_sooner([_speed.sooner([10.0] * 10, [slow] * 10)]) for slow in (2000.0, 11.0))
    assert far == near and far.verdict == Verdict.supported and far.difference.value == 1
    assert far.p == pytest.approx(2 / 2**10)
    (ties,) = _speed.judge_sooner([_speed.sooner([2000.0] * 10, [2000.0] * 10)])
    assert ties.verdict == Verdict.undecided and ties.difference.value == 0


def test_rates_are_chosen_by_seeds_that_do_not_judge():
    def made(seed: int, rate: float, steps: float) -> Result:
        return Result(Run("c", 1, {"rate": rate, "net": "a"}, seed, {}), {"steps": steps})

    found = [made(seed, rate, steps) for seed in (1000, 1001) for rate, steps in ((0.1, 50.0), (0.2, 40.0))]
    found += [made(0, 0.1, 10.0), made(0, 0.2, 2000.0)]
    assert _speed.best_rate(found, (0.1, 0.2), net="a") == 0.2
    assert _speed.judging(found, "steps", rate=0.2, net="a") == [2000.0]
    tied = [one for one in found if one.values["steps"] != 40.0] + [made(1000, 0.2, 50.0)]
    assert _speed.best_rate(tied, (0.1, 0.2), net="a") == 0.1


def test_shares_of_arrivals():
    rows = _speed.arrived([10.0, 40.0, 80.0], [1.0, 1.0, 0.0], 80, {"net": "a"})
    share = {row["step"]: row["mean"] for row in rows}
    assert share[0.0] == 0 and share[10.0] == pytest.approx(1 / 3) and share[80.0] == pytest.approx(2 / 3)


# First weights


def test_fitting_first_weights():
    """The largest of many uniform weights is near its bound: He (ReLU), Glorot (tanh), four times Glorot (sigmoid)."""
    for name, bound in (("relu", (6 / 40) ** 0.5), ("tanh", (6 / 104) ** 0.5), ("sigmoid", 4 * (6 / 104) ** 0.5)):
        net = claim.network(name, 4, "fitting", 64, 0)
        assert float(jnp.abs(net.layers[0].weight).max()) == pytest.approx(bound, rel=0.01)
        assert all(not jnp.any(layer.bias) for layer in net.layers)
        plain = claim.network(name, 4, "pytorch", 64, 0)
        assert float(jnp.abs(plain.layers[0].weight).max()) == pytest.approx(40**-0.5, rel=0.01)
        assert jnp.any(plain.layers[0].bias)
        ratio = net.layers[2].weight / plain.layers[2].weight  # the same draw, stretched
        assert float(jnp.ptp(ratio)) < 1e-5 * float(ratio[0, 0])


def test_glorots_weights_keep_the_variance_of_what_goes_through_sigmoid():
    """One layer of 1000 units at first: sigmoid(x) - 1/2 is x / 4 for small x, so four times as large keeps it."""
    net = claim.fitting(MLP.init(jax.random.key(0), (1000, 1000, 10), jax.nn.sigmoid), "sigmoid")
    x = 0.01 * jax.random.normal(jax.random.key(1), (1000, 50))
    out = jax.nn.sigmoid(net.layers[0](x)) - 0.5
    assert float(out.std() / x.std()) == pytest.approx(1, rel=0.05)


def test_depth_counts_layers_of_weights():
    net = claim.network("tanh", 6, "pytorch", 16, 0)
    assert [layer.weight.shape for layer in net.layers] == [(16, 40), *[(16, 16)] * 4, (10, 16)]
    assert net(jnp.zeros((3, 40))).shape == (3, 10)


# What is run


def test_the_prediction_is_in_the_file():
    for said in ("450, 300, 350, tanh 500, 350, 400", "800, 900, 1500"):
        assert said in claim.ABOUT.prediction and said in " ".join(str(claim.__doc__).split())


def test_the_default_run():
    cells = claim.cells(Settings())
    assert len(cells) == 3 * 3 * 2 * (4 + 6) and sum(cell.ahead for cell in cells) == 3 * 3 * 2  # one program a kind
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == len(cells) * 14
    assert {run.seed for run in runs} == {*range(10), 1000, 1001, 1002, 1003}
    for optimiser, rate in claim.RATE.items():
        assert rate in RATES[optimiser]  # what is fixed beforehand is one of the grid


FEW: dict[str, Any] = {"runs": 2, "choosing": 1}


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**FEW | changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=3) and keys() < keys(choosing=2)
    assert keys(depths="2-4") < keys() < keys(depths="2-4-6-8")
    assert not keys() & keys(steps=500) and not keys() & keys(width=32)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"choosing": 0}, "choosing 0, width 64: each must be at least 1"),
        ({"steps": 39}, "steps 39: the loss is a mean over 40 batches"),
        ({"depths": "4"}, "depths '4': give two or more"),
        ({"depths": "1-4"}, "depths '1-4'"),
        ({"depths": "4-many"}, "depths '4-many'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=100) < total() < total(depths="2-4-10")
    quick = claim.quick(Settings(steps=50))
    assert quick["steps"] == 50 and set(quick) <= {one.name for one in fields(Settings)}


# How it is judged

HEADLINES = tuple(f"sooner-{optimiser}-{depth}" for optimiser in OPTIMISERS for depth in (2, 4, 6))


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert all(len(one.sentence) <= 45 for one in statements.values())
    first = statements["sooner-adam-2"]
    assert (first.value, first.n) == (1, 10) and first.p == pytest.approx(6 * 2 / 2**10)
    assert statements["times-adam-2"].value == pytest.approx(1000 / 450, rel=0.05)
    assert statements["times-adam-2"].verdict == Verdict.supported
    # With six layers sigmoid never arrives: the factor is a lower bound, and is above 2 all the same.
    assert statements["times-adam-6"].value == pytest.approx(2000 / 350, rel=0.05)
    assert statements["times-adam-6"].verdict == statements["grows-adam"].verdict == Verdict.supported
    assert statements["tanh-sigmoid-momentum"].verdict == statements["relu-tanh-adam"].verdict == Verdict.supported


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"sigmoid2": 300.0}, {"sooner-adam-2", "sooner-momentum-2"}),
        ({"sigmoid6momentum": 300.0}, {"sooner-momentum-6"}),
        ({"relu4adam": 9999.0}, {"sooner-adam-4"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    found = {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted}
    assert found == refuted and judgement.verdict == Verdict.refuted


def test_two_that_never_arrive_are_not_told_apart():
    judgement, statements = judged(results(relu6=9999.0))
    assert statements["sooner-adam-6"].verdict == Verdict.undecided == judgement.verdict


def test_a_bound_is_not_taken_for_a_value():
    """Sigmoid censored at 2000 against 1500: at least 1.3 times, which does not say that it is not 2."""
    censored = judged(results(sigmoid2=9999.0, relu2=1500.0))[1]["times-adam-2"]
    assert censored.value == pytest.approx(4 / 3, rel=0.05) and censored.verdict == Verdict.undecided
    arrived = judged(results(spread=0.01, sigmoid2=1700.0, relu2=1500.0))[1]["times-adam-2"]
    assert arrived.verdict == Verdict.refuted


def test_one_rate_for_all_is_another_question():
    """With the best rates elsewhere, sigmoid is behind at the best and ahead at the one that was fixed."""
    made = []
    for one in results(best=0):
        given = one.run.settings
        fixed = given["rate"] == claim.RATE[given["optimiser"]]
        steps = (100.0 if given["activation"] == "sigmoid" else 1900.0) if fixed and one.run.seed < 1000 else None
        made.append(one if steps is None else Result(one.run, {"steps": steps, "reached": 1.0}))
    judgement, statements = judged(made)
    assert judgement.verdict == Verdict.supported
    assert statements["fixed-adam"].verdict == statements["fixed-momentum"].verdict == Verdict.refuted


def test_few_seeds_decide_nothing():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_says_who_never_arrived_and_at_which_rate():
    head, *rows = judged(results())[0].table
    assert head == ("optimiser", "first weights", "layers", "ReLU", "tanh", "sigmoid")
    assert [row[:3] for row in rows[:4]] == [
        ("Adam", "PyTorch's", "2"), ("Adam", "PyTorch's", "4"), ("Adam", "PyTorch's", "6"), ("Adam", "fitting", "2"),
    ]  # fmt: skip
    assert rows[2][5] == "never at 0.003" and rows[0][3].endswith("at 0.01")


def test_a_missing_kind_is_an_error():
    made = [one for one in results() if (one.run.settings["activation"], one.run.settings["depth"]) != ("relu", 4)]
    with pytest.raises(ValueError, match=r"no run of rate .*, activation relu, depth 4, optimiser adam"):
        judged(made)


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs, depths="2-4")
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run(monkeypatch):
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    monkeypatch.setattr(claim, "LEVEL", 2.4)
    cell = next(cell for cell in claim.cells(SMALL) if cell.runs[0].settings["rate"] == 0.003)
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), [cell, Cell(cell.runs[1:])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    made, alone = found
    assert made[1].values == alone[0].values and made[0].values["reached"] == 1.0
    assert 40 <= made[0].values["steps"] <= 60
    kind = {"activation": "relu", "depth": 2, "optimiser": "adam", "start": "pytorch", "rate": 0.003}
    assert made[0].run.settings == {**kind, "steps": 60, "width": 8}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_stages_are_one_training(monkeypatch, optimiser):
    """An arrival after several stages is where it is without them: weights, memory and batches go on."""
    settings = Settings(runs=2, choosing=1, steps=400, width=16)
    wanted = {"optimiser": optimiser, "rate": claim.RATE[optimiser], "depth": 4, "start": "fitting"}
    cell = next(cell for cell in claim.cells(settings) if wanted.items() <= cell.runs[0].settings.items())
    pair, found = Cell(cell.runs[:2]), []
    monkeypatch.setattr(claim, "LEVEL", 1.5)
    for stage in (400, 50):
        monkeypatch.setattr(claim, "STAGE", stage)
        found.append([one.values for one in claim.run(pair, settings)])
    assert found[0] == found[1]
    assert all(one["reached"] and 100 < one["steps"] < 400 for one in found[0])


def test_who_has_arrived_is_not_trained_to_the_end(monkeypatch):
    calls, train_many = [], claim.train.train_many

    def counted(*given, **named):
        calls.append(len(given[3][0]))  # the updates of the first network's order
        return train_many(*given, **named)

    monkeypatch.setattr(claim.train, "train_many", counted)
    monkeypatch.setattr(claim, "STAGE", 20)
    cell = next(cell for cell in claim.cells(SMALL) if cell.runs[0].settings["rate"] == 0.003)
    for level, stages in ((10.0, [20, 20]), (0.0, [20, 20, 20])):
        calls.clear()
        monkeypatch.setattr(claim, "LEVEL", level)
        claim.run(Cell(cell.runs[:1]), SMALL)
        assert calls == stages


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
    assert {one.run.settings["start"] for one in made} == set(STARTS)
    assert {one.run.settings["activation"] for one in made} == set(ACTIVATIONS)
