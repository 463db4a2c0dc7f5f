"""Batch norm and batch size: variances of means against closed forms, the networks, verdicts, a small run."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _batch_mean, _normed
from flyroom.claims import batch_norm_batch_size as claim
from flyroom.claims.batch_norm_batch_size import Settings
from flyroom.data import mnist1d
from flyroom.nets.conv import CNN
from flyroom.nets.mlp import MLP
from flyroom.nets.norms import BatchNorm, LayerNorm
from flyroom.nets.spec import parameters
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, epochs=1, batches="50-100")
BATCHES = (2, 4, 8, 16, 32, 64, 128)
TRUE = {
    **{("mlp", "batch", size): 0.62 for size in BATCHES},
    **{("mlp", "alone", size): 0.6 for size in BATCHES},
    **{("cnn", "batch", size): 0.72 for size in BATCHES},
    **{("cnn", "alone", size): 0.7 for size in BATCHES},
    ("mlp", "batch", 2): 0.2,
    ("mlp", "batch", 4): 0.45,
    ("cnn", "batch", 2): 0.62,
}
MEASURED = {"slope_independent": -1.0, "slope_signals": -1.0, "slope_positions": -0.35, "effective": 5.0}
DATA = mnist1d.make()
X = jnp.asarray(DATA.x_train[:60], jnp.float32)


def results(settings=Settings(), accuracy=None, spread=1.0, over_expected=1.0, **measured) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand."""
    accuracy, measured = TRUE | (accuracy or {}), MEASURED | measured | {"over_expected": over_expected}
    draw = np.random.default_rng(0)
    found = claim.sizes(settings)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            if "variances" in run.settings:
                values = {name: float(value + 0.01 * draw.standard_normal()) for name, value in measured.items()}
                curves = {"batch": [float(size) for size in found], "window": [1.0, 2.0], "windows": [0.06, 0.05]}
                curves |= {name: [1 / size for size in found] for name in ("independent", "signals", "expected")}
                made.append(Result(run, values, curves))
                continue
            place = run.settings["net"], run.settings["norm"], run.settings["batch"]
            value = float(accuracy[place] + 0.006 * spread * draw.standard_normal())
            values = {"test_accuracy": value, "recomputed_accuracy": value + (0.05 if place[1] == "batch" else 0.0)}
            if place == ("mlp", "batch", 2) and run.seed == 1:
                values["diverged_at_step"] = 17.0
            made.append(Result(run, values, {"step": [0.0, 100.0]}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    for part in ("20 +- 10, 45 +- 7, 56 +- 4", "-0.35 +- 0.15", "62 +- 8 % at 2"):
        assert part in claim.ABOUT.prediction and part in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [cell.ahead for cell in cells] == [False] + [True] * 22  # what trains nothing comes first
    places = {(place["net"], place["norm"], place["batch"]) for cell in cells[1:] for place in [cell.runs[0].settings]}
    assert places == {place for place in TRUE if place[0] == "mlp" or place[2] in (2, 8, 32, 128)}
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 230


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    variances = {key(run) for run in claim.cells(Settings())[0].runs}
    for changed in ({"epochs": 10}, {"learning_rate": 0.2}):
        assert keys() & keys(**changed) == variances
    trained = {key(run) for cell in claim.cells(Settings(batches="2-8-32"))[1:] for run in cell.runs}
    assert trained < keys()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"epochs": 0}, "epochs 0: each must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.1"),
        ({"batches": "8"}, "batches '8': give two or more"),
        ({"batches": "1-8"}, "batches '1-8'"),
        ({"batches": "8-many"}, "batches '8-many'"),
        ({"batches": "8-1001"}, "batches '8-1001'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


@pytest.mark.parametrize(
    ("found", "large", "convolution"),
    [
        (BATCHES, 32, (2, 8, 32, 128)),
        ((2, 4), 4, (2, 4)),
        ((64, 128, 256), 128, (64, 128, 256)),
        ((2, 64), 64, (2, 64)),
    ],
)
def test_what_small_batches_are_compared_with(found, large, convolution):
    assert claim.reference(found) == large
    assert claim.compared("mlp", found) == found and claim.compared("cnn", found) == convolution


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(epochs=2) < total() < total(runs=12)
    quick = claim.quick(Settings(runs=1))
    assert quick == {"runs": 1, "epochs": 1, "batches": "8-32"} and set(quick) <= {one.name for one in fields(Settings)}


# Variances of a mean


def random_values(correlation: float) -> np.ndarray:
    """Activations (example, position, channel) whose neighbours are correlated, with means of their own by position."""
    random = np.random.default_rng(0)
    values = random.standard_normal((3000, 12, 2))
    for position in range(1, 12):
        values[:, position] = correlation * values[:, position - 1] + (1 - correlation**2) ** 0.5 * values[:, position]
    return values + np.arange(12)[:, None]


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_variance_of_one_signals_mean_is_that_of_the_mean(correlation):
    """Exactly: autocovariances against the variance over examples of the mean over positions."""
    values = random_values(correlation)
    covariance = _batch_mean.autocovariance(values)
    np.testing.assert_allclose(_batch_mean.of_one_signal(covariance), values.mean(1).var(0), rtol=1e-10)
    np.testing.assert_allclose(covariance[0], values.var(0).mean(0), rtol=1e-10)


def test_the_effective_number_of_positions_of_a_known_process():
    """Correlations r^k: n / (1 + 2 sum of (1 - k / n) r^k)."""
    correlation, lags = 0.8, np.arange(1, 12)
    effective = 12 / (1 + 2 * ((1 - lags / 12) * correlation**lags).sum())
    covariance = _batch_mean.autocovariance(random_values(correlation))
    np.testing.assert_allclose(covariance[0] / _batch_mean.of_one_signal(covariance), effective, rtol=0.06)


def test_a_convolution_is_numpys():
    signals = np.random.default_rng(0).standard_normal((3, 40))
    found = _batch_mean.activations(signals, np.random.default_rng(5))
    weights = np.random.default_rng(5).uniform(-1, 1, (5, 8)) / np.sqrt(5)
    assert found.shape == (3, 40, 8)
    np.testing.assert_allclose(
        found[1, :, 2], np.convolve(signals[1], weights[::-1, 2], "same"), rtol=1e-10, atol=1e-12
    )


def test_measured_variances_fall_as_they_should(monkeypatch):
    """Independent values as 1 / N, signals as 1 / B, neighbours more slowly; four standard errors."""
    values, random = random_values(0.8), np.random.default_rng(1)
    expected = values.mean(1).var(0).mean()
    rough = 4 * np.sqrt(2 / (2 * _batch_mean.BATCHES))
    for batch in (2, 16):
        assert _batch_mean.of_batches(values, batch, random).mean() == pytest.approx(expected / batch, rel=rough)
        found = _batch_mean.of_independent(values, batch, random).mean()
        assert found == pytest.approx(values.var((0, 1)).mean() / batch, rel=rough)
    monkeypatch.setattr(_batch_mean, "WINDOWS", (1, 2, 4, 8))
    runs = dict(zip((1, 2, 4, 8), _batch_mean.of_windows(values, random).mean(1), strict=True))
    assert runs[1] == pytest.approx(1 / 16, rel=rough)
    for size in (2, 4, 8):
        means = np.stack([values[:, start : start + size].mean(1) for start in range(13 - size)])
        assert runs[size] == pytest.approx(means.var(1).mean() / 16, rel=rough)


def test_the_variances_of_a_run(monkeypatch):
    monkeypatch.setattr(_batch_mean, "BATCHES", 200)
    runs = claim.cells(Settings())[0].runs
    found, again = claim.variances(runs[0], (2, 8, 32)), claim.variances(runs[0], (2, 8, 32))
    assert found == again and found.values != claim.variances(runs[1], (2, 8, 32)).values
    assert found.values["slope_signals"] == pytest.approx(-1, abs=0.15)
    assert found.values["slope_independent"] == pytest.approx(-1, abs=0.15)
    assert found.values["slope_independent"] < found.values["slope_positions"] - 0.1
    assert found.values["over_expected"] == pytest.approx(1, abs=0.25)
    assert found.curves["expected"][0] == pytest.approx(1 / found.values["effective"] / 2)


# The networks


def test_a_network_without_its_norms_is_the_plain_one():
    nothing = lambda width: _normed.Alone(lambda x: x)  # noqa: E731
    net = _normed.mlp(jax.random.key(0), nothing, (40, 30, 20, 10))
    np.testing.assert_allclose(
        net.train(X, net.begin())[0], MLP.init(jax.random.key(0), (40, 30, 20, 10))(X), rtol=1e-5
    )
    other = _normed.mlp(jax.random.key(0), nothing, (40, 30, 20, 10), order="relu first")
    np.testing.assert_allclose(other.inference(X, other.begin()), net.inference(X, net.begin()), rtol=1e-5)


def test_either_order_of_norm_and_relu():
    def norm(width):
        return _normed.Alone(LayerNorm.init(width))

    first, last = MLP.init(jax.random.key(0), (40, 30, 10)).layers
    given = np.asarray(first(X.T))
    for order in ("norm first", "relu first"):
        rectify = [lambda h: np.maximum(h, 0), lambda h: (h - h.mean(0)) / np.sqrt(h.var(0) + 1e-5)]
        steps = rectify[::-1] if order == "norm first" else rectify
        expected = last(jnp.asarray(steps[1](steps[0](given)))).T
        net = _normed.mlp(jax.random.key(0), norm, (40, 30, 10), order=order)
        np.testing.assert_allclose(net.train(X, net.begin())[0], expected, rtol=1e-4, atol=1e-5)


def test_the_convolutional_network():
    """16 channels of 5 + 1 and of 16 x 3 + 1 weights, two norms, a dense layer; 40, 20, 10 positions."""
    net = claim.network("cnn", "batch", 0).net
    assert parameters(net) == 16 * 6 + 16 * 49 + 4 * 16 + 170
    assert [rectified.shape for rectified, _ in net.outputs(X)] == [(16, 40, 60), (16, 20, 60)]
    assert isinstance(CNN.init(jax.random.key(0)).convolutions[0], type(net.layers[0]))


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_either_norm_has_the_same_first_weights_and_batch_norm_alone_sees_the_batch(net):
    batch, alone = (claim.network(net, norm, 3) for norm in ("batch", "alone"))
    for one, other in zip(jax.tree.leaves(batch.net.layers), jax.tree.leaves(alone.net.layers), strict=True):
        np.testing.assert_array_equal(one, other)
    for model, same in ((batch, False), (alone, True)):
        whole, part = (model.net.train(x, model.running)[0][:5] for x in (X, X[:20]))
        assert np.allclose(whole, part, rtol=1e-4, atol=1e-5) == same


def test_statistics_of_all_examples():
    """At inference by the statistics of a batch: what training makes of that batch, but for n / (n - 1)."""
    net = _normed.mlp(jax.random.key(0), BatchNorm.init, (40, 30, 20, 10))
    model = _normed.with_statistics_of(net, X)
    np.testing.assert_allclose(model(X), net.train(X, net.begin())[0], rtol=0.1, atol=0.02)
    given = np.asarray(net.layers[0](X.T))
    np.testing.assert_allclose(model.running[0].mean, given.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.running[0].variance, given.var(1, ddof=1), rtol=1e-4)
    assert model.net.norms[0].new_weight == 0.1  # nothing else has changed


def test_a_loss_of_training_returns_the_statistics_that_follow():
    model = claim.network("mlp", "batch", 0)
    loss, running = _normed.training_loss(model, X, jnp.asarray(DATA.y_train[:60], jnp.int32))
    logits, expected = model.net.train(X, model.running)
    chosen = jax.nn.log_softmax(logits)[jnp.arange(60), jnp.asarray(DATA.y_train[:60])]
    assert float(loss) == pytest.approx(-float(chosen.mean()), rel=1e-5)
    np.testing.assert_array_equal(running[1].mean, expected[1].mean)


# How it is judged

HEADLINES = (
    *("independent", "signals", "positions", "closed-form"),
    *("small-costs", "layer-norm", "positions-help"),
)


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["small-costs"].value == pytest.approx(0.42, abs=0.01)
    assert statements["small-costs"].sentence == "Batch norm: 2 costs > 5 % against 32"
    assert statements["positions-help"].value == pytest.approx(0.32, abs=0.01)
    assert statements["running"].value == pytest.approx(0.05, abs=1e-9)
    assert statements["training-itself"].verdict == Verdict.supported
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert judgement.runs == 220  # networks, not variances


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"slope_independent": -0.9}, {"independent"}),
        ({"slope_signals": -1.1}, {"signals"}),
        ({"slope_positions": -0.95}, {"positions"}),
        ({"over_expected": 1.2}, {"closed-form"}),
        ({"accuracy": {("mlp", "batch", 2): 0.61}}, {"small-costs", "positions-help"}),
        ({"accuracy": {("mlp", "alone", 2): 0.5}}, {"layer-norm"}),
        ({"accuracy": {("cnn", "batch", 2): 0.1}}, {"positions-help"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(accuracy={("mlp", "alone", 2): 0.57}))
    assert judgement.verdict == statements["layer-norm"].verdict == Verdict.undecided
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_says_who_diverged():
    head, *rows = judged(results())[0].table
    assert len(head) == 6 and [row[0] for row in rows] == [str(size) for size in BATCHES]
    assert rows[0][1].endswith(", 1 diverged") and "diverged" not in rows[1][1]
    assert rows[1][4] == rows[1][5] == "" != rows[2][4]  # the convolutions have every second size


def test_what_is_missing_is_an_error():
    with pytest.raises(ValueError, match="no run of variances is stored"):
        judged([one for one in results() if "variances" not in one.run.settings])
    with pytest.raises(ValueError, match="no run of net cnn, norm alone, batch 32 is stored"):
        judged(
            [one for one in results() if one.run.settings.get("norm") != "alone" or one.run.settings["net"] == "mlp"]
        )


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    cells = claim.cells(SMALL)
    chosen = [cells[1], Cell(cells[1].runs[1:]), cells[-1]]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), chosen):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    made, alone, other = found
    assert made[1].values == alone[0].values and made[0].values != made[1].values
    assert made[0].run.settings == {"net": "mlp", "norm": "batch", "batch": 50, "epochs": 1}
    assert made[0].curves["step"] == [0.0, 16.0, 32.0, 48.0, 64.0, 80.0]
    assert made[0].values["test_accuracy"] > 0.2 and made[0].values["recomputed_accuracy"] > 0.2
    assert made[0].curves["test_accuracy"] != made[0].curves["recomputed_accuracy"]
    assert other[0].run.settings["net"] == "cnn"
    assert other[0].curves["test_accuracy"] == other[0].curves["recomputed_accuracy"]  # group norm has no statistics


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
