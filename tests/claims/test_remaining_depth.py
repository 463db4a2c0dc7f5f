"""Remaining depth: sweeps and counts, which layer learns, noise, what is run, how it is judged, a small run."""

from dataclasses import fields
from math import pi

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import remaining_depth as claim
from flyroom.claims._one_layer import OneLayer, disturbed
from flyroom.claims.remaining_depth import ALL, HIDDEN, LAYERS, NOISES, RATES, SWEPT, Settings
from flyroom.losses import cross_entropy
from flyroom.measure import random_networks
from flyroom.nets.activations import hard_tanh
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, points=64, steps=3)
FITS = {2: 0.85, 3: 0.80, 4: 0.73, 5: 0.64, 6: 0.52}


def results(settings=Settings(), rate=1.56, shallow=1.0, fits=None, noise=None, spread=0.005):  # noqa: B008
    """Stored results as they would be, made by hand: growth with the remaining depth, accuracies by layer.

    Networks of 3 layers have `shallow` times the transitions of those of 6; `noise` is the accuracy by layer.
    """
    fits, noise = FITS | (fits or {}), noise or {layer: 0.4 + 0.05 * layer for layer in range(1, 7)}
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            given, curves = run.settings, {}
            moved = spread * draw.standard_normal()
            if given["part"] == "swept":
                count = 1.6 * rate ** (given["hidden"] - given["layer"]) * np.exp(moved)
                count *= shallow if given["hidden"] == 3 else 1.0
                values = {"transitions": count, "dichotomies": 1 + 14 * count}
            else:
                fit = fits.get(given["layer"], 0.9) + moved - (0.0 if given["rate"] == 0.003 else 0.1)
                values = {"train_accuracy": fit, "test_accuracy": 0.7 * fit}
                if given["part"] == "noise":
                    curves = {f"noise_{size:g}": [noise[layer] + moved for layer in range(1, 7)] for size in NOISES}
                    for curve in curves.values():
                        curve[3] += spread * float(draw.standard_normal())
            made.append(Result(run, {name: float(value) for name, value in values.items()}, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Sweeps


def test_counts_of_signs():
    """Three points, two inputs, two outputs: changes a mean over inputs and outputs, patterns a mean over outputs."""
    signs = np.array([[[1, 1], [1, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]]], bool)
    # First output: input 1 changes once, input 2 once; patterns 11, 01, 00. Second: once and once; 10, 10, 01.
    assert claim.counted(signs) == {"transitions": 1.0, "dichotomies": 2.5}


def test_a_sweep_ends_in_minus_its_beginning():
    """So that an output of the last layer changes sign an odd number of times; at remaining depth 0 about 1.6 times."""
    cells = claim.cells(Settings(runs=1, points=400))
    run = next(cell.runs[0] for cell in cells if cell.runs[0].settings.get("hidden") == 3 and
               cell.runs[0].settings["layer"] == 3)  # fmt: skip
    values = claim._swept(run, 400).values
    field = random_networks.mean_field("hard_tanh", claim.SWEPT_STD, 0.0)
    # Half a turn: the root of chi_1 is the speed of the activation over its norm, and each radian has 1 / pi of it.
    assert values["transitions"] == pytest.approx(pi / pi * field.chi1**0.5, rel=0.06)
    assert 1 < values["dichotomies"] <= 1 + claim.INPUTS * values["transitions"]


# Which layer learns


def test_only_the_marked_layer_has_a_gradient():
    net = MLP.init(jax.random.key(0), (4, 5, 5, 5, 3), hard_tanh)
    x, y = jax.random.normal(jax.random.key(1), (7, 4)), jnp.array([0, 1, 2, 0, 1, 2, 0])

    def loss(net, marks):
        return cross_entropy(OneLayer(net, jnp.array(marks)), x, y)

    whole = jax.grad(loss)(net, [1, 1, 1, 1])
    for marks in ([0, 1, 0, 0], [0, 0, 0, 1]):
        assert loss(net, marks) == loss(net, [1, 1, 1, 1])
        found = jax.grad(loss)(net, marks)
        for layer, full, mark in zip(found.layers, whole.layers, marks, strict=True):
            for leaf, same in zip(jax.tree.leaves(layer), jax.tree.leaves(full), strict=True):
                np.testing.assert_allclose(leaf, mark * same, rtol=1e-5, atol=1e-7)
                assert jnp.any(same)


def test_networks_begin_alike_and_differ_by_what_learns():
    one, other, every = (claim.network(layer, 3) for layer in (2, 6, ALL))
    for first, second in zip(jax.tree.leaves(one.net), jax.tree.leaves(other.net), strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.learns.tolist() == [0, 1, 0, 0, 0, 0, 0] and other.learns.tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert every.learns.tolist() == [1] * 7
    weight = np.asarray(one.net.layers[3].weight)
    assert weight.shape == (100, 100) and weight.var() * 100 == pytest.approx(2, rel=0.1)
    assert not np.any(one.net.layers[3].bias)


def test_noise_goes_into_one_layer_and_has_its_size():
    draw = np.random.default_rng(0)
    layers = [(3 * draw.standard_normal((60, 60)), np.ones(60)) for _ in range(3)]
    moved = disturbed(layers, 1, 0.5, draw)
    assert moved[0] is layers[0] and moved[2] is layers[2] and moved[1][1] is layers[1][1]
    assert np.std(moved[1][0] - layers[1][0]) == pytest.approx(1.5, rel=0.06)


# What is run


def test_the_default_run():
    cells = claim.cells(Settings())
    runs = [run for cell in cells for run in cell.runs]
    assert len(cells) == 3 + 6 + 5 * 3 + 1 and sum(cell.ahead for cell in cells) == 1
    assert len({key(run) for run in runs}) == len(runs) == 250
    assert [cell.runs[0].settings["part"] for cell in cells] == ["swept"] * 9 + ["trained"] * 15 + ["noise"]
    text = " ".join(str(claim.__doc__).split())
    assert "85, 80, 73, 64, 52" in text and "85, 80, 73, 64, 52" in claim.ABOUT.prediction


def keys(part: str, **changed) -> set[str]:
    cells = claim.cells(Settings(**changed))
    return {key(run) for cell in cells for run in cell.runs if run.settings["part"] == part}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    for part in ("swept", "trained", "noise"):
        assert keys(part) < keys(part, runs=12)
        ours, others = ("points", "steps") if part == "swept" else ("steps", "points")
        assert keys(part) == keys(part, **{others: 64}) and not keys(part) & keys(part, **{ours: 64})


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"steps": 0}, "steps 0: each must be at least 1"), ({"points": 15}, "points 15: give at least 16 values of t")],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=10) < total() < total(points=4096)
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}


# How it is judged

HEADLINES = (
    "grows-transitions", "alike-0", "alike-1", "alike-2", "trained-2", "trained-3", "trained-4", "trained-5",
    "noise-0.5",
)  # fmt: skip


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["grows-transitions"].value == pytest.approx(1.56, abs=0.01)
    assert statements["trained-3"].value == pytest.approx(0.07, abs=0.01)
    assert statements["trained-3"].p == pytest.approx(4 * 2 / 2**10)
    assert statements["noise-0.5"].value == pytest.approx(0.2, abs=0.01)
    assert statements["dichotomies-5"].verdict == statements["trained-test"].verdict == Verdict.supported
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"rate": 1.1}, {"grows-transitions"}),
        ({"shallow": 1.3}, {"alike-0", "alike-1", "alike-2"}),
        ({"fits": {3: 0.6}}, {"trained-3"}),
        ({"noise": {layer: 0.9 - 0.05 * layer for layer in range(1, 7)}}, {"noise-0.5"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_few_seeds_decide_nothing():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_each_layer_is_taken_at_its_best_rate():
    made = results()
    assert claim.best_rate(made, 4) == 0.003
    moved = [
        Result(one.run, {**one.values, "train_accuracy": 0.99}) if one.run.settings.get("rate") == 0.01 and
        one.run.settings["layer"] == 4 else one for one in made
    ]  # fmt: skip
    assert claim.best_rate(moved, 4) == 0.01 and claim.alone(moved, 4) == [0.99] * 10
    assert claim.alone(moved, 4, rate=claim.RATE) == claim.alone(made, 4)


def test_the_table_and_what_is_missing():
    head, *rows = judged(results())[0].table
    assert len(head) == 9 and [row[:2] for row in rows] == [(str(n), str(6 - n)) for n in range(1, 7)]
    assert rows[0][2] == "" and rows[5][2] != "" and rows[0][5] == "" and rows[1][7] == "0.003"
    for part, sentence in (("noise", "no network with noise"), ("swept", "no run of part swept, hidden 6, layer 6")):
        with pytest.raises(ValueError, match=sentence):
            judged([one for one in results() if one.run.settings["part"] != part])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 3
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run(monkeypatch):
    """Only the trained layer moves; accuracy in float64 is the network's own; alone or beside another the same."""
    monkeypatch.setattr(claim, "UNITS", 20)
    monkeypatch.setattr(claim, "DRAWS", 1)
    cells = claim.cells(SMALL)
    swept, trained, noise = (
        next(cell for cell in cells if cell.runs[0].settings["part"] == part) for part in ("swept", "trained", "noise")
    )
    found = []
    for _, outcome in engine.here(
        lambda cell: claim.run(cell, SMALL), [swept, trained, noise, Cell(trained.runs[1:]), Cell(swept.runs[1:])]
    ):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    assert found[4][0].values == found[0][1].values
    # To rounding: which layers learn is a choice inside the loss, which is fused differently for one core and for two.
    assert found[3][0].values == pytest.approx(found[1][1].values, rel=1e-4)
    assert found[1][0].values["train_loss"] != found[1][1].values["train_loss"]
    assert set(found[2][0].curves) == {"layer", *(f"noise_{size:g}" for size in NOISES)}
    (net, _) = claim._trained(trained, SMALL.steps)
    begun = claim.network(LAYERS[0], 0)
    moved = [
        bool(np.any(np.asarray(new.weight) != np.asarray(old.weight)))
        for new, old in zip(net.net.net.layers, begun.net.layers, strict=True)
    ]
    assert moved == [False, True, *[False] * (HIDDEN - 1)]
    layers = [(np.asarray(one.weight, np.float64), np.asarray(one.bias, np.float64)) for one in net.net.net.layers]
    assert claim.accuracy(layers) == pytest.approx(found[1][0].values["test_accuracy"], abs=0.002)
    assert len(RATES) == 3 and SWEPT == (3, 6)
