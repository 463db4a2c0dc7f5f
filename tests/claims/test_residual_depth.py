"""Residual connections: what is run, variances against closed forms, the schedule, how it is judged, a small run."""

from dataclasses import fields

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _book
from flyroom.claims import residual_depth as claim
from flyroom.claims.residual_depth import Settings
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, epochs=2, depths="3-4")
# Test accuracy by depth and skip.
TRUE = {
    **{(4, skip): 0.64 for skip in claim.SKIPS},
    (10, "none"): 0.60,
    (10, "add"): 0.62,
    (10, "mean"): 0.64,
    (20, "none"): 0.50,
    (20, "add"): 0.30,
    (20, "mean"): 0.635,
}
EARLY = {"none": 0.6, "add": 0.7, "mean": 0.65}


def results(settings=Settings(), spread=0.006, growth=(2.0, 1.0), early=None, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has names such as none20."""
    draw = np.random.default_rng(0)
    early = EARLY | (early or {})
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            if "variance" in run.settings:
                value = growth[run.settings["variance"] == "batch norm"] + 0.02 * draw.standard_normal()
                curves = {"block": [0.0, 1.0, 2.0], "variance": [1.0, 2.0, 4.0 + 0.1 * run.seed]}
                made.append(Result(run, {"growth": float(value)}, curves))
                continue
            depth, skip = run.settings["depth"], run.settings["skip"]
            value = changed.get(f"{skip}{depth}", TRUE[depth, skip]) + spread * draw.standard_normal()
            curve = [0.1, early[skip] + spread * draw.standard_normal(), 1.0]
            curves = {"step": [0.0, 200.0, 4000.0], "train_accuracy": curve}
            values = {"test_accuracy": float(value), "train_accuracy": 1.0}
            if (depth, skip) == (20, "add") and run.seed == 1:
                values["diverged_at_step"] = 17.0
            made.append(Result(run, values, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    assert "64 +- 4 %" in claim.ABOUT.prediction and "64 +- 4 %" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [cell.ahead for cell in cells] == [False] * 2 + [True] * 9  # what trains nothing comes first
    assert {tuple(cell.runs[0].settings.values()) for cell in cells[2:]} == set(TRUE)
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 110


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    assert keys(depths="4-20") < keys() < keys(depths="4-10-20-40")
    trained = {key(run) for cell in claim.cells(Settings())[2:] for run in cell.runs}
    assert keys() & keys(epochs=50) == keys() - trained  # variances have no epochs


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"epochs": 0}, "epochs 0: each must be at least 1"),
        ({"depths": "4"}, "depths '4': give two or more"),
        ({"depths": "2-4"}, "depths '2-4'"),
        ({"depths": "4-many"}, "depths '4-many'"),
        ({"depths": "4-201"}, "depths '4-201'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(epochs=10) < total() < total(depths="4-10-40")
    quick = claim.quick(Settings(epochs=5))
    assert quick["epochs"] == 5 and set(quick) <= {one.name for one in fields(Settings)}


# Variances


def test_the_variance_doubles_per_block_and_with_batch_norm_grows_by_one():
    """Means over many seeds against 2^k and 1 + k: sampling leaves a per cent or two."""
    plain = np.mean([claim.variances(seed, normalised=False) for seed in range(40)], 0)
    normed = np.mean([claim.variances(seed, normalised=True) for seed in range(40)], 0)
    assert plain == pytest.approx(2.0 ** np.arange(6), rel=0.1)
    assert normed == pytest.approx(1.0 + np.arange(6), rel=0.05)


def test_growth_is_a_factor_or_a_sum():
    assert claim._growth(np.array([1.5, 3, 6, 12, 24, 48]), "plain blocks") == pytest.approx(2)
    assert claim._growth(np.array([1.0, 1.5, 2.5, 3.5, 4.5, 6.0]), "batch norm") == pytest.approx(1)


# The schedule


def test_gradient_descent_is_pytorchs_with_momentum_and_steplr():
    """v = 0.9 v + g; w = w - rate v, the rate halved after every two updates; by hand."""
    transformation = _book.descent(0.9, 2)(0.1)
    weight = jnp.asarray(1.0)
    memory, velocity, expected = transformation.init(weight), 0.0, 1.0
    for count, gradient in enumerate((1.0, -2.0, 0.5, 3.0, 1.0)):
        change, memory = transformation.update(jnp.asarray(gradient), memory, weight)
        weight = optax.apply_updates(weight, change)
        velocity = 0.9 * velocity + gradient
        expected -= 0.1 * 0.5 ** (count // 2) * velocity
        assert float(jnp.asarray(weight)) == pytest.approx(expected, rel=1e-6)
    assert _book.descent(0.9, 2) is _book.descent(0.9, 2)  # compiled once


def test_parameters_of_an_mlp_are_counted():
    assert _book.parameters_of((40, 100, 100, 10)) == 4100 + 10_100 + 1010


# How it is judged

HEADLINES = ("plain-depth", "skips-help", "skips-depth", "residual-faster", "variance-doubles", "variance-adds")


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["plain-depth"].value == pytest.approx(0.14, abs=0.006)
    assert statements["skips-help"].p == pytest.approx(2 * 2 / 2**10)
    assert statements["residual-faster"].value == pytest.approx(0.1, abs=0.006)
    assert statements["residual-faster"].sentence == "4 layers: added skips ahead at 5 epochs"
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert statements["added-unstable"].verdict == Verdict.supported and not statements["added-unstable"].headline
    assert judgement.runs == 90  # networks, not variances


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"none20": 0.70, "mean20": 0.72}, {"plain-depth"}),
        ({"none20": 0.62, "mean20": 0.615, "none4": 0.66}, set()),
        ({"mean20": 0.45}, {"skips-help", "skips-depth"}),
        ({"mean20": 0.55}, {"skips-depth"}),
        ({"early": {"add": 0.5}}, {"residual-faster"}),
        ({"growth": (1.5, 1.0)}, {"variance-doubles"}),
        ({"growth": (2.0, 2.0)}, {"variance-adds"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == (Verdict.refuted if refuted else Verdict.undecided)


def test_few_seeds_decide_nothing():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_says_who_diverged():
    head, *rows = judged(results())[0].table
    assert head == ("test accuracy, %", "4 layers", "10 layers", "20 layers")
    assert [row[0] for row in rows] == ["plain", "skips, added", "skips, mean"]
    assert rows[1][3].endswith(", 1 diverged") and "diverged" not in rows[2][3]


def test_a_missing_depth_is_an_error():
    with pytest.raises(ValueError, match="no run of depth 10, skip none is stored"):
        judged([one for one in results() if one.run.settings.get("depth") != 10])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 3
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    cells = claim.cells(SMALL)
    chosen = [cells[0], cells[3], Cell(cells[3].runs[1:])]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), chosen):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    blocks, made, alone = found
    assert len(blocks[0].curves["variance"]) == 6 and 1.5 < blocks[0].values["growth"] < 2.5
    assert made[1].values == alone[0].values and made[0].values != made[1].values
    assert made[0].run.settings == {"depth": 3, "skip": "add", "epochs": 2}
    assert made[0].curves["step"][-1] == 80 and made[0].values["train_accuracy"] > 0.2


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
