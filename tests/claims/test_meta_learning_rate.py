"""The claim on a learned learning rate: its derivative, its cells, its verdict, and a small run of everything."""

import subprocess
import sys
from dataclasses import replace

import altair
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot
from flyroom.claims import meta_learning_rate as claim
from flyroom.claims.meta_learning_rate import ABOVE, BELOW, Settings
from flyroom.nets.mlp import MLP
from flyroom.records import Result, Run, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, map_runs=1, outer_steps=3, steps=5, batch=20, hidden=4)


def made(above=0.624, below=0.620, best=0.62, excess=0.0002, first=1.80, runs=10) -> list[Result]:
    """Stored results as they would be, made by hand, with a little spread over seeds."""
    draw = np.random.default_rng(0)
    results = []
    for seed in range(runs):
        shift = 0.004 * draw.standard_normal()
        mean = 1.716 + shift
        for start, rate in ((ABOVE, above), (BELOW, below)):
            values = {"rate": rate + shift, "mean_loss": mean + excess, "last_loss": 1.505 + shift}
            values["first_loss"] = first + shift
            ways = {"step": [0.0, 1.0], "rate": [start, rate + shift], "mean_loss": [first, mean]}
            run = Run("meta-learning-rate", 1, {"what": "learn", "start": start, "outer_rate": 0.3}, seed, {})
            results.append(Result(run, values, ways))
        losses = [mean + abs(np.log(rate / best)) for rate in claim.grid()]
        run = Run("meta-learning-rate", 1, {"what": "grid"}, seed, {})
        curves = {"rate": claim.grid().tolist(), "mean_loss": losses}
        results.append(Result(run, {"best_rate": best, "best_loss": mean}, curves))
    for rate in claim.MAP_RATES:
        ends = [0.62 if start < 3 or rate < 3 else float("nan") for start in claim.MAP_STARTS]
        curves = {"start": list(claim.MAP_STARTS), "rate": ends, "mean_loss": [1.7 if e == e else e for e in ends]}
        run = Run("meta-learning-rate", 1, {"what": "map", "outer_rate": rate}, 0, {})
        results.append(Result(run, {"arrived": 5.0}, curves))
    return results


def judged(results):
    judgement = claim.judge(results, Settings())
    return judgement, {one.id: one for one in judgement.statements}


# The derivative


def shared(x, y, order):
    return claim._Shared(jnp.asarray(x), jnp.asarray(y), jnp.asarray(order))


def random_case(steps: int = 4):
    draw = np.random.default_rng(3)
    x, y = draw.standard_normal((12, 5)).astype(np.float32), draw.integers(0, 3, 12).astype(np.int32)
    order = draw.integers(0, 12, (steps, 6)).astype(np.int32)
    return MLP.init(jax.random.key(0), (5, 4, 3), jnp.tanh), x, y, order


def test_one_step_has_the_derivative_of_the_closed_form():
    """After one step the second loss falls at minus the product of both gradients: dL2/dr = -g(w1) . g2(w1 - r g)."""
    net, x, y, order = random_case(steps=2)
    rate = jnp.float32(0.3)

    @jax.jit
    def both(net, x, y):
        def gradient(at, taken):
            return jax.grad(lambda n: claim.cross_entropy(n, x[taken], y[taken]))(at)

        first = gradient(net, order[0])
        second = gradient(jax.tree.map(lambda w, g: w - rate * g, net, first), order[1])
        products = jax.tree.map(lambda a, b: jnp.sum(a * b), first, second)
        given = claim._Shared(x, y, jnp.asarray(order))
        return sum(jax.tree.leaves(products)), claim.slope(rate, net, given), claim.losses(rate, net, given)

    product, (mean, found, last), losses = both(net, jnp.asarray(x), jnp.asarray(y))
    assert float(found) == pytest.approx(-float(product) / 2, rel=1e-5)
    assert float(mean) == pytest.approx(float(losses.mean())) and float(last) == float(losses[1])


def test_training_is_gradient_descent_written_out_in_numpy():
    net, x, y, order = random_case()
    w1, b1, w2, b2 = (np.asarray(leaf, float) for leaf in jax.tree.leaves(net))
    expected = []
    for taken in order:
        hidden = np.tanh(x[taken] @ w1.T + b1)
        logits = hidden @ w2.T + b2
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        expected.append(-np.log(p[np.arange(6), y[taken]]).mean())
        d = (p - np.eye(3)[y[taken]]) / 6
        back = d @ w2 * (1 - hidden**2)
        w2, b2 = w2 - 0.4 * d.T @ hidden, b2 - 0.4 * d.sum(0)
        w1, b1 = w1 - 0.4 * back.T @ x[taken], b1 - 0.4 * back.sum(0)
    np.testing.assert_allclose(claim.losses(jnp.float32(0.4), net, shared(x, y, order)), expected, rtol=2e-6)


FINITE = """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np
from flyroom.claims import meta_learning_rate as claim
from flyroom.nets.mlp import MLP
draw = np.random.default_rng(0)
x, y = jnp.asarray(draw.standard_normal((40, 6))), jnp.asarray(draw.integers(0, 3, 40))
shared = claim._Shared(x, y, jnp.asarray(draw.integers(0, 40, (60, 10))))
net = MLP.init(jax.random.key(1), (6, 8, 3), jnp.tanh)
assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(net))
mean = jax.jit(lambda rate: claim.losses(rate, net, shared).mean())
slope = float(claim.slope(jnp.float64(0.5), net, shared)[1])
step = 1e-5
differences = float(mean(jnp.float64(0.5 + step)) - mean(jnp.float64(0.5 - step))) / (2 * step)
assert abs(slope / differences - 1) < 1e-7, (slope, differences)
"""


@pytest.mark.slow
def test_the_derivative_through_sixty_steps_meets_finite_differences_in_float64():
    ended = subprocess.run([sys.executable, "-c", FINITE], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


# What is run


def keys(settings: Settings, what: str) -> set[str]:
    return {key(one) for cell in claim.cells(settings) for one in cell.runs if one.settings["what"] == what}


def test_the_prediction_and_the_default_run():
    assert ".624" in claim.ABOUT.prediction and "8 %" in claim.ABOUT.prediction and not claim.ABOUT.shortened
    cells = claim.cells(Settings())
    assert [len(cell.runs) for cell in cells] == [10, 10, 10, *[2] * len(claim.MAP_RATES)]
    assert len({key(one) for cell in cells for one in cell.runs}) == 30 + 2 * len(claim.MAP_RATES)
    assert all(claim.cost(cell.runs[0]) > 0 for cell in cells)


def test_asking_for_more_seeds_only_adds():
    for what in ("learn", "grid", "map"):
        assert keys(Settings(), what) < keys(Settings(runs=12, map_runs=3), what)


@pytest.mark.parametrize(
    ("changed", "renamed"),
    [
        ({"steps": 100}, {"learn", "grid", "map"}),
        ({"batch": 100}, {"learn", "grid", "map"}),
        ({"hidden": 60}, {"learn", "grid", "map"}),
        ({"outer_steps": 60}, {"learn", "map"}),
        ({"outer_rate": 0.1}, {"learn"}),  # the map has its own outer rates
        ({"runs": 9}, set()),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, renamed):
    for what in ("learn", "grid", "map"):
        new, old = keys(Settings(**changed), what), keys(Settings(), what)
        assert not (new & old) if what in renamed else new <= old


def test_quick_is_part_of_the_settings():
    quick = replace(Settings(), **claim.quick(Settings()))
    assert quick.runs == 2 and quick.map_runs == 0 and len(claim.cells(quick)) == 3


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "each must be at least 1"),
        ({"steps": 0}, "steps 0"),
        ({"map_runs": -1}, "map_runs -1 is less than none"),
        ({"outer_rate": 0.0}, "outer_rate 0 must be finite and above 0"),
        ({"outer_rate": float("nan")}, "must be finite and above 0"),
        ({"batch": 5000}, "a batch of 5000 cannot be taken"),
        ({"steps": 10**12}, "steps 1000000000000 must be at most 1000000"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


# How it is judged


def test_numbers_as_published_support_it():
    judgement, found = judged(made())
    assert judgement.verdict == Verdict.supported
    assert sum(one.headline for one in judgement.statements) == 5
    assert found["starts-meet"].value == pytest.approx(0.004)
    assert found["published-rate-above"].verdict == Verdict.compatible


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        ({"above": 0.66}, {"starts-meet"}),
        ({"above": float("nan")}, {"starts-meet"}),
        ({"excess": 0.01}, {"loss-is-the-best"}),
        ({"best": 0.9}, {"rate-is-the-best"}),
        ({"first": 1.70}, {"better-than-above", "better-than-below"}),
    ],
)
def test_each_headline_can_fail(given, fails):
    judgement, found = judged(made(**given))
    assert judgement.verdict == Verdict.refuted
    for name in fails:
        assert found[name].headline and found[name].verdict == Verdict.refuted


def test_few_seeds_decide_nothing():
    judgement, _ = judged(made(runs=3))
    assert judgement.verdict == Verdict.undecided


def test_a_learning_rate_that_ran_away_is_said_and_never_a_crash():
    results = made(above=float("nan"))
    judgement, found = judged(results)
    assert "10 ran away" in judgement.table[1][1]
    assert "published-rate-above" not in found and "published-rate-below" in found
    assert claim.figure(results, judgement)


def changed(results, seeds, **values) -> list[Result]:
    """The learned runs from above of these seeds, with other ends; their curves end there as well."""
    found = []
    for one in results:
        if one.run.settings.get("start") == ABOVE and one.run.seed in seeds:
            curves = {**one.curves, "rate": [ABOVE, values.get("rate", one.values["rate"])]}
            one = replace(one, values={**one.values, **values}, curves=curves)
        found.append(one)
    return found


def test_two_rates_that_both_ran_away_do_not_meet():
    judgement, found = judged(made(above=float("nan"), below=float("nan")))
    for name, value in (("starts-meet", claim.GRID_TO), ("rate-is-the-best", claim.GRID_TO)):
        assert found[name].verdict == Verdict.refuted and found[name].value == value
    assert judgement.verdict == Verdict.refuted
    huge = judged(made(above=2e11, below=2e11))[1]
    assert huge["starts-meet"].verdict == Verdict.refuted and huge["starts-meet"].value == claim.GRID_TO


@pytest.mark.parametrize("rate", [-0.4, -3e8, 10.5, 2e11, float("inf"), float("nan")])
def test_a_rate_that_ran_away_need_not_end_as_nan(rate):
    """One of ten runs: it counts as apart, and not among the published numbers, in no figure and in no mean."""
    results = changed(made(), {0}, rate=rate, mean_loss=1.2, last_loss=0.3)
    judgement, found = judged(results)
    assert found["starts-meet"].value == pytest.approx((9 * 0.004 + claim.GRID_TO) / 10)
    assert found["starts-meet"].verdict != Verdict.supported
    assert found["loss-is-the-best"].value == pytest.approx(0.0002 + (np.log(10) - 1.716) / 10, abs=2e-3)
    kept = judged([one for one in made() if one.run.seed])[1]
    for name in ("published-rate-above", "published-loss-above", "published-last-above"):
        assert found[name] == kept[name] and found[name].n == 9
    assert judgement.table[1][1].endswith(", 1 ran away") and judgement.table[1][3].endswith(", 1 ran away")
    figures = claim.figure(results, judgement)
    ways = next(spec for caption, spec in figures.items() if "on its way" in caption)
    rows = [row for row in ways["data"]["values"] if row["net"] == "from 1.5" and "low" in row]
    assert {row["step"] for row in rows if row.get("part") != "published"} == {0}


@pytest.mark.parametrize("rate", [-0.4, 2e11, float("nan")])
def test_when_all_ran_away_the_figures_are_drawn(rate):
    results = made(above=rate, below=rate)
    figures = claim.figure(results, claim.judge(results, Settings()))
    assert len(figures) == 3 and "learned: " not in str(figures)  # there is no rate to be shown on the grid
    (ways,) = (spec for caption, spec in figures.items() if "on its way" in caption)
    assert plot.render(ways, "svg").startswith(b"<svg")


def test_a_loss_that_is_no_number_loses_the_run():
    results = changed(made(), {0}, mean_loss=float("nan"))
    _, found = judged(results)
    assert found["published-rate-above"].n == found["published-last-above"].n == 9
    assert found["starts-meet"].value == pytest.approx((9 * 0.004 + claim.GRID_TO) / 10)
    assert found["better-than-above"].n == 10  # the loss at the start was measured


def test_each_start_has_the_last_loss_that_was_printed_for_it():
    found = judged(made())[1]
    assert [found[f"published-last-{name}"].published for name in ("above", "below")] == ["1.505", "1.506"]


def test_a_rate_at_which_training_breaks_down_is_not_the_best():
    means = np.full(claim.GRID_COUNT, 2.0)
    means[3], means[7] = np.nan, 1.5
    assert claim._best(means) == {"best_rate": float(claim.grid()[7]), "best_loss": 1.5}


def test_what_diverged_has_a_cross_on_the_map():
    rows = claim._map(made(runs=6))
    lost = {(row["start"], row["outer rate"]) for row in rows if row["value"] is None}
    assert lost == {(3.0, 3.0), (5.0, 3.0)} and len(rows) == len(claim.MAP_RATES) * len(claim.MAP_STARTS)


# A small run of everything


def ran(settings: Settings) -> list[Result]:
    results = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, settings), claim.cells(settings)):
        assert not isinstance(outcome, Exception), outcome
        results += outcome
    return results


def test_a_small_run():
    settings = replace(SMALL, map_runs=0)
    results = ran(settings)
    judgement = claim.judge(results, settings)
    assert judgement.verdict in (Verdict.undecided, Verdict.refuted) and judgement.runs == 6
    assert len(claim.figure(results, judgement)) == 2  # no map
    one, two = (found for found in results if found.run.settings.get("start") == ABOVE)
    assert one.curves["rate"][0] == ABOVE and len(one.curves["rate"]) == SMALL.outer_steps + 1
    assert one.curves["rate"] != two.curves["rate"]
    assert one.values["rate"] == one.curves["rate"][-1] != ABOVE


def test_the_figures_are_valid_and_can_be_drawn():
    results = made()
    figures = claim.figure(results, claim.judge(results, Settings()))
    assert len(figures) == 3
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")


@pytest.mark.slow
def test_a_run_alone_and_a_run_of_the_map_have_the_same_bits():
    results = ran(SMALL)
    one = next(found for found in results if found.run.settings.get("start") == ABOVE)
    alone = claim.run(replace(claim.cells(SMALL)[0], runs=(one.run,)), SMALL)[0]
    assert alone.curves == one.curves and alone.values == one.values
    mapped = next(
        found for found in results if found.run.settings["what"] == "map" and found.run.settings["outer_rate"] == 0.3
    )
    assert mapped.curves["rate"][claim.MAP_STARTS.index(ABOVE)] == pytest.approx(one.values["rate"], rel=1e-6)
