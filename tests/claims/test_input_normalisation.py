"""Normalised inputs: the data, curvatures against JAX's Hessian, what is run, how it is judged, a small run."""

from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from flyroom import engine, plot, stats
from flyroom.claims import input_normalisation as claim
from flyroom.claims.input_normalisation import MODELS, NORMALISED, OPTIMISERS, RATES, SETS, WAYS, Settings
from flyroom.losses import cross_entropy
from flyroom.nets.linear import Linear
from flyroom.records import Cell, Evidence, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, choosing=1, steps=40)
# Updates by way (at the second rate; at the others four times as many), and condition numbers.
TRUE = {"raw": 800.0, "all": 300.0, "feature": 200.0, "zca": 120.0, "both": 120.0}
CONDITION = {"raw": 1e6, "all": 2e5, "feature": 1e3, "zca": 1.0, "both": 1.0}


def results(settings=Settings(), spread=0.05, accuracy=None, condition=None, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has names such as raw, raw_mlp, raw_mlp_adam_digits."""
    draw = np.random.default_rng(0)
    accuracy = {"raw": 0.5, "all": 0.55, "feature": 0.6, "zca": 0.58, "both": 0.581} | (accuracy or {})
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            given = run.settings
            way = given["way"]
            if given["what"] == "curvature":
                found = (CONDITION | (condition or {}))[way]
                curves = {"direction": [1.0, 2.0], "curvature": [1.0, 1 / found]}
                made.append(Result(run, {"condition": found, "largest": 1.0, "directions": 2.0}, curves))
                continue
            steps, name = TRUE[way], way
            for part in ("", given["model"], given["optimiser"], given["set"]):
                name = f"{name}_{part}" if part else name
                steps = changed.get(name, steps)
            steps *= np.exp(spread * draw.standard_normal())
            steps *= 1 if given["rate"] == RATES[given["optimiser"]][1] else 4
            reached = steps < settings.steps
            values = {
                "steps": float(np.round(steps)) if reached else float(settings.steps),
                "reached": float(reached),
                "test_accuracy": accuracy[way] + 0.005 * draw.standard_normal(),
            }
            made.append(Result(run, values))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# The data


def test_each_place_has_a_unit_and_a_zero_of_its_own():
    """The change is affine at each place, the same for both parts, and normalising each place undoes it."""
    from flyroom.data import mnist1d

    plain, changed = mnist1d.make(), claim.prepared("mnist1d", "raw")
    for place in range(40):
        slope, start = np.polyfit(plain.x_train[:, place], changed.x_train[:, place], 1)
        assert 0.1 <= slope <= 10
        assert changed.x_test[:, place] == pytest.approx(
            slope * plain.x_test[:, place] + start, abs=1e-8 * slope + 1e-8
        )
    spreads = changed.x_train.std(0) / plain.x_train.std(0)
    assert spreads.max() / spreads.min() > 20  # units from 0.1 to 10
    standard = (plain.x_train - plain.x_train.mean(0)) / plain.x_train.std(0)
    assert claim.prepared("mnist1d", "feature").x_train == pytest.approx(standard, abs=1e-8)


def test_digits_are_pixels_from_0_to_16_as_rows():
    data = claim.prepared("digits", "raw")
    assert data.x_train.shape == (1438, 64) and (data.x_train.min(), data.x_train.max()) == (0, 16)
    assert (data.x_train == np.round(data.x_train)).all()


@pytest.mark.parametrize("name", SETS)
def test_the_ways_do_what_they_are_called(name):
    whole = claim.prepared(name, "all").x_train
    assert (whole.mean(), whole.std()) == pytest.approx((0, 1), abs=1e-9)
    each = claim.prepared(name, "feature").x_train
    assert each.mean(0) == pytest.approx(0, abs=1e-9)
    assert set(np.round(each.std(0), 9)) <= {0.0, 1.0}
    covariance = np.cov(claim.prepared(name, "zca").x_train.T, bias=True)
    if name == "mnist1d":
        assert covariance == pytest.approx(np.eye(40), abs=1e-5)
    else:
        assert np.linalg.eigvalsh(covariance).max() < 1


@pytest.mark.parametrize("name", SETS)
def test_only_one_way_has_seen_the_test_part(name, monkeypatch):
    """With other test examples in place of these, only the training examples of "both" are others."""
    clean = {way: claim.prepared(name, way).x_train for way in WAYS}
    data = claim._raw(name)
    other = claim.replace(data, x_test=data.x_test[::-1] * 2 + 1)
    monkeypatch.setattr(claim, "_raw", lambda _: other)
    claim.prepared.cache_clear()
    try:
        changed = {way for way in WAYS if not np.array_equal(claim.prepared(name, way).x_train, clean[way])}
    finally:
        claim.prepared.cache_clear()
    assert changed == {"both"}


def test_no_two_ways_share_a_recipe():
    recipes = [str(claim.prepared(name, way).recipe) for name in SETS for way in WAYS]
    assert len(set(recipes)) == len(recipes)


# The curvatures


def test_curvatures_are_the_eigenvalues_of_the_hessian():
    """Against JAX's Hessian of the loss at weights zero: each of ours stands there twice, of three classes."""
    with jax.enable_x64(True):
        random = np.random.default_rng(0)
        x, y = random.standard_normal((30, 4)) * [1, 2, 0, 5] + [0, 3, 0, 1], jnp.asarray(np.arange(30) % 3)
        net = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), Linear.init(jax.random.key(0), 4, 3))
        parameters, rest = eqx.partition(net, eqx.is_array)
        flat, back = ravel_pytree(parameters)
        loss = jax.jit(lambda w: cross_entropy(eqx.combine(back(w), rest), jnp.asarray(x), y))
        hessian = jax.jit(jax.hessian(loss))(flat)
        expected = np.sort(np.linalg.eigvalsh(np.asarray(hessian)))[::-1]
    found = claim.curvatures(x, 3)
    assert len(found) == 4  # one input never varies
    assert np.repeat(found, 2) == pytest.approx(expected[:8], rel=1e-9)
    assert np.abs(expected[8:]).max() < 1e-9  # nothing else is curved


def test_a_mean_makes_one_large_curvature():
    x = np.random.default_rng(0).standard_normal((1000, 20))
    plain, moved = claim.curvatures(x, 10), claim.curvatures(x + 10, 10)
    assert plain[0] / plain[-1] < 2.5 and moved[0] == pytest.approx(20 * 100 / 10, rel=0.01)


def test_whitened_inputs_are_perfectly_conditioned():
    found = claim.curvatures(claim.prepared("mnist1d", "zca").x_train, 10)
    assert found == pytest.approx(np.full(41, 0.1), rel=1e-4)


# What is run


def test_the_prediction_is_in_the_file():
    for said in ("1e8 (1e6-1e10)", "150 (50-400)"):
        assert said in claim.ABOUT.prediction and said in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    curvatures, trained = cells[:10], cells[10:]
    assert all(len(cell.runs) == 1 and not cell.ahead for cell in curvatures)
    momentum, adam = (len(RATES[optimiser]) for optimiser in OPTIMISERS)
    assert len(trained) == 2 * 2 * 4 * (momentum + adam) + 2 * momentum
    assert sum(cell.ahead for cell in trained) == 2 * 2 * 2  # one program for a set, a model and an optimiser
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 10 + 14 * len(trained)


FEW: dict[str, Any] = {"runs": 2, "choosing": 1}


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**FEW | changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=3) and keys() < keys(choosing=2)
    curvatures = {key(run) for cell in claim.cells(Settings(**FEW))[:10] for run in cell.runs}
    assert keys() & keys(steps=500) == curvatures
    assert curvatures < keys(adam=False) < keys()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, choosing 4: each must be at least 1"),
        ({"steps": 19}, "steps 19: the loss is a mean over 20 batches"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=100) < total() < total(runs=20)
    quick = claim.quick(Settings(steps=50))
    assert quick["steps"] == 50 and set(quick) <= {one.name for one in fields(Settings)}


# How it is judged

HEADLINES = (
    *(f"condition-{name}" for name in SETS),
    *(f"momentum-{name}-{model}" for name in SETS for model in MODELS),
)


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert all(len(one.sentence) <= 45 for one in statements.values())
    condition = statements["condition-mnist1d"]
    assert condition.value == pytest.approx(1e3) and condition.evidence == Evidence.exact
    assert statements["condition-digits"].value == pytest.approx(5)
    assert statements["momentum-digits-mlp"].value == 1 and statements["momentum-digits-mlp"].n == 10
    assert statements["momentum-digits-mlp"].p == pytest.approx(4 * 2 / 2**10)
    informing = {one.verdict for name, one in statements.items() if name not in HEADLINES}
    assert informing == {Verdict.supported}
    assert judgement.runs == len(results()) - 10


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"condition": {"all": 9e5}}, {"condition-digits"}),
        ({"raw_mlp": 100.0}, {"momentum-mnist1d-mlp", "momentum-digits-mlp"}),
        ({"raw_linear_momentum_digits": 100.0}, {"momentum-digits-linear"}),
        ({"feature_mlp_momentum_mnist1d": 9999.0}, {"momentum-mnist1d-mlp"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    found = {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted}
    assert found == refuted and judgement.verdict == Verdict.refuted


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"raw_linear_adam_digits": 100.0}, "adam-digits-linear"),
        ({"zca_mlp": 900.0}, "white-digits-mlp"),
        ({"accuracy": {"raw": 0.7}}, "accuracy-mnist1d"),
        ({"accuracy": {"both": 0.62}}, "leak-digits"),
    ],
)
def test_what_informs_can_be_refuted_and_decides_nothing(changed, name):
    judgement, statements = judged(results(**changed))
    assert statements[name].verdict == Verdict.refuted and judgement.verdict == Verdict.supported


def test_without_adam_the_rest_is_judged_all_the_same():
    settings = Settings(adam=False)
    judgement, statements = judged(results(settings), settings)
    assert judgement.verdict == Verdict.supported and not [name for name in statements if name.startswith("adam")]
    assert [row[4] for row in judgement.table[1:]] == [""] * 10


def test_two_that_never_arrive_are_not_told_apart():
    judgement, statements = judged(results(raw_mlp=9999.0, feature_mlp=9999.0))
    assert statements["momentum-mnist1d-mlp"].verdict == Verdict.undecided == judgement.verdict


def test_few_seeds_decide_nothing_but_what_is_exact():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    decided = {n for n, one in statements.items() if one.verdict in (Verdict.supported, Verdict.refuted)}
    assert decided == {"condition-mnist1d", "condition-digits"}


def test_the_table():
    head, *rows = judged(results(raw_mlp=9999.0))[0].table
    assert head[:3] == ("data", "inputs", "condition") and head[-1] == "MLP, test %"
    assert len(rows) == len(SETS) * len(WAYS) and {len(row) for row in rows} == {len(head)}
    assert rows[0][:3] == ("MNIST-1D, units", "as it is", "1e+06") and rows[0][5] == "never"
    assert rows[4][1] == "ZCA, both parts" and rows[4][3:5] == ("", "") and rows[4][5] and not rows[4][6]


def test_a_missing_way_is_an_error():
    made = [one for one in results() if (one.run.settings["what"], one.run.settings["way"]) != ("training", "raw")]
    with pytest.raises(ValueError, match=r"no run of rate .*, set mnist1d, way raw, model linear"):
        judged(made)


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def cell_of(**wanted) -> Cell:
    return next(cell for cell in claim.cells(SMALL) if wanted.items() <= cell.runs[0].settings.items())


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    cell = cell_of(what="training", set="digits", way="all", model="mlp", optimiser="momentum", rate=0.1)
    curvature = cell_of(what="curvature", set="digits", way="all")
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), [curvature, cell, Cell(cell.runs[1:])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    (curved,), made, alone = found
    assert curved.values["condition"] == pytest.approx(curved.curves["curvature"][0] / curved.curves["curvature"][-1])
    assert made[1].values == alone[0].values and made[0].values != made[1].values
    assert made[0].values["steps"] == 40 and made[0].values["test_accuracy"] > 0.5


def test_the_rate_of_descent_is_measured_by_the_largest_curvature(monkeypatch):
    rates = []

    def seen(*given, learning_rate, **named):
        rates.append(learning_rate)
        raise RuntimeError

    monkeypatch.setattr(claim.train, "train_many", seen)
    largest = float(claim.curvatures(claim.prepared("digits", "raw").x_train, 10)[0])
    for optimiser, rate, expected in (("momentum", 0.3, 0.3 / largest), ("adam", 0.01, 0.01)):
        with pytest.raises(RuntimeError):
            claim.run(cell_of(set="digits", way="raw", optimiser=optimiser, rate=rate), SMALL)
        assert rates.pop() == pytest.approx(expected)


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict in (Verdict.undecided, Verdict.refuted)
    assert set(NORMALISED) == set(SETS)
