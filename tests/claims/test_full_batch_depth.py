"""Full-batch descent: sizes, labels, stages that join, all examples at every update, verdicts, a small run."""

from dataclasses import fields, replace

import jax
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import full_batch_depth as claim
from flyroom.claims._book import he_uniform, parameters_of
from flyroom.claims.full_batch_depth import Settings
from flyroom.data import mnist1d
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Result, Run, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, epochs=4, fit_runs=2, fit_epochs=4)
MEAN = {1: 0.71, 2: 0.68, 3: 0.65, 4: 0.62}
LAST = {1: 0.61, 2: 0.54, 3: 0.48, 4: 0.43}
LOWEST = {1: 0.002, 2: 0.0, 3: 0.0, 4: 0.0}
DATA = mnist1d.make()


def results(settings=Settings(), mean=None, lowest=None, last=None, spread=0.004, shared=0.0) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `shared` moves all networks of a seed together."""
    mean, lowest, last = MEAN | (mean or {}), LOWEST | (lowest or {}), LAST | (last or {})
    draw = np.random.default_rng(0)
    moved = shared * draw.standard_normal(settings.runs)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            layers = run.settings["layers"]
            errors = {
                "mean_error": mean[layers] + moved[run.seed] + spread * draw.standard_normal(),
                "lowest_error": abs(lowest[layers] + 0.1 * spread * draw.standard_normal()),
                "train_error": last[layers] + spread * draw.standard_normal(),
            }
            if (layers, run.seed, run.settings["way"]) == (4, 2, "momentum"):
                errors["diverged_at_step"] = 3.0
            curves = {"step": [0.0, 100.0], "train_error": [0.9, errors["train_error"]]}
            made.append(Result(run, {name: float(value) for name, value in errors.items()}, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    assert "71, 68, 65, 62 +- 2 %" in claim.ABOUT.prediction and "71, 68, 65, 62 +- 2 %" in str(claim.__doc__)


def test_the_sizes_of_the_book():
    """15,139 is printed for four layers; 41 * 63 + 3 * 64 * 63 + 64 * 10 is another number."""
    assert [parameters_of(widths) for widths in claim.WIDTHS.values()] == [15_208, 15_210, 15_235, 15_319]
    for layers, widths in claim.WIDTHS.items():
        net = MLP.init(jax.random.key(0), widths)
        assert len(net.layers) == layers + 1
        assert sum(leaf.size for leaf in jax.tree.leaves(net)) == parameters_of(widths)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [tuple(cell.runs[0].settings.values()) for cell in cells] == [
        (layers, way) for way in ("descent", "momentum") for layers in (1, 2, 3, 4)
    ]
    assert [len(cell.runs) for cell in cells] == [10] * 4 + [6] * 4
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs)
    assert cells[3].runs[7].data == {"name": "random labels", "seed": 7, "of": DATA.recipe}
    assert claim.cells(Settings(labels="true"))[0].runs[7].data == DATA.recipe


def keys(settings: Settings, way: str) -> set[str]:
    return {key(r) for cell in claim.cells(settings) for r in cell.runs if r.settings["way"] == way}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    default, more = Settings(), Settings(runs=12, fit_runs=8)
    for way in claim.WAYS:
        assert keys(default, way) < keys(more, way)
        assert not keys(default, way) & keys(Settings(labels="true"), way)
    slower, longer = Settings(epochs=5000, learning_rate=0.025), Settings(fit_epochs=2000)
    assert not keys(default, "descent") & keys(slower, "descent")
    assert keys(default, "momentum") == keys(slower, "momentum")
    assert not keys(default, "momentum") & keys(longer, "momentum")
    assert keys(default, "descent") == keys(longer, "descent")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"fit_epochs": 0}, "fit_epochs 0: each must be at least 1"),
        ({"labels": "wrong"}, "no 'wrong' labels; there are random, true"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_forms():
    def total(settings: Settings) -> float:
        return sum(claim.cost(run) for cell in claim.cells(settings) for run in cell.runs)

    faithful = replace(Settings(), **claim.faithful(Settings()))
    assert 0 < total(Settings(fit_epochs=10)) < total(Settings()) < total(faithful)
    assert faithful.learning_rate * faithful.epochs == pytest.approx(500)
    quick = claim.quick(Settings(epochs=3))
    assert quick["epochs"] == 3 and set(quick) <= {one.name for one in fields(Settings)}


# Labels, and the area under a curve


def test_random_labels_are_uniform_and_have_nothing_to_do_with_the_signals():
    drawn = claim.targets("random", 0)
    counts = np.bincount(drawn, minlength=10)
    assert len(counts) == 10 and ((counts - 400) ** 2 / 400).sum() < 9 + 5 * 18**0.5  # chi-square: mean 9, variance 18
    assert abs((drawn == DATA.y_train).mean() - 0.1) < 5 * (0.09 / 4000) ** 0.5
    assert (drawn != claim.targets("random", 1)).any()
    np.testing.assert_array_equal(claim.targets("true", 3), DATA.y_train)


def test_the_mean_error_is_the_area_under_the_curve():
    """Points need not be equally far apart: trapezia of 0.9 to 0.5 over 2 epochs and 0.5 to 0.6 over 1."""
    run = Run("full-batch-depth", 1, {"layers": 1}, 0, {})
    one = claim._result(run, [0.9, 0.5, 0.6], np.array([2.0, np.nan, 1.0]), (0, 2, 3))
    assert one.values == pytest.approx(
        {"mean_error": (1.4 + 0.55) / 3, "lowest_error": 0.5, "train_error": 0.6, "diverged_at_step": 1}
    )


# How it is judged

HEADLINES = ("faster-2", "faster-3", "faster-4", "fits-1", "fits-2", "fits-3", "fits-4")


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["faster-3"].value == pytest.approx(0.03, abs=0.004)
    assert statements["faster-3"].p == pytest.approx(3 * 2 / 2**10)
    assert statements["ends-lower"].value == pytest.approx(0.18, abs=0.004)
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"mean": {2: 0.73}}, {"faster-2"}),
        ({"mean": {3: 0.69}}, {"faster-3"}),
        ({"mean": {4: 0.66}}, {"faster-4"}),
        ({"lowest": {1: 0.2}}, {"fits-1"}),
        ({"lowest": {2: 0.02, 4: 0.03}}, {"fits-2", "fits-4"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(mean={2: 0.711}))
    assert judgement.verdict == statements["faster-2"].verdict == Verdict.undecided
    few = Settings(runs=5, fit_runs=5)
    judgement, statements = judged(results(few), few)
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_pairs_are_of_one_seed():
    assert judged(results(shared=0.2))[1]["faster-4"].verdict == Verdict.supported


def test_where_the_descent_ends_informs():
    judgement, statements = judged(results(last={4: 0.7}))
    assert statements["ends-lower"].verdict == Verdict.refuted and judgement.verdict == Verdict.supported


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head[1] == "parameters"
    assert [row[0] for row in rows] == ["1", "2", "3", "4, 1 diverged"] and rows[3][1] == "15,319"


def test_a_missing_depth_is_an_error():
    with pytest.raises(ValueError, match="no run of layers 3, way descent is stored"):
        judged([one for one in results() if one.run.settings["layers"] != 3])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs, fit_runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def by_hand(seed: int, epochs: int, rate: float) -> list[float]:
    """Training errors of 40-298-10 under gradient descent in float64 NumPy, gradients written out."""
    net = he_uniform(MLP.init(jax.random.key(seed), (40, 298, 10)))
    w, b, v, c = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(net))
    x, y = DATA.x_train, claim.targets("random", seed)
    errors = []
    for _ in range(epochs + 1):
        before = x @ w.T + b
        hidden = np.maximum(before, 0)
        logits = hidden @ v.T + c
        errors.append(float((logits.argmax(1) != y).mean()))
        chances = np.exp(logits - logits.max(1, keepdims=True))
        wrong = (chances / chances.sum(1, keepdims=True) - np.eye(10)[y]) / len(y)
        inner = (wrong @ v) * (before > 0)
        v, c, w, b = (
            v - rate * wrong.T @ hidden,
            c - rate * wrong.sum(0),
            w - rate * inner.T @ x,
            b - rate * inner.sum(0),
        )
    return errors


def test_a_small_run_is_gradient_descent_on_all_examples(monkeypatch):
    """Against the formula; the second of two networks on its own labels; and stages that join."""
    cell = claim.cells(SMALL)[0]
    made = claim.run(cell, SMALL)
    for one in made:
        assert one.curves["step"] == [0, 1, 2, 3, 4]
        expected = by_hand(one.run.seed, 4, SMALL.learning_rate)
        assert one.curves["train_error"] == pytest.approx(expected, abs=2 / 4000)  # a tie or two in float32
    assert made[0].curves != made[1].curves
    monkeypatch.setattr(claim, "STAGE", 3)
    (alone,) = claim.run(Cell(cell.runs[1:]), SMALL)
    assert alone.values == made[1].values and alone.curves == made[1].curves


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
