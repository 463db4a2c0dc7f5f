"""The claim on a learned activation: its table, its training, its cells, its verdict, and a small run of everything."""

from dataclasses import replace

import altair
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot
from flyroom.claims import _meta_activation as inner_training
from flyroom.claims import _meta_table as tables
from flyroom.claims import _meta_verdict as verdict
from flyroom.claims import meta_activation as claim
from flyroom.claims.meta_activation import Settings
from flyroom.records import Dataset, Result, Run, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, outer_steps=2, steps=4, last=3, hidden=6, transfer=False)
ACCURACY = {
    "learned": 0.66,
    "relu": 0.59,
    "swish": 0.58,
    "elu": 0.51,
    "softplus": 0.44,
    "tanh": 0.51,
    "sigmoid": 0.35,
    "pieces": 0.66,
}


def made(accuracy=ACCURACY, curve="swish", lift=2.0, loss=1.10, own=0.67, runs=10, transfer=True, outer=11):
    """Stored results as they would be, made by hand, with a little spread over seeds."""
    draw = np.random.default_rng(0)
    x = claim.AT
    shape = verdict.fixed(curve, x) + lift * ((x > -4.5) & (x < -0.5))
    results = []
    for name, mean in accuracy.items():
        for seed in range(runs):
            value = mean + 0.004 * draw.standard_normal()
            values = {"test_accuracy": value, "first_accuracy": value, "outer_loss": 1.0}
            values["mean_loss"] = (loss if name == "learned" else verdict.PUBLISHED_LOSS.get(name, 1.1)) + 0.1 * (
                mean - value
            )
            if transfer:
                values |= dict.fromkeys(verdict.TRANSFERS, value)
            curves = {}
            if name == "learned":
                values["own_first_accuracy"] = own + mean - value
                way = [1.352 + mean - value, *[1.0] * (outer - 2), 1.033]
                curves = {"outer_loss": way, "x": x.tolist(), "curve": (shape + 0.01 * seed).tolist()}
                curves |= {"curve_0": np.maximum(x, 0).tolist(), f"curve_{outer - 1}": curves["curve"]}
            results.append(Result(Run("meta-activation", 1, {"activation": name}, seed, {}), values, curves))
    return results


def judged(results):
    judgement = claim.judge(results, Settings())
    return judgement, {one.id: one for one in judgement.statements}


# The table


def curve(seed: int, steep: float = 3.0) -> tables.Curve:
    """A g with slopes as steep as learned ones."""
    draw = np.random.default_rng(seed)
    into, shift, out = (draw.uniform(-1, 1, 100).astype(np.float32) for _ in range(3))
    return tables.Curve(steep * into, shift, 0.3 * out, np.array(0.1, np.float32))


def test_the_exact_function_is_elu_and_a_network_written_out():
    one = curve(0)
    for x in (-3.0, -0.2, 0.0, 1.7):
        g = sum(o * np.tanh(w * x + b) for w, b, o in zip(one.into, one.shift, one.out, strict=True)) + 0.1
        elu = x if x > 0 else np.exp(x) - 1
        assert float(tables.exactly(one, jnp.float32(x))) == pytest.approx(elu + 0.2 * g, abs=2e-6)


def test_the_table_has_the_value_slope_and_curvature_of_the_function():
    one = curve(1)
    # Places over the whole range; at 0 itself the curvature of ELU jumps.
    x = jnp.asarray(np.random.default_rng(0).uniform(-15, 15, 400).astype(np.float32))
    table = tables.tabulate(one)

    def three(f):
        slope = jax.grad(f)
        return jax.vmap(lambda x: jnp.stack([f(x), slope(x), jax.grad(slope)(x)]))(x)

    exact, read = jax.jit(lambda: (three(lambda x: tables.exactly(one, x)), three(lambda x: tables.read(table, x))))()
    np.testing.assert_allclose(read[:, 0], exact[:, 0], atol=4e-6)
    np.testing.assert_allclose(read[:, 1], exact[:, 1], atol=2e-5)
    np.testing.assert_allclose(read[:, 2], exact[:, 2], atol=2e-3)


def test_beyond_its_ends_the_table_is_a_straight_line():
    table = tables.tabulate(curve(2))
    values = np.asarray(tables.read(table, jnp.asarray([15.99, 17.0, 18.0, 19.0], jnp.float32)))
    assert values[3] - values[2] == pytest.approx(values[2] - values[1], rel=1e-4)
    assert values[1] - values[0] == pytest.approx(1.01, abs=0.03)  # ELU's slope; g is flat there
    assert np.isnan(tables.read(table, jnp.float32(np.nan)))


def test_the_distance_between_shapes_forgets_scale_and_offset():
    x = np.linspace(-5, 5, 201)
    assert tables.distance(3 - 2 * np.tanh(x), np.tanh(x)) == pytest.approx(0, abs=1e-12)
    # What a line leaves of x^2 on a symmetric grid is its deviation from its mean.
    assert tables.distance(x**2, x) == pytest.approx(np.std(x**2))


# The trainings


@pytest.fixture(scope="module")
def data() -> Dataset:
    draw = np.random.default_rng(5)
    x, y = draw.standard_normal((60, 40)), draw.integers(0, 10, 60)
    return Dataset("made up", x[:40], y[:40], x[40:], y[40:], tuple("0123456789"))


def test_an_inner_training_is_rmsprop_written_out_in_numpy(data):
    inner, drawn = inner_training.Inner(steps=5, last=2), inner_training.draw(0, 5, 6, 0.1)
    (found,) = inner_training.attempt(inner, "tanh", [curve(0)], [drawn], inner_training.examples(data, 10))
    w = [np.asarray(leaf, float) for leaf in drawn.weights]
    squares, losses = [np.ones_like(leaf) for leaf in w], []

    def forward(x, noise):
        hidden = np.tanh(x @ w[0].T + w[1])
        return hidden, (hidden + noise) @ w[2].T + w[3]

    for step in range(5):
        taken = slice(10 * (step % 4), 10 * (step % 4) + 10)
        x, y = data.x_train[taken], data.y_train[taken]
        hidden, logits = forward(x, drawn.noise[step])
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        losses.append(-np.log(p[np.arange(10), y]).mean())
        d = (p - np.eye(10)[y]) / 10
        back = d @ w[2] * (1 - hidden**2)
        gradient = [back.T @ x, back.sum(0), d.T @ (hidden + drawn.noise[step]), d.sum(0)]
        squares = [0.4 * s + 0.6 * g**2 for s, g in zip(squares, gradient, strict=True)]
        w = [a - 0.01 * g / (np.sqrt(s) + 1e-8) for a, g, s in zip(w, gradient, squares, strict=True)]
    right = forward(data.x_test, drawn.noise[5])[1].argmax(1) == data.y_test
    assert found["mean_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found["outer_loss"] == pytest.approx(np.mean(losses[-2:]), rel=1e-5)
    assert found["test_accuracy"] == found["first_accuracy"] == right.mean()


def test_the_outer_gradient_through_the_table_is_the_exact_one(data):
    """A short training; g computed everywhere against g read from its table."""
    inner, drawn = inner_training.Inner(steps=6, last=4), inner_training.draw(1, 6, 5, 0.1)
    given, one = inner_training.examples(data, 10), jax.tree.map(jnp.asarray, curve(3))

    @jax.jit
    def both(one):
        return [
            jax.grad(lambda c, exact=exact: inner_training.outer_loss(c, inner, drawn, given, exact=exact)[0])(one)
            for exact in (False, True)
        ]

    for read, exact in zip(*both(one), strict=True):
        assert float(jnp.max(jnp.abs(exact))) > 1e-5
        np.testing.assert_allclose(read, exact, rtol=1e-3, atol=1e-3 * float(jnp.max(jnp.abs(exact))))


@pytest.mark.slow
def test_an_outer_step_is_a_clamped_step_down_the_gradient(data):
    inner, drawn = inner_training.Inner(steps=4, last=3), inner_training.draw(2, 4, 5, 0.1)
    given, one = inner_training.examples(data, 10), inner_training.first_curve(7)
    clip = 1e-3
    (found,) = inner_training.learn(inner_training.Outer(inner, 2, 0.3, clip), [one], [drawn], given)
    step = jax.grad(lambda c: inner_training.outer_loss(c, inner, drawn, given)[0])
    gradient = step(jax.tree.map(jnp.asarray, one))
    assert float(jnp.max(jnp.abs(gradient.out))) > clip > float(jnp.min(jnp.abs(gradient.into)))
    for name in one._fields:
        moved = getattr(one, name) - 0.3 * np.clip(getattr(gradient, name), -clip, clip)
        np.testing.assert_allclose(getattr(found["curve"], name)[1], moved, atol=1e-6)


def test_noise_of_a_step_depends_on_seed_and_step_only():
    short, long = (inner_training.draw(4, steps, 8, 0.1) for steps in (3, 9))
    np.testing.assert_array_equal(short.noise, long.noise[:4])
    assert (
        0.09 < np.abs(long.noise_of_g).max() <= 0.1 and (short.noise != inner_training.draw(5, 3, 8, 0.1).noise).all()
    )


@pytest.mark.parametrize(("x", "y"), [(-3, 0.45), (-1.5, 0.475), (-0.5, -0.25), (0, -0.75), (0.5, -0.75), (2, 1.0)])
def test_the_published_six_pieces(x, y):
    assert float(inner_training.pieces(jnp.float32(x))) == pytest.approx(y)


# What is run


def keys(settings: Settings, learned: bool) -> set[str]:
    runs = [one for cell in claim.cells(settings) for one in cell.runs]
    return {key(one) for one in runs if (one.settings["activation"] == "learned") == learned}


def test_the_prediction_and_the_default_run():
    assert ".965" in claim.ABOUT.prediction and "59 +- 2 %" in claim.ABOUT.prediction
    assert "301" in claim.ABOUT.shortened and claim.faithful(Settings()) == {"outer_steps": 301}
    cells = claim.cells(Settings())
    assert [cell.runs[0].settings["activation"] for cell in cells] == list(inner_training.NAMES)
    assert all(len(cell.runs) == 10 for cell in cells)
    assert claim.cost(cells[0].runs[0]) > claim.cost(cells[1].runs[0]) > 0


@pytest.mark.parametrize(
    ("changed", "learned", "fixed"),
    [
        ({"runs": 9}, False, False),
        ({"outer_steps": 301}, True, False),
        ({"clip": 0.2}, True, False),
        ({"steps": 300}, True, True),
        ({"noise": 0.0}, True, True),
        ({"transfer": False}, True, True),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, learned, fixed):
    for which, renamed in ((True, learned), (False, fixed)):
        new, old = keys(replace(Settings(), **changed), which), keys(Settings(), which)
        assert not (new & old) if renamed else new <= old


def test_quick_is_part_of_the_settings():
    quick = replace(Settings(), **claim.quick(Settings()))
    assert quick.runs == 2 and not quick.transfer and len(claim.cells(quick)) == 8
    for steps in (30, 101, 301):  # as `--quick --set steps=30` has it
        given = Settings(steps=steps)
        assert len(claim.cells(replace(given, **claim.quick(given)))) == 8


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "each must be at least 1"),
        ({"last": 302}, "last 302 exceeds the 301 steps"),
        ({"outer_rate": 0.0}, "outer_rate 0 must be finite and above 0"),
        ({"decay": 1.0}, "decay 1 must lie between 0 and 1"),
        ({"noise": -0.1}, "noise -0.1 be 0 or more"),
        ({"batch": 9000}, "a batch of 9000 cannot be taken"),
        ({"steps": 10**12}, "steps 1000000000000 must be at most 1000000"),
        ({"long_steps": 10**12}, "long_steps 1000000000000 must be at most"),
        ({"cnn_steps": 10**12}, "cnn_steps 1000000000000 must be at most"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


# How it is judged


def test_numbers_as_published_support_it():
    judgement, found = judged(made())
    assert judgement.verdict == Verdict.supported
    assert sum(one.headline for one in judgement.statements) == 7
    assert found["published-outer-0"].verdict == Verdict.compatible and "published-outer-25" not in found
    assert found["published-relu"].verdict == Verdict.compatible
    assert found["published-relu"].published == "58.8 %" and found["published-pieces"].published == "66.4 %"
    assert found["cnn-test-accuracy-relu"].verdict == Verdict.supported
    assert found["cnn-first-epoch-loss-relu"].verdict == Verdict.refuted  # a higher "loss", as made up


@pytest.mark.parametrize(("outer", "published"), [(151, 0.682), (301, 0.684), (11, None)])
def test_the_learned_one_is_compared_with_what_was_printed_after_as_many_outer_steps(outer, published):
    results = made(own=0.683, outer=outer)
    judgement, found = judged(results)
    said = found["published-learned"]
    if published is None:
        assert said.value is None and said.verdict == Verdict.undecided and said.published == "68.4 % after 301"
    else:
        assert said.value is not None and said.published == f"{100 * published:.1f} %"
    row = next(row for row in judgement.table if row[0] == "learned")
    assert judgement.table[0][2] == "published, first 500"
    assert row[2] == ("" if published is None else f"{100 * published:.1f}")
    finals = next(spec for caption, spec in claim.figure(results, judgement).items() if "Test accuracy" in caption)
    marks = {row["net"]: row["value"] for row in drawn(finals) if row.get("part") == "published"}
    assert marks.pop("learned", None) == published and len(marks) == 7 and "first 500" in str(finals)


def drawn(spec) -> list[dict]:
    """The rows inside a figure."""
    return spec["data"]["values"]


def test_the_stages_of_one_curve_are_drawn():
    results = made()
    figures = claim.figure(results, claim.judge(results, Settings()))
    at = {row["net"]: row["y"] for row in drawn(figures["One activation on its way"]) if row["x"] == -2.0}
    place = claim.AT.tolist().index(-2.0)
    assert at == {f"step {k}": results[0].curves[f"curve_{k}"][place] for k in (0, 10)} and len({*at.values()}) == 2


@pytest.mark.parametrize(
    ("given", "fails"),
    [
        ({"accuracy": {**ACCURACY, "relu": 0.67}}, {"above-relu", "five-points"}),
        ({"accuracy": {**ACCURACY, "swish": 0.67}}, {"above-swish"}),
        ({"accuracy": {**ACCURACY, "elu": 0.67}}, {"above-elu"}),
        ({"accuracy": {**ACCURACY, "relu": 0.63}}, {"five-points"}),
        ({"loss": 1.5}, {"loss-below-relu"}),
        ({"curve": "relu", "lift": 0.6}, {"resembles-swish"}),
        ({"lift": 0.0}, {"positive"}),
    ],
)
def test_each_headline_can_fail(given, fails):
    judgement, found = judged(made(**given))
    assert judgement.verdict == Verdict.refuted
    for name in fails:
        assert found[name].headline and found[name].verdict == Verdict.refuted


def test_few_seeds_decide_nothing():
    assert judged(made(runs=3))[0].verdict == Verdict.undecided


def test_without_transfer_nothing_is_said_of_it():
    assert not any("cnn" in name for name in judged(made(transfer=False))[1])


def test_a_training_that_broke_down_learned_nothing_and_is_no_crash():
    results = made()
    broken = results[0]
    values = {name: float("nan") for name in broken.values}
    curves = {**broken.curves, "curve": [float("nan")] * len(claim.AT), "outer_loss": [1.3] + [float("nan")] * 10}
    results[0] = replace(broken, values=values, curves=curves)
    judgement, found = judged(results)
    assert found["positive"].n == 9 and found["above-relu"].n == 10
    assert verdict._values(results, "learned", "test_accuracy")[0] == 0.1
    assert verdict._values(results, "learned", "mean_loss")[0] == pytest.approx(np.log(10))
    assert [row[5] for row in judgement.table[1:3]] == ["10, 1 broke down", "10"]
    one = found["published-outer-10"]  # log 10 is no loss of a training that held
    assert one.n == 9 and one.value == pytest.approx(1.033) and one.sentence.endswith(", 1 left out")
    assert found["published-outer-0"].n == 10 and "left out" not in found["published-outer-0"].sentence
    figures = claim.figure(results, judgement)
    (way,) = (spec for caption, spec in figures.items() if "outer loss" in caption)
    assert "9 activations; 1 broke down" in str(way)


def test_published_losses_are_compared_with_losses_that_are_numbers():
    results = made()
    relu = [i for i, one in enumerate(results) if one.run.settings["activation"] == "relu"]
    for i in relu[:2]:
        results[i] = replace(results[i], values={**results[i].values, "mean_loss": float("nan")})
    found = judged(results)[1]
    one = found["published-loss-relu"]
    assert one.n == 8 and one.value == pytest.approx(1.337, abs=0.01)
    assert one.sentence == "ReLU, mean loss: as published, 2 left out"
    for i in relu:
        results[i] = replace(results[i], values={**results[i].values, "mean_loss": float("nan")})
    judgement, found = judged(results)
    assert found["published-loss-relu"].value is None and found["published-loss-relu"].published == "1.337"
    assert judgement.table[2][5] == "10, 10 broke down"


# A small run of everything


@pytest.mark.slow
def test_a_small_run(monkeypatch, data):
    monkeypatch.setattr(claim, "_data", lambda: data)
    settings = replace(SMALL, batch=10)
    cells = claim.cells(settings)
    results = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, settings), cells):
        assert not isinstance(outcome, Exception), outcome
        results += outcome
    judgement = claim.judge(results, settings)
    assert judgement.verdict in (Verdict.undecided, Verdict.refuted) and judgement.runs == 16
    for caption, spec in claim.figure(results, judgement).items():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg"), caption
    one, two = results[:2]
    assert len(one.curves["outer_loss"]) == 2 and len(one.curves["curve"]) == 201
    assert one.curves["curve"] == one.curves["curve_1"] != one.curves["curve_0"]
    assert one.curves["curve"] != two.curves["curve"]
    assert 0 <= one.values["test_accuracy"] <= 1


@pytest.mark.slow
def test_a_run_alone_has_the_same_bits_and_transfers(monkeypatch, data):
    monkeypatch.setattr(claim, "_data", lambda: data)
    settings = replace(SMALL, batch=10, transfer=True, long_steps=8, cnn_steps=45)
    for cell in claim.cells(settings)[:2]:
        one, _ = claim.run(cell, settings)
        alone = claim.run(replace(cell, runs=cell.runs[:1]), settings)[0]
        assert alone.values == one.values and alone.curves == one.curves
        assert {"half_test_accuracy", "long_mean_loss", "cnn_test_accuracy"} <= one.values.keys()
        assert 0.1 < one.values["cnn_test_accuracy"] < 1 and one.values["cnn_first_epoch_loss"] < 2.4


@pytest.mark.slow
def test_a_cnn_with_a_fixed_activation_is_the_usual_cnn():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32))
    mine = inner_training.Convolutional.init(3, "relu", inner_training.first_curve(0))
    np.testing.assert_allclose(mine(x), mine.cnn(x), rtol=1e-5, atol=1e-6)
    other = inner_training.Convolutional.init(3, "learned", inner_training.first_curve(0))
    assert float(jnp.max(jnp.abs(other(x) - mine(x)))) > 1e-3
