"""Trajectory regularisation: the term, the networks, certified lengths against sampled ones, verdicts, a small run."""

from dataclasses import fields, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _normed
from flyroom.claims import trajectory_regularisation as claim
from flyroom.claims.trajectory_regularisation import BATCH, KINDS, LINES, POINTS, RATES, STRENGTHS, Settings
from flyroom.losses import cross_entropy
from flyroom.records import Cell, Evidence, Result, Verdict
from flyroom.store import key

SLOW = pytest.mark.slow
SMALL = Settings(runs=1, choosing=1, epochs=1)
DATA = claim._data()
X = jnp.asarray(DATA.x_train[:BATCH], jnp.float32)
Y = jnp.asarray(DATA.y_train[:BATCH], jnp.int32)
LOSS = eqx.filter_jit(claim.regularised_loss)
GRADIENT = eqx.filter_jit(eqx.filter_grad(lambda model: claim.regularised_loss(model, X, Y)[0]))
# Test accuracy at the best rate (the second) and lambda (the first), 5 points less elsewhere; length.
TRUE = {
    ("mlp", "plain"): (0.62, 8.0),
    ("mlp", "batch"): (0.65, 4.0),
    ("mlp", "term"): (0.65, 5.0),
    ("mlp", "layer"): (0.64, 3.0),
    ("cnn", "plain"): (0.72, 6.0),
    ("cnn", "batch"): (0.82, 3.0),
    ("cnn", "term"): (0.82, 2.0),
    ("cnn", "layer"): (0.7, 3.0),
}


def results(settings=Settings(), spread=1.0, lost=(), **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has names such as mlp_term."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            given = run.settings
            accuracy, length = changed.get(f"{given['net']}_{given['kind']}", TRUE[given["net"], given["kind"]])
            best = given["rate"] == RATES[1] and given["strength"] in (None, STRENGTHS[0])
            accuracy += 0.004 * spread * draw.standard_normal() - (0 if best else 0.05)
            values = {"test_accuracy": float(accuracy), "train_accuracy": 0.9}
            curves = {"step": [0.0, 100.0]}
            if run.seed < 1000 and (given["net"], given["kind"], run.seed) not in lost:
                last = length * np.exp(0.05 * spread * draw.standard_normal()) * (1 if best else 9)
                curves |= {f"length_{end}": [10.0, last * (1 + 1e-4 * (end == "high"))] for end in ("low", "high")}
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
    for said in ("62, 63, 61, 61 %", "72, 82, 71, 72 %"):
        assert said in claim.ABOUT.prediction and said in " ".join(str(claim.__doc__).split())


def test_the_default_run():
    cells = claim.cells(Settings())
    assert len(cells) == 2 * (3 + 3 + 6 + 3) and sum(cell.ahead for cell in cells) == 2 * 4  # one program a kind
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == len(cells) * 13
    strengths = {(run.settings["kind"], run.settings["strength"]) for run in runs}
    assert strengths == {("plain", None), ("batch", None), ("layer", None), ("term", 0.01), ("term", 0.1)}


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=11) and keys() < keys(choosing=4)
    assert not keys() & keys(epochs=2)


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"choosing": 0}, {"epochs": -1}])
def test_what_cannot_be_run_is_refused_at_once(wrong):
    with pytest.raises(ValueError, match="each must be at least 1"):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(epochs=2) < total() < total(runs=12)
    quick = claim.quick(Settings(runs=1))
    assert quick == {"runs": 1, "choosing": 1, "epochs": 1} and set(quick) <= {one.name for one in fields(Settings)}


# The term


def test_sums_of_chords():
    """Two lines of three places: a polygon of known length each, and the mean of the two."""
    corners = np.zeros((3, 2, POINTS))
    corners[0, 0] = 3.0 * np.arange(POINTS)
    corners[1, 0] = 4.0 * np.arange(POINTS)
    corners[2, 1] = np.arange(POINTS) % 2
    found = claim.chords(jnp.asarray(corners.reshape(3, -1)))
    assert float(found) == pytest.approx((5 + 1) * (POINTS - 1) / 2)
    assert np.isfinite(jax.grad(claim.chords)(jnp.zeros((3, 2 * POINTS)))).all()  # also of chords of no length


def test_lines_follow_the_examples():
    rows = np.asarray(claim.with_lines(X, X[: 2 * LINES]))
    assert rows.shape == (BATCH + LINES * POINTS, 40)
    np.testing.assert_array_equal(rows[:BATCH], X)
    line = rows[BATCH + POINTS : BATCH + 2 * POINTS]  # the second, from the third example to the fourth
    for place, weight in ((0, 0.0), (2, 0.25), (POINTS - 1, 1.0)):
        np.testing.assert_allclose(line[place], (1 - weight) * X[2] + weight * X[3], rtol=1e-5, atol=1e-6)


def by_hand(model, ends) -> list[float]:
    """The lengths before every ReLU of a dense network, in NumPy and float64, line by line."""
    t = np.linspace(0, 1, POINTS)[:, None]
    found = np.zeros(len(model.net.layers))
    for x0, x1 in zip(ends[0::2], ends[1::2], strict=True):
        hidden = np.asarray(x0, np.float64) * (1 - t) + np.asarray(x1, np.float64) * t
        for number, layer in enumerate(model.net.layers):
            given = hidden @ np.asarray(layer.weight, np.float64).T + np.asarray(layer.bias, np.float64)
            found[number] += np.linalg.norm(np.diff(given, axis=0), axis=1).sum() / (len(ends) / 2)
            hidden = np.maximum(given, 0)
    return found.tolist()


def test_the_loss_adds_lambda_times_current_over_initial_length():
    model = claim.network("mlp", "term", 0.1, 3)
    changed = eqx.tree_at(lambda m: [one.weight for one in m.net.layers], model, replace_fn=lambda weight: 1.5 * weight)
    now, plain = by_hand(changed, np.asarray(X[: 2 * LINES])), cross_entropy(changed, X, Y)
    loss, kept = LOSS(changed, X, Y)
    expected = 0.1 * sum(np.divide(now, [float(one) for one in model.running]))
    assert expected > 0.4 and float(loss) - float(plain) == pytest.approx(expected, rel=1e-3)
    np.testing.assert_array_equal(kept, model.running)
    again = LOSS(claim.network("mlp", "term", 0.01, 3), X, Y)[0]
    first = sum(np.divide(by_hand(model, np.asarray(X[: 2 * LINES])), [float(one) for one in model.running]))
    assert float(again) - float(cross_entropy(model, X, Y)) == pytest.approx(0.01 * first, rel=0.01)


def test_initial_lengths_are_those_of_the_first_weights():
    model = claim.network("mlp", "term", 0.1, 3)
    ends = np.random.default_rng([3, 1]).choice(4000, 2 * claim.FIRST, replace=False)
    expected = by_hand(model, DATA.x_train[ends].astype(np.float32))
    np.testing.assert_allclose([float(one) for one in model.running], expected, rtol=1e-4)


@pytest.mark.parametrize("net", ["mlp", pytest.param("cnn", marks=SLOW)])
def test_the_gradient_shortens_and_leaves_alone_what_is_fixed(net):
    """No gradient for initial lengths and a fixed lambda, one for a learned lambda; a step along it shortens."""
    for kind, strength in (("term", 10.0), ("layer", None)):
        model = claim.network(net, kind, strength, 0)
        gradient = GRADIENT(model)
        assert all(float(one) == 0 for one in gradient.running)
        assert [float(norm.strength) != 0 for norm in gradient.net.norms] == [kind == "layer"] * 3
        if kind == "term":
            stepped = eqx.apply_updates(model, jax.tree.map(lambda leaf: -1e-3 * leaf, gradient))
            before, after = (claim._initial(one.net, X, X[: 2 * LINES]) for one in (model, stepped))
            assert all(float(short) < 0.99 * float(long) for short, long in zip(after, before, strict=True))


# The networks


@pytest.mark.parametrize("net", ["mlp", pytest.param("cnn", marks=SLOW)])
def test_all_kinds_begin_with_the_same_weights_and_the_same_function(net):
    models = {kind: claim.network(net, kind, 0.1 if kind == "term" else None, 5) for kind in KINDS}
    expected = jax.tree.leaves(models["plain"].net.layers)
    for model in models.values():
        for one, other in zip(jax.tree.leaves(model.net.layers), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        # Running statistics are 0 and 1 at first.
        np.testing.assert_allclose(model(X), models["plain"](X), rtol=1e-3, atol=1e-4)
    assert not jnp.array_equal(expected[0], jax.tree.leaves(claim.network(net, "plain", None, 6).net.layers)[0])


def test_a_learned_lambda_scales_what_goes_on_in_training_and_afterwards():
    norm = claim.Measured(jnp.asarray(2.0), True)
    x = jnp.concatenate([X, X[:POINTS]]).T
    y, length = norm.train(x, norm.begin())
    np.testing.assert_array_equal(y, 2 * x)
    np.testing.assert_array_equal(norm.inference(x, norm.begin()), 2 * x)
    assert float(length) == float(claim.chords(x[:, BATCH:]))
    fixed = replace(norm, learned=False)
    assert fixed.inference(x, norm.begin()) is x
    assert float(norm.weight()) == pytest.approx(0.02) and float(fixed.weight()) == 2


# Lengths


@pytest.mark.parametrize(
    ("net", "kind"),
    [
        ("mlp", "layer"),
        pytest.param("mlp", "batch", marks=SLOW),
        pytest.param("cnn", "layer", marks=SLOW),
        pytest.param("cnn", "batch", marks=SLOW),
    ],
)
def test_certified_lengths_against_sampled_ones(net, kind):
    """The outputs of every ReLU at 20,001 points of the line, in float64: just below the length, not above it."""
    model = claim.network(net, kind, None, 2)
    model = eqx.tree_at(lambda m: m.net.norms[1], model, replace_fn=scaled)
    curves: Any = claim.lengths(model, DATA, 7)
    assert len(curves["length_low"]) == len(model.net.norms)
    random = np.random.default_rng([7, 2])
    first = random.integers(1000)
    second = random.choice(np.flatnonzero(DATA.y_test != DATA.y_test[first]))
    assert DATA.y_test[first] != DATA.y_test[second]
    t = np.linspace(0, 1, 20_001)[:, None]
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array(leaf) else leaf, model)
        x = jnp.asarray(DATA.x_test[first] * (1 - t) + DATA.x_test[second] * t)
        seen = []
        hidden = x.T[None] if net == "cnn" else x.T
        for layer, norm, running in zip(wide.net.layers, wide.net.norms, wide.running, strict=True):
            hidden = jnp.maximum(norm.inference(layer(hidden), running), 0)
            seen.append(np.asarray(hidden).reshape(-1, len(t)))
            hidden = _normed.maximum(hidden, 2) if net == "cnn" else hidden
    for low, high, y in zip(curves["length_low"], curves["length_high"], seen, strict=True):
        sampled = np.linalg.norm(np.diff(y, axis=1), axis=0).sum()
        assert low * (1 - 1e-3) < sampled <= high * (1 + 1e-12) and 0 < high - low <= 1e-3 * high


def scaled(norm):
    """A norm that does something: of a network that has not been trained it hands on what it is given."""
    if isinstance(norm, claim.Measured):
        return replace(norm, strength=jnp.asarray(1.7))
    return replace(norm, gain=1.7 * norm.gain, bias=norm.bias + 0.1)


# How it is judged

HEADLINES = ("as-well-mlp", "as-well-cnn", "batch-shorter-mlp", "batch-shorter-cnn")


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert statements["as-well-cnn"].value == pytest.approx(0, abs=0.005)
    assert statements["layer-as-well-cnn"].verdict == Verdict.refuted
    assert statements["batch-helps-cnn"].value == pytest.approx(0.1, abs=0.005)
    assert statements["term-helps-mlp"].value == pytest.approx(0.03, abs=0.005)
    assert statements["batch-shorter-mlp"].value == pytest.approx(np.log(2), abs=0.1)
    assert statements["batch-shorter-mlp"].p == pytest.approx(2 * 2 / 2**10)
    assert statements["term-shorter-cnn"].value == pytest.approx(np.log(3), abs=0.1)
    assert statements["batch-shorter-cnn"].n == 10


def test_rates_and_lambda_are_chosen_by_seeds_that_do_not_judge():
    made = []
    for one in results():
        given = one.run.settings
        lucky = given["kind"] == "term" and given["strength"] == 0.1 and given["rate"] == 0.3
        value = {True: 0.99 if one.run.seed < 1000 else 0.0}.get(lucky, one.values["test_accuracy"])
        made.append(Result(one.run, {**one.values, "test_accuracy": value}, one.curves))
    assert claim.chosen(made, "mlp", "term") == (0.01, 0.1) and claim.chosen(made, "cnn", "batch") == (None, 0.1)
    assert max(claim.judging(made, "mlp", "term")) < 0.7 and len(claim.judging(made, "mlp", "term")) == 10


def test_numbers_are_certified_and_means_are_estimates():
    made = results()
    statements = judged(made)[1]
    assert statements["certified"].evidence == Evidence.certified and statements["certified"].n == 30 * 10 * 2
    assert statements["certified"].value == pytest.approx(1e-4, rel=1e-3)
    assert all(one.evidence == Evidence.estimate for name, one in statements.items() if name != "certified")
    # Where every unit is dead the length is 0, up to rounding; an interval that says nothing is another matter.
    for end, verdict in ((1e-140, Verdict.supported), (0.1, Verdict.undecided)):
        made[-4] = Result(made[-4].run, made[-4].values, {"length_low": [0.0, 0.0], "length_high": [end, end]})
        assert made[-4].run.seed < 1000 and judged(made)[1]["certified"].verdict == verdict


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"mlp_term": (0.6, 5.0)}, {"as-well-mlp"}),
        ({"cnn_term": (0.75, 5.0)}, {"as-well-cnn"}),
        ({"mlp_batch": (0.65, 16.0), "cnn_batch": (0.82, 12.0)}, {"batch-shorter-mlp", "batch-shorter-cnn"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(mlp_term=(0.63, 5.0), spread=3))
    assert judgement.verdict == statements["as-well-mlp"].verdict == Verdict.undecided
    few = Settings(runs=5)
    _, statements = judged(results(few), few)
    assert all(one.verdict == Verdict.undecided for one in statements.values() if one.id != "certified")


def test_networks_without_lengths_are_left_out_of_pairs():
    made = results(lost=(("mlp", "batch", 1), ("mlp", "plain", 4)))
    statements = judged(made)[1]
    assert statements["batch-shorter-mlp"].n == 8 and statements["term-shorter-mlp"].n == 9
    with pytest.raises(ValueError, match="no lengths of net cnn, kind term and of plain are stored"):
        judged(results(lost=[("cnn", "term", seed) for seed in range(10)]))


def test_a_missing_kind_is_an_error():
    made = [one for one in results() if one.run.settings["kind"] != "batch"]
    with pytest.raises(ValueError, match=r"no run of net mlp, kind batch, strength None, rate 0.03 is stored"):
        judged(made)


def test_the_table():
    head, *rows = judged(results())[0].table
    assert len(rows) == 8 and all(len(row) == len(head) for row in rows)
    assert rows[2][:4] == ("dense", "term", "0.01", "0.1") and rows[1][2] == ""
    assert float(rows[4][-1]) == pytest.approx(6, rel=0.1)


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
    """Whatever else is in the cell, a network gives the same numbers; those that choose have no lengths."""
    cell = next(cell for cell in claim.cells(SMALL) if cell.runs[0].settings["kind"] == "term")
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), [cell, Cell(cell.runs[:1])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    (judge, choose), (alone,) = found
    assert judge.values == alone.values and judge.curves == alone.curves
    assert judge.curves["step"] == [0.0, 8.0, 16.0, 24.0, 32.0, 40.0] and len(judge.curves["length_low"]) == 3
    assert min(judge.curves["length_low"]) > 0 and "length_low" not in choose.curves and choose.run.seed == 1000
    assert judge.run.settings == {"net": "mlp", "kind": "term", "strength": 0.01, "rate": 0.03, "epochs": 1}


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
