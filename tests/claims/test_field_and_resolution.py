"""Field and resolution: networks and what they see, what is run, how it is judged, and a small run of everything."""

from dataclasses import fields, replace

import altair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import breadth

from flyroom import engine, plot, stats
from flyroom.claims import field_and_resolution as claim
from flyroom.claims.field_and_resolution import FINE, LENGTHS, PLANS, WAYS, Settings
from flyroom.data import mnist1d
from flyroom.measure.architecture import architecture
from flyroom.nets.spec import parameters
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, everything=False, steps=10, test=1000)
# Test accuracy by network at 40 positions, then at others.
TRUE = {
    "kernel 1": 0.33, "kernel 3": 0.65, "kernel 5": 0.80, "kernel 7": 0.87, "kernel 11": 0.87,
    "depth 1": 0.45, "depth 3": 0.77, "depth 5": 0.87, "depth 7": 0.88,
    "dilation 1-2-2": 0.87, "dilation 1-2-4": 0.88, "dilation 1-3-6": 0.88,
}  # fmt: skip
OTHER = {
    (20, "depth 3"): 0.86, (20, "dilation 1-2-2"): 0.86, (20, "dilation 1-3-6"): 0.85,
    (80, "depth 3"): 0.60, (80, "dilation 1-2-2"): 0.77, (80, "dilation 1-3-6"): 0.87,
}  # fmt: skip


def results(settings=Settings(), spread=0.003, ratio=2.0, other=None, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand; `changed` has names such as kernel_7."""
    draw = np.random.default_rng(0)
    usual = TRUE | {name.replace("_", " "): value for name, value in changed.items()}
    elsewhere = OTHER | (other or {})
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            name, length = run.settings["net"], run.settings["length"]
            value = usual[name] if length == 40 else elsewhere[length, name]
            spent = 50_000.0 * (ratio if length == 80 else length / 40)
            values = {"test_accuracy": float(value + spread * draw.standard_normal()), "multiply_adds": spent}
            made.append(Result(run, {**values, "parameters": 1500.0}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Networks


@pytest.mark.parametrize("name", PLANS)
def test_parameters_are_equal_within_four_per_cent(name):
    net = claim.network(name, 40, 0)
    assert parameters(net) == pytest.approx(claim.PARAMETERS, rel=0.04)
    assert len(net.layers) == len(PLANS[name].dilations)


@pytest.mark.parametrize("name", breadth(PLANS, "kernel 7", "depth 5", "dilation 1-3-6"))
def test_a_unit_sees_its_whole_field_and_nothing_else(name):
    """From the gradient of one unit in the middle: no holes, and no position outside."""
    net, plan = claim.network(name, 80, 0), PLANS[name]
    x = jax.random.normal(jax.random.key(1), (30, 80))
    seen = jax.jit(jax.grad(lambda x: net.responses(x)[-1][:, 40].sum()))(x)
    found = np.flatnonzero(np.abs(np.asarray(seen)).max(0))
    half = plan.field // 2
    assert found.tolist() == list(range(40 - half, 40 + half + 1)) and len(found) == plan.field
    layers = [one for one in architecture(net, (80,)).layers if one.op == "conv"]
    assert layers[-1].receptive_field == (plan.field,)


def test_the_formulas_of_courses():
    for size in (1, 3, 5, 7, 11):
        assert PLANS[f"kernel {size}"].field == 2 * size - 1
    assert PLANS["depth 3"].field == 3 * 3 - 2
    assert {way: [PLANS[name].field for name in names] for way, names in WAYS.items()} == {
        "kernel": [1, 5, 9, 13, 21],
        "depth": [3, 5, 7, 11, 15],
        "dilation": [7, 11, 15, 21],
    }


def test_what_covers_a_digit_covers_every_digit():
    """Twelve points in 12 + padding of 72, seen at 40 positions; measured on signals without noise."""
    lengths = [40 * 12 / (12 + padding) for padding in (36, 60)]
    assert (round(lengths[1]), round(lengths[0])) == claim.DIGIT
    assert all(claim.RISE[way][1] >= max(lengths) > claim.RISE[way][0] for way in WAYS)
    stream = mnist1d.stream("train", max_translation=1, corr_noise_scale=0.0, iid_noise_scale=0.0, shear_scale=0.0)
    signals = stream[:500].x
    rest = signals[:, -1:]  # nothing but background at the end
    extents = (np.abs(signals - rest) > 1e-3).cumsum(1).argmax(1) + 1
    assert extents.max() == claim.DIGIT[1]  # some are shorter than 7: their last points are as high as the background


def test_only_the_mean_over_positions_is_classified():
    """What lies far apart is not told apart: two halves that no unit sees together may change places."""
    net = claim.network("depth 1", 40, 0)
    x = jax.random.normal(jax.random.key(2), (5, 40))
    gap = jnp.zeros((5, 2))
    one = jnp.concatenate([gap, x[:, :16], gap, gap, x[:, 16:32], gap], axis=1)
    other = jnp.concatenate([gap, x[:, 16:32], gap, gap, x[:, :16], gap], axis=1)
    np.testing.assert_allclose(net(one), net(other), rtol=1e-4, atol=1e-5)


def test_first_weights_are_hes():
    net = claim.network("depth 7", 40, 3)
    for layer in net.layers:
        bound = np.sqrt(6 / np.prod(layer.weight.shape[1:]))
        assert 0.7 * bound < float(jnp.abs(layer.weight).max()) <= bound and not np.asarray(layer.bias).any()


def test_a_network_is_the_same_at_every_length():
    nets = [claim.network(FINE[1], length, 2) for length in LENGTHS]
    assert all((a.weight == b.weight).all() for a, b in zip(nets[0].layers, nets[2].layers, strict=True))
    costs = [architecture(net, (n,)).multiply_adds for net, n in zip(nets, LENGTHS, strict=True)]
    assert costs[2] / costs[1] == pytest.approx(2, abs=0.01) and costs[1] / costs[0] == pytest.approx(2, abs=0.01)


# What is run


def test_the_prediction_is_in_the_file():
    assert "65 +- 8 % with field 5" in claim.ABOUT.prediction and "3: 45 +- 8, 5: 65 +- 8" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert len(cells) == 12 + 6 and all(len(cell.runs) == 10 and cell.ahead for cell in cells)
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 180
    assert {(run.settings["length"], run.data["final_seq_length"]) for run in runs} == {(n, n) for n in LENGTHS}


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12) and keys(everything=False) < keys()
    assert not keys() & keys(steps=10) and not keys() & keys(test=1000)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"steps": 0}, "steps 0: each must be at least 1"), ({"test": 1500}, "test 1500: choose a multiple of 1000")],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=200) < total(everything=False) < total() < 600
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}
    assert len(claim.cells(replace(Settings(), **claim.quick(Settings())))) == 8


# How it is judged

HEADLINES = {"rises-kernel", "rises-depth", "stops-kernel", "stops-dilation", "finer", "cost"}


@pytest.mark.parametrize("everything", [True, False])
def test_supported(everything):
    settings = Settings(everything=everything)
    judgement, statements = judged(results(settings), settings)
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert (set(statements) > HEADLINES) == everything
    assert statements["rises-kernel"].value == pytest.approx(0.22, abs=0.004)
    assert statements["rises-depth"].p == pytest.approx((3 if everything else 2) * 2 / 2**10)
    assert statements["finer"].value == pytest.approx(-0.10, abs=0.004)
    assert statements["cost"].value == 2.0 and statements["cost"].interval == (2.0, 2.0)
    assert all(len(one.sentence) <= 45 for one in statements.values())


def test_what_informs():
    statements = judged(results())[1]
    assert statements["rises-dilation"].value == pytest.approx(0.10, abs=0.004)
    assert statements["finer-wider"].value == pytest.approx(0.10, abs=0.004)
    assert statements["finer-and-wider"].value == pytest.approx(0.0, abs=0.004)
    assert statements["coarser"].value == pytest.approx(-0.01, abs=0.004)


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"kernel_3": 0.90, "kernel_11": 0.86}, {"rises-kernel"}),
        ({"depth_1": 0.90}, {"rises-depth"}),
        ({"kernel_11": 0.92}, {"stops-kernel"}),
        ({"dilation_1-3-6": 0.92}, {"stops-dilation"}),
        ({"other": {(80, "dilation 1-2-2"): 0.90}}, {"finer"}),
        ({"ratio": 4.0}, {"cost"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_on_the_margin_is_undecided():
    judgement, statements = judged(results(kernel_11=0.885, spread=0.02))
    assert statements["stops-kernel"].verdict == Verdict.undecided == judgement.verdict


@pytest.mark.parametrize("runs", [1, 5])
def test_few_seeds_decide_nothing_but_arithmetic(runs):
    few = Settings(runs=runs)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert {name for name, one in statements.items() if one.verdict != Verdict.undecided} == {"cost"}


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head == ("network", "positions", "field", "parameters", "multiply-adds", "test accuracy, %")
    assert len(rows) == 18 and rows[0][:4] == ("kernel 1", "40", "1", "1,500")


def test_a_missing_network_is_an_error():
    with pytest.raises(ValueError, match="no run of net depth 5, length 40 is stored"):
        judged([one for one in results() if one.run.settings["net"] != "depth 5"])


@pytest.mark.parametrize("settings", [Settings(), Settings(runs=1, everything=False)])
def test_the_figures_can_be_drawn(settings):
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def run(cells):
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), cells):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    return found


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    fine = claim.cells(SMALL)[-1]
    both, alone = run([fine, Cell(fine.runs[1:])])
    assert both[1].values == alone[0].values and both[0].values != both[1].values
    assert both[0].run.settings == {"net": "dilation 1-2-2", "length": 80, "steps": 10}
    assert both[0].values["multiply_adds"] == architecture(claim.network(FINE[1], 80, 0), (80,)).multiply_adds


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = [one for outcome in run(claim.cells(SMALL)) for one in outcome]
    judgement = claim.judge(made, SMALL)
    assert judgement.verdict == Verdict.undecided and judgement.runs == 2 * 8
    assert {one.id: one for one in judgement.statements}["cost"].verdict == Verdict.supported
    for spec in claim.figure(made, judgement).values():
        assert plot.render(spec, "svg").startswith(b"<svg")
