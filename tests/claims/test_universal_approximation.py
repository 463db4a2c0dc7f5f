"""Universal approximation: the construction and its bound against closed forms, what is run, how it is judged."""

from dataclasses import fields
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _hinges
from flyroom.claims import universal_approximation as claim
from flyroom.claims._hinges import Hinges, Target
from flyroom.claims.universal_approximation import RATE, RATES, TARGETS, Settings
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Evidence, Result, Verdict
from flyroom.store import key
from flyroom.train import Trained

SMALL = Settings(runs=2, steps=40, widths="5-8")
SINE, CORNER = TARGETS["sin3"], TARGETS["corner"]

# Trained largest error with the least and with the most units, at the rate fixed beforehand.
TRUE = {"sin3": (0.09, 0.01), "sin12": (1.0, 0.1), "corner": (0.05, 0.01)}


def results(settings=Settings(), spread=0.03, best=0.5, share=None, **trained) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand: the constructed ones are real, `trained` has names such as sin3.

    `share` multiplies the constructed errors; the best rate, 0.03, has `best` times the error of the fixed one.
    """
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            name, width = run.settings["target"], run.settings["width"]
            if run.settings["net"] == "constructed":
                (one,) = claim.run(Cell((run,)), settings)
                wrong = {end: (share or 1.0) * one.values[end] for end in ("sup_error", "sup_at_most")}
                made.append(Result(run, {**one.values, **wrong}, one.curves))
                continue
            first, last = (TRUE | trained)[name]
            power = np.log(last / first) / np.log(16)
            error = first * (width / 10) ** power * np.exp(spread * draw.standard_normal())
            error *= {RATE: 1.0, 0.03: best}.get(run.settings["rate"], 3.0)
            values = {"sup_error": error, "sup_at_most": 1.001 * error, "rms_error": 0.5 * error, "bends": width / 2}
            if (name, width, run.seed) == ("sin3", 20, 1):
                values["diverged_at_step"] = 17.0
            x = np.linspace(-1, 1, claim.SHOWN)
            made.append(Result(run, values, {"x": x.tolist(), "output": (0 * x).tolist()}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)
    monkeypatch.setattr(claim, "FINE", 256)


# The construction


@pytest.mark.parametrize("units", [1, 3, 10, 37])
@pytest.mark.parametrize("name", TARGETS)
def test_the_constructed_network_meets_the_function_at_its_knots_and_is_straight_between(name, units):
    target, net = TARGETS[name], _hinges.interpolating(TARGETS[name], units)
    knots = np.linspace(-1, 1, units + 1)
    assert len(net.out) == units
    assert _hinges.outputs(net, knots) == pytest.approx(target.function(knots), abs=1e-12)
    middles = (knots[1:] + knots[:-1]) / 2
    means = (target.function(knots)[1:] + target.function(knots)[:-1]) / 2
    assert _hinges.outputs(net, middles) == pytest.approx(means, abs=1e-12)


def largest_error_of_a_sine(frequency: float, units: int) -> float:
    """In closed form: between two knots f - p is extreme where f' is the slope of the line."""
    knots = np.linspace(-1, 1, units + 1)
    largest = 0.0
    for a, b in pairwise(knots):
        slope = (np.sin(frequency * b) - np.sin(frequency * a)) / (b - a)
        turned = np.arccos(np.clip(slope / frequency, -1, 1))
        for k in range(-10, 11):
            for angle in (turned + 2 * np.pi * k, -turned + 2 * np.pi * k):
                x = angle / frequency
                if a <= x <= b:
                    line = np.sin(frequency * a) + slope * (x - a)
                    largest = max(largest, abs(np.sin(frequency * x) - line))
    return largest


@pytest.mark.parametrize(("name", "frequency"), [("sin3", 3.0), ("sin12", 12.0)])
@pytest.mark.parametrize("units", [10, 40, 160])
def test_the_error_is_enclosed_and_within_the_proved_bound(name, frequency, units):
    """Against the closed form of the largest error, which the enclosure must hold, and may not miss by much."""
    target = TARGETS[name]
    found = _hinges.distance(_hinges.interpolating(target, units), target, 1024 * units)
    exact = largest_error_of_a_sine(frequency, units)
    assert found.at_least - 1e-13 <= exact <= found.at_most + 1e-13
    assert found.at_most - found.at_least < 2e-6 * exact
    assert exact < found.at_most <= _hinges.proved(target, units)
    assert _hinges.proved(target, units) == pytest.approx((2 / units) ** 2 * frequency**2 / 8, rel=1e-14)


def test_the_bound_is_met_where_the_curvature_is_constant():
    """x^2: f - p is (x - a)(x - b) between any two knots, h^2 / 4 in the middle, which is the bound."""
    parabola = Target("x^2", lambda x: x**2, 2.0, 2.0)
    found = _hinges.distance(_hinges.interpolating(parabola, 8), parabola, 8 * 64)
    assert _hinges.proved(parabola, 8) == 0.25**2 / 4
    assert found.at_least == pytest.approx(0.25**2 / 4, abs=1e-12)


def test_a_corner_costs_at_most_a_quarter_of_the_jump_times_the_distance():
    """|x - 1/3| with 10 units: 1/3 lies at two thirds between 0.2 and 0.4, so the error is 2 (2/3)(1/3) h = 4 h / 9."""
    found = _hinges.distance(_hinges.interpolating(CORNER, 10), CORNER, 1000)
    assert found.at_least == pytest.approx(4 * 0.2 / 9, abs=1e-9)
    assert _hinges.proved(CORNER, 10) == pytest.approx(0.1)  # h / 2
    on_a_knot = _hinges.distance(_hinges.interpolating(CORNER, 12), CORNER, 1000)
    assert on_a_knot.at_most < 1e-12


def test_an_error_between_nodes_is_enclosed():
    """A spike of a trained network, far thinner than the distance of the nodes, is found at its bends."""
    spike = Hinges(np.ones(3), -np.array([0.1234, 0.1235, 0.1236]), np.array([1e4, -2e4, 1e4]), 0.0)
    flat = Target("0", lambda x: 0 * x, 0.0, 0.0)
    assert _hinges.bends(spike) == pytest.approx([0.1234, 0.1235, 0.1236])
    found = _hinges.distance(spike, flat, 16)
    assert found.at_least == pytest.approx(1.0, abs=1e-8) and found.at_most >= 1.0 - 1e-12


def test_the_root_of_the_mean_square():
    line = Target("x", lambda x: x, 1.0, 0.0)
    nothing = Hinges(np.zeros(1), np.zeros(1), np.zeros(1), 0.0)
    found = _hinges.distance(nothing, line, 4096)
    assert found.rms == pytest.approx(3**-0.5, rel=1e-6) and found.at_most == pytest.approx(1.0)


def test_a_trained_network_is_the_same_function_as_its_hinges():
    net = MLP.init(jax.random.key(3), (1, 20, 1))
    x = np.linspace(-1, 1, 50)
    expected = np.asarray(net(jnp.asarray(x[:, None], jnp.float32)))[:, 0]
    assert _hinges.outputs(_hinges.hinges(net), x) == pytest.approx(expected, abs=1e-6)


def test_bends_outside_and_units_without_slope_do_not_count():
    net = Hinges(np.array([1.0, 2.0, 0.0, -1.0]), np.array([0.5, -3.0, 1.0, -0.25]), np.ones(4), 0.0)
    assert _hinges.bends(net).tolist() == [-0.5, -0.25]


# What is run


def test_the_prediction_is_in_the_file():
    assert "60 and 40 times" in claim.ABOUT.prediction and "60 (20-150) and 40 (10-150)" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    constructed, trained = cells[:15], cells[15:]
    assert all(len(cell.runs) == 1 and not cell.ahead for cell in constructed)
    assert len(trained) == 5 * 3 * 4 and sum(cell.ahead for cell in trained) == 5  # one program a width
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 15 + 600


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    assert keys(widths="10-40") < keys() < keys(widths="10-20-40-80-160-320")
    constructed = {key(run) for cell in claim.cells(Settings())[:15] for run in cell.runs}
    assert keys() & keys(steps=50) == keys() & keys(points=50) == constructed


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps 0: each must be at least 1"),
        ({"points": 1}, "points 1: give two or more"),
        ({"widths": "10"}, "widths '10': give two or more"),
        ({"widths": "2-10"}, "widths '2-10'"),
        ({"widths": "10-many"}, "widths '10-many'"),
        ({"widths": "10-641"}, "widths '10-641'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=100) < total() < total(widths="10-20-40-80-320")
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}


def test_the_rate_falls_to_zero():
    """Adam's first step is the rate itself, whatever the gradient; the last of four is a quarter of it."""
    transformation = claim.falling(4)(0.1)
    weight = jnp.asarray(0.0)
    memory, steps = transformation.init(weight), []
    for _ in range(4):
        change, memory = transformation.update(jnp.asarray(1.0), memory, weight)
        steps.append(float(jnp.asarray(change)))
        weight = optax.apply_updates(weight, change)
    assert steps == pytest.approx([-0.1, -0.075, -0.05, -0.025], rel=1e-5)
    assert claim.falling(4) is claim.falling(4)  # compiled once


# How it is judged

HEADLINES = (
    "bound", "constructed-sin3", "constructed-sin12",
    "above-sin3", "times-sin3", "best-sin3", "power-sin3",
    "above-sin12", "times-sin12", "best-sin12", "power-sin12",
)  # fmt: skip


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert all(len(one.sentence) <= 45 for one in statements.values())
    bound = statements["bound"]
    assert bound.evidence == Evidence.certified and bound.interval and 0.9 < bound.interval[0] < bound.interval[1] <= 1
    assert statements["constructed-sin3"].value == pytest.approx(-2, abs=0.02)
    assert statements["constructed-corner"].value == pytest.approx(-1, abs=1e-6)
    constructed = largest_error_of_a_sine(3.0, 160)
    assert statements["times-sin3"].value == pytest.approx(np.log10(0.01 / constructed), abs=0.03)
    assert statements["best-sin3"].value == pytest.approx(np.log10(0.005 / constructed), abs=0.03)
    assert statements["power-sin3"].value == pytest.approx(np.log(1 / 9) / np.log(16), abs=0.03)
    assert judgement.runs == 600  # trained networks


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"sin3": (0.04, 0.01)}, {"above-sin3"}),  # constructed: .045 with 10 units
        ({"sin3": (0.09, 0.0009), "best": 1.0}, {"times-sin3", "power-sin3"}),
        ({"sin12": (1.0, 0.04)}, set()),
        ({"sin12": (1.0, 0.04), "best": 0.05}, {"best-sin12"}),
        ({"share": 1.5}, {"bound"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    found = {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted}
    assert found == refuted
    assert judgement.verdict == (Verdict.refuted if refuted else Verdict.supported)


def test_few_seeds_decide_nothing_about_training():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    decided = {n for n, one in statements.items() if one.verdict in (Verdict.supported, Verdict.refuted)}
    assert decided == {"bound", "constructed-sin3", "constructed-sin12", "constructed-corner"}


def test_the_best_rate_is_the_best_of_each_seed():
    made = results(Settings(runs=2, widths="10-40"), spread=0.0, best=0.5)
    fixed, best = (claim.logs(made, "sin3", (10, 40), rate, "sup_error") for rate in (RATE, None))
    assert best == pytest.approx(fixed + np.log10(0.5)) and fixed.shape == (2, 2)


def test_a_power_is_a_slope():
    errors = np.log10([[3 * width**-0.7, 5 * width**-2.0] for width in (10, 30, 90)])
    assert claim.power((10, 30, 90), errors) == pytest.approx([-0.7, -2.0])


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head[:5] == ("function", "units", "proved", "constructed", f"trained, rate {RATE}")
    assert len(rows) == 15 and rows[0][:3] == ("sin 3x", "10", "0.045")
    assert rows[1][4].endswith(", 1 diverged") and "diverged" not in rows[2][4]


def test_a_missing_width_is_an_error():
    made = [one for one in results() if (one.run.settings["net"], one.run.settings["width"]) != ("trained", 20)]
    with pytest.raises(ValueError, match=r"no run of net trained, target sin3, width 20, rate 0[.]001 is stored"):
        judged(made)
    with pytest.raises(ValueError, match="no constructed network for sin3 is stored"):
        judged([one for one in results() if one.run.settings["net"] == "trained"])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs, widths="10-40")
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    cells = [cell for cell in claim.cells(SMALL) if cell.runs[0].settings.get("rate") == RATE]
    chosen = [cells[0], Cell(cells[0].runs[1:])]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), chosen):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    made, alone = found
    assert made[1].values == alone[0].values and made[0].values != made[1].values
    assert made[0].run.settings == {"net": "trained", "target": "sin3", "width": 5, "rate": RATE, "steps": 40}
    assert 0.01 < made[0].values["sup_error"] < 2 and made[0].values["sup_error"] < made[0].values["sup_at_most"]
    assert made[0].curves["output"] and not made[1].curves


def test_training_learns():
    settings = Settings(runs=1, steps=500, widths="5-20")
    wanted = {"target": "sin3", "width": 20, "rate": RATE}
    (cell,) = [cell for cell in claim.cells(settings) if wanted.items() <= cell.runs[0].settings.items()]
    (made,) = claim.run(cell, settings)
    of_zero = np.sqrt(0.5 - np.sin(6) / 12)  # the root of the mean of sin^2 3x on [-1, 1]
    assert made.values["rms_error"] < 0.4 * of_zero


def test_a_lost_network_counts_as_the_function_0():
    run = next(cell.runs[0] for cell in claim.cells(SMALL) if cell.runs[0].settings.get("rate") == RATE)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, MLP.init(jax.random.key(0), (1, 5, 1)))
    found = claim._result(run, Trained(broken, None, np.array([1.0, np.nan]), {}, None), SINE)
    assert found.values["diverged_at_step"] == 1.0
    assert found.values["sup_error"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict in (Verdict.undecided, Verdict.refuted)
    assert set(RATES) == {one.run.settings["rate"] for one in made if "rate" in one.run.settings}


# Taylor models of network minus function


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("units", [3, 10, 40])
def test_two_proofs_of_one_error_overlap(name, units):
    """Nodes with a bound of the second derivative, and Taylor models without: both hold the true error."""
    target = TARGETS[name]
    net = _hinges.interpolating(target, units)
    low, high = _hinges.enclosed(net, target)
    found = _hinges.distance(net, target, 1024 * units)
    assert max(low, found.at_least) <= min(high, found.at_most)
    assert high - low <= 1.1e-6 * high + 2e-12 and high <= _hinges.proved(target, units) * (1 + 1e-9)


def test_the_enclosure_holds_closed_forms():
    for name, frequency in (("sin3", 3.0), ("sin12", 12.0)):
        low, high = _hinges.enclosed(_hinges.interpolating(TARGETS[name], 17), TARGETS[name])
        assert low - 1e-13 <= largest_error_of_a_sine(frequency, 17) <= high + 1e-13
    low, high = _hinges.enclosed(_hinges.interpolating(CORNER, 10), CORNER)
    assert low <= 4 * 0.2 / 9 * (1 + 1e-12) and high >= 4 * 0.2 / 9 * (1 - 1e-12)
    assert _hinges.enclosed(_hinges.interpolating(CORNER, 12), CORNER)[1] < 1e-11


@pytest.mark.parametrize("name", TARGETS)
def test_the_form_of_a_target_is_the_function(name):
    target = TARGETS[name]
    nothing = Hinges(np.zeros(1), np.zeros(1), np.zeros(1), 0.0)
    x = np.linspace(-1, 1, 33)
    found = np.asarray(_hinges.difference(nothing, target)(x[:, None]))[:, 0]
    np.testing.assert_allclose(found, -target.function(x), atol=2e-6)
    with pytest.raises(ValueError, match="is not written as a step of a network"):
        _hinges.difference(nothing, target._replace(form=None))
