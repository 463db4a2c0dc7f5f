"""Random labels: what is random, that a network is measured on its own training set, verdicts, a small run."""

from dataclasses import fields
from math import log

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats, train
from flyroom.claims import random_labels as claim
from flyroom.claims._book import Placed, he_uniform, measure_own
from flyroom.claims.random_labels import KINDS, Settings
from flyroom.data import mnist1d
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Result, Run, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, epochs=2, width=20)
LOSS = {"true": 0.25, "inputs": 0.5, "labels": 0.8}
ERROR = {"true": 0.0, "inputs": 0.001, "labels": 0.004}
TEST = {"true": 0.68, "inputs": 0.10, "labels": 0.101}
DATA = mnist1d.make()


def results(settings=Settings(), loss=None, error=None, test=None, spread=1.0) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand."""
    loss, error, test = LOSS | (loss or {}), ERROR | (error or {}), TEST | (test or {})
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            kind = run.settings["kind"]
            values = {
                "mean_loss": loss[kind] + 0.02 * spread * draw.standard_normal(),
                "train_error": abs(error[kind] + 0.001 * spread * draw.standard_normal()),
                "test_accuracy": test[kind] + 0.008 * spread * draw.standard_normal(),
            }
            if kind != "labels" or run.seed:
                values["learnt_in_epoch"] = 20.0
            curves = {
                "epoch": [1.0, 2.0],
                "loss": [2.3, values["mean_loss"]],
                "measured_at": [0.0, 2.0],
                "train_accuracy": [0.1, 1 - values["train_error"]],
                "test_accuracy": [0.1, values["test_accuracy"]],
            }
            made.append(Result(run, {name: float(value) for name, value in values.items()}, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    assert "0.8 +- 0.25" in claim.ABOUT.prediction and "0.8 +- 0.25" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [cell.runs[0].settings for cell in cells] == [{"kind": kind} for kind in KINDS]
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 30
    assert len({str(run.data) for run in cells[0].runs}) == 1  # nothing random about the true labels
    assert cells[2].runs[4].data == {"name": "random labels", "seed": 4, "of": cells[0].runs[0].data}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    def keys(**changed) -> set[str]:
        return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}

    assert keys() < keys(runs=12)
    for changed in ({"epochs": 40}, {"width": 50}, {"learning_rate": 0.1}):
        assert not keys() & keys(**changed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"width": 0}, "width 0: each must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate -1.0 must be finite and above 0"),
        ({"learning_rate": float("inf")}, "learning_rate inf"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(epochs=10) < total() < total(width=500)
    quick = claim.quick(Settings(epochs=2))
    assert quick == {"runs": 2, "epochs": 2} and set(quick) <= {one.name for one in fields(Settings)}


# What is random


def test_true_examples_are_the_published_ones():
    x, y = claim.training_set("true", 5)
    np.testing.assert_array_equal(x, DATA.x_train.astype(np.float32))
    np.testing.assert_array_equal(y, DATA.y_train)


def test_random_inputs_are_independent_of_everything_and_have_the_same_moments():
    x, y = claim.training_set("inputs", 0)
    np.testing.assert_array_equal(y, DATA.y_train)
    given = DATA.x_train
    count = x.size
    assert abs(x.mean() - given.mean()) < 5 * given.std() / count**0.5
    assert x.std() == pytest.approx(given.std(), rel=5 / (2 * count) ** 0.5)
    assert ((x - x.mean()) ** 4).mean() / x.var() ** 2 == pytest.approx(3, abs=5 * (24 / count) ** 0.5)  # normal
    between = np.corrcoef(x.T)[np.triu_indices(40, 1)]
    assert np.abs(between).max() < 5 / 4000**0.5  # the true signals are smooth: neighbours are alike
    assert np.corrcoef(given.T)[0, 1] > 0.5


def test_permuted_labels_are_the_same_labels_elsewhere():
    x, y = claim.training_set("labels", 0)
    np.testing.assert_array_equal(x, DATA.x_train.astype(np.float32))
    np.testing.assert_array_equal(np.bincount(y), np.bincount(DATA.y_train))
    agree = (y == DATA.y_train).mean()
    assert abs(agree - 0.1) < 5 * (0.09 / 4000) ** 0.5  # as often as by chance


def test_seeds_and_kinds_draw_apart():
    x, y = zip(*(claim.training_set(kind, seed) for kind in ("inputs", "labels") for seed in (0, 1)), strict=True)
    assert (x[0] != x[1]).any() and (y[2] != y[3]).any()
    np.testing.assert_array_equal(x[0], claim.training_set("inputs", 0)[0])


# A network is measured on its own training set


def test_measured_on_its_own():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 30, 40)).astype(np.float32), random.integers(10, size=(2, 30)).astype(np.int32)
    net = he_uniform(MLP.init(jax.random.key(0), (40, 8, 10)))
    held = (jnp.asarray(x), jnp.asarray(y), jnp.asarray(x[0, :7]), jnp.asarray(y[0, :7]))
    for place in (0, 1):
        logits = np.asarray(net(jnp.asarray(x[place])), np.float64)
        found = measure_own(Placed(net, jnp.asarray(place, jnp.int32)), held)
        assert int(found["train_right"]) == (logits.argmax(1) == y[place]).sum()
        chosen = logits[np.arange(30), y[place]]
        assert float(found["train_loss"]) == pytest.approx((np.log(np.exp(logits).sum(1)) - chosen).mean(), rel=1e-5)
        assert int(found["test_right"]) == (np.asarray(net(held[2])).argmax(1) == y[0, :7]).sum()


def trained(losses, right=(400, 4000)) -> train.Trained:
    evaluated = {"train_right": np.array(right), "test_right": np.array([100, 900])}
    return train.Trained(None, None, np.array(losses), evaluated, None)


def test_the_area_under_the_loss():
    run = Run("random-labels", 1, {"kind": "true"}, 0, {})
    one = claim._result(run, trained([2.0, 1.0, 0.1, 0.08, 0.01, 0.01]), (0, 6), epoch=2)
    assert one.curves["loss"] == pytest.approx([1.5, 0.09, 0.01]) and one.curves["epoch"] == [1.0, 2.0, 3.0]
    assert one.values["mean_loss"] == pytest.approx(1.6 / 3)
    assert one.values["learnt_in_epoch"] == 2.0
    assert one.values["train_error"] == 0 and one.values["test_accuracy"] == 0.9
    assert one.curves["measured_at"] == [0.0, 3.0]


def test_a_network_that_diverges_is_said_and_counted():
    run = Run("random-labels", 1, {"kind": "true"}, 0, {})
    one = claim._result(run, trained([2.0, 1.0, np.nan, np.inf], (400, 400)), (0, 4), epoch=2)
    assert one.values["diverged_at_step"] == 2.0 and "learnt_in_epoch" not in one.values
    assert one.curves["loss"] == pytest.approx([1.5, log(10)])
    made = [
        Result(r.run, {**r.values, **({"diverged_at_step": 2.0} if r.run.seed == 3 else {})}, r.curves)
        for r in results()
    ]
    assert judged(made)[0].table[1][3].endswith("1 diverged")


# How it is judged

HEADLINES = (
    *("fits-true", "fits-inputs", "fits-labels"),
    *("faster-true-inputs", "faster-inputs-labels"),
    *("chance-inputs", "chance-labels"),
)


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["faster-true-inputs"].value == pytest.approx(0.25, abs=0.02)
    assert statements["faster-true-inputs"].unit == "nats"
    assert statements["faster-inputs-labels"].p == pytest.approx(3 * 2 / 2**10)
    assert statements["knows"].verdict == Verdict.supported
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"error": {"labels": 0.3}}, {"fits-labels"}),
        ({"error": {"true": 0.05, "inputs": 0.05}}, {"fits-true", "fits-inputs"}),
        ({"loss": {"inputs": 0.15}}, {"faster-true-inputs"}),
        ({"loss": {"inputs": 1.5}}, {"faster-inputs-labels"}),
        ({"test": {"labels": 0.2}}, {"chance-labels"}),
        ({"test": {"inputs": 0.05}}, {"chance-inputs"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_chance_is_as_wide_as_a_thousand_test_examples_tell():
    """1.96 standard deviations of the share of right answers: 0.1 -+ 0.0186."""
    inside = judged(results(test={"labels": 0.1175}, spread=0.1))[1]["chance-labels"]
    outside = judged(results(test={"labels": 0.1200}, spread=0.1))[1]["chance-labels"]
    assert (inside.verdict, outside.verdict) == (Verdict.supported, Verdict.refuted)


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(error={"labels": 0.01}))
    assert judgement.verdict == statements["fits-labels"].verdict == Verdict.undecided
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head[2] == "epoch below 0.1 nats"
    assert [row[0] for row in rows] == list(KINDS.values())
    assert rows[0][2] == "20.0" and rows[2][2] == "20.0 (9 of 10)"


def test_a_missing_kind_is_an_error():
    with pytest.raises(ValueError, match="no run of kind labels is stored"):
        judged([one for one in results() if one.run.settings["kind"] != "labels"])


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
    chosen = [cells[2], Cell(cells[2].runs[1:])]
    (_, made), (_, alone) = engine.here(lambda cell: claim.run(cell, SMALL), chosen)
    assert not isinstance(made, Exception) and not isinstance(alone, Exception), (made, alone)
    assert made[1].values == alone[0].values and made[1].curves == alone[0].curves
    assert made[0].values != made[1].values
    assert made[0].curves["measured_at"] == [0.0, 2.0] and len(made[0].curves["loss"]) == 2


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    settings = Settings(runs=1, epochs=6, width=60)
    for _, outcome in engine.here(lambda cell: claim.run(cell, settings), claim.cells(settings)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, settings).verdict == Verdict.undecided
    true, inputs, labels = made
    assert true.values["mean_loss"] < min(inputs.values["mean_loss"], labels.values["mean_loss"])
    assert true.values["test_accuracy"] > 0.3 > max(inputs.values["test_accuracy"], labels.values["test_accuracy"])
