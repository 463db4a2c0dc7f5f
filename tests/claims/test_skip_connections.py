"""Skips: what is run, gradients and distances against closed forms and plain autodiff, verdicts, a small run."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _skips
from flyroom.claims import skip_connections as claim
from flyroom.claims.skip_connections import BLOCKS, KINDS, Settings
from flyroom.data import mnist1d
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, steps=40, depths="4-8")
TRUE = {
    **{(4, kind): 0.65 for kind in KINDS},
    **{(16, "plain"): 0.2, (16, "skip"): 0.8, (16, "norm"): 0.9},
    **{(64, "plain"): 0.105, (64, "skip"): 0.9, (64, "norm"): 0.93},
}
EXPECTED = {"plain": 1e-19, "skip": 1.37, "norm": 3.2}
DATA = mnist1d.make()
X, Y = jnp.asarray(DATA.x_train[:20], jnp.float32), jnp.asarray(DATA.y_train[:20], jnp.int32)


def results(settings=Settings(), accuracy=None, factor=None, error=None, distance=None) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `factor` is measured over expected gradient, by kind."""
    accuracy, factor = TRUE | (accuracy or {}), dict.fromkeys(KINDS, 1.0) | (factor or {})
    error = {"residual": 1e-5, "plain": 0.3} | (error or {})
    distance = {"residual": 4.65, "plain": 6.5} | (distance or {})
    draw = np.random.default_rng(0)

    def noisy(value: float, spread: float) -> float:
        return float(value * (1 + spread * draw.standard_normal()))

    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            if kind := run.settings.get("gradient"):
                kept = noisy(EXPECTED[kind] * factor[kind], 0.02)
                values = {"kept": kept, "expected_kept": EXPECTED[kind]}
                values |= {"per_layer": kept ** (1 / 48), "expected_per_layer": EXPECTED[kind] ** (1 / 48)}
                made.append(Result(run, values, {"block": [0.0, 1.0], "left": [kept, 1.0], "expected": [kept, 1.0]}))
            elif block := run.settings.get("block"):
                first = _skips.first_error(64, block == "residual")
                values = {"error": noisy(error[block], 0.1), "first_error": noisy(first, 0.01)}
                values |= {"distance": noisy(distance[block], 0.01), "moved": noisy(distance[block], 0.01)}
                curve = [values["first_error"], values["error"]]
                made.append(Result(run, values, {"step": [0.0, 1000.0], "error": curve}))
            else:
                share = accuracy[run.settings["depth"], run.settings["kind"]] + 0.006 * draw.standard_normal()
                values = {"train_accuracy": float(share), "test_accuracy": float(share) - 0.05}
                if (run.settings["depth"], run.settings["kind"], run.seed) == (64, "skip", 1):
                    values["diverged_at_step"] = 17.0
                made.append(Result(run, values, {"step": [0.0, 1000.0]}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    for part in ("keeps 0.400", "3.2 +- 0.4", "65 +- 8, 20 +- 10, 10.5 +- 1 %"):
        assert part in claim.ABOUT.prediction and part in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [cell.ahead for cell in cells] == [False] * 3 + [True] * 11  # what trains nothing comes first
    assert {tuple(cell.runs[0].settings.values()) for cell in cells[5:]} == set(TRUE)
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 140


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    assert keys(depths="4-64") < keys() < keys(depths="4-16-32-64")
    gradients = {key(run) for cell in claim.cells(Settings())[:3] for run in cell.runs}
    assert keys() & keys(steps=500) == gradients  # they have no steps


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps 0: each must be at least 1"),
        ({"depths": "4"}, "depths '4': give two or more even"),
        ({"depths": "4-7"}, "depths '4-7'"),
        ({"depths": "2-4"}, "depths '2-4'"),
        ({"depths": "4-many"}, "depths '4-many'"),
        ({"depths": "4-202"}, "depths '4-202'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=100) < total() < total(depths="4-16-100")
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}


# The networks


@pytest.mark.parametrize("layers", [3, 5, 2])
def test_a_number_of_layers_that_makes_no_blocks(layers):
    with pytest.raises(ValueError, match=f"{layers} layers: two at the ends"):
        _skips.SkipMLP.init(jax.random.key(0), layers, "plain", 8)


def test_the_plain_network_is_an_mlp():
    net = _skips.SkipMLP.init(jax.random.key(3), 8, "plain", 16)
    other = MLP.init(jax.random.key(3), (40, *[16] * 7, 10))
    np.testing.assert_allclose(net(X), other(X), rtol=1e-5, atol=1e-6)


def by_hand(net: _skips.SkipMLP, x: np.ndarray) -> np.ndarray:
    """The network in NumPy, float64, block by block as the docstring says."""

    def active(hidden):
        if net.kind == "norm":
            hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
        return np.maximum(hidden, 0)

    parts = (net.first.weight, net.first.bias, net.weights, net.biases, net.last.weight, net.last.bias)
    first, first_bias, weights, biases, last, last_bias = (np.asarray(part, np.float64) for part in parts)
    hidden = first @ x.T + first_bias[:, None]
    for (inner, outer), (inner_bias, outer_bias) in zip(weights, biases, strict=True):
        change = outer @ active(inner @ active(hidden) + inner_bias[:, None]) + outer_bias[:, None]
        hidden = change if net.kind == "plain" else hidden + change
    return (last @ active(hidden) + last_bias[:, None]).T


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_what_its_docstring_says(kind):
    net = _skips.SkipMLP.init(jax.random.key(1), 8, kind, 16)
    np.testing.assert_allclose(net(X), by_hand(net, np.asarray(X, np.float64)), rtol=1e-4, atol=1e-5)


# Gradients


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_loss_by_what_enters_a_block(kind):
    """Before the first block: through the first layer's weights, by the gradient that autodiff has of its bias."""
    net = _skips.SkipMLP.init(jax.random.key(0), 6, kind, 16)
    found = np.exp(_skips.log_norms(net, X, Y))
    assert found.shape == (3, 20)

    def loss(bias, x, y):
        moved = type(net)(type(net.first)(net.first.weight, bias), net.weights, net.biases, net.last, kind)
        return optax.softmax_cross_entropy_with_integer_labels(moved(x), y).sum()

    slope = jax.jit(jax.grad(loss))
    for example in range(3):
        gradient = slope(net.first.bias, X[example : example + 1], Y[example : example + 1])
        assert found[0, example] == pytest.approx(float(jnp.linalg.norm(gradient)), rel=1e-4)


def test_small_gradients_are_not_lost():
    """Norms whose squares underflow in float32."""
    net = _skips.SkipMLP.init(jax.random.key(0), 64, "plain", 64)
    logs = _skips.log_norms(net, X, Y)
    assert np.isfinite(logs).all() and (logs[0] - logs[-1] < np.log(1e-22)).all()


@pytest.mark.parametrize(("kind", "margin"), [("plain", 0.35), ("skip", 0.04), ("norm", 0.08)])
def test_measured_gradients_have_their_closed_form(kind, margin):
    """Sixteen blocks, the mean over 40 networks; the margins are three standard errors of the logarithm."""
    blocks, width = 16, 64
    logs = []
    for net_key in jax.random.split(jax.random.key(7), 40):
        found = _skips.log_norms(_skips.SkipMLP.init(net_key, 2 * blocks + 2, kind, width), X, Y)
        logs.append((found[0] - found[-1]).mean())
    squares = (np.asarray(X, np.float64) ** 2).sum(1)
    expected = _skips.expected_log_gain(kind, blocks, width, squares).sum(0).mean()
    assert np.mean(logs) == pytest.approx(expected, abs=margin)


def test_closed_forms():
    plain = _skips.expected_log_gain("plain", 1, 10**9, np.ones(1))
    assert np.exp(plain) == pytest.approx(1 / 6)
    skip = _skips.expected_log_gain("skip", 1, 10**9, np.ones(1))
    assert np.exp(2 * skip) == pytest.approx(37 / 36)
    norm = _skips.expected_log_gain("norm", 400, 10**9, np.full(1, 40.0))
    assert norm[0, 0] > norm[-1, 0] > 0
    entering = 41 / 120
    # In the limit 1 / (36 v) = v, and each block multiplies the square by 1 + v / (q + k v), as it does the variance.
    assert np.exp(2 * norm.sum()) == pytest.approx((entering + 400 / 6) / entering, rel=1e-6)


def test_a_run_of_gradients_has_both():
    run = claim.cells(Settings())[1].runs[0]
    found = claim.gradients(run, "skip")
    assert found.values["kept"] == pytest.approx(found.curves["left"][0])
    assert found.values["per_layer"] ** 48 == pytest.approx(found.values["kept"])
    assert found.curves["left"][-1] == found.curves["expected"][-1] == 1 and len(found.curves["left"]) == 25
    assert found.values["expected_kept"] == pytest.approx(1.375, abs=0.001)


# The identity


@pytest.mark.parametrize("residual", [True, False])
def test_the_first_error_is_the_expected_one(residual):
    x = jnp.asarray(claim._normal()[1])
    errors = [
        float(claim.copy_error(_skips.Block.init(one, 64, residual), x)["error"])
        for one in jax.random.split(jax.random.key(0), 30)
    ]
    assert np.mean(errors) == pytest.approx(_skips.first_error(64, residual), rel=0.03)


def with_weights(first, second, bias=None) -> _skips.Block:
    block = _skips.Block.init(jax.random.key(0), len(first), residual=False)
    dense = type(block.first)
    bias = jnp.zeros(len(first)) if bias is None else jnp.asarray(bias, jnp.float32)
    return _skips.Block(
        dense(jnp.asarray(first, jnp.float32), bias), dense(jnp.asarray(second, jnp.float32), bias), False
    )


def test_a_lower_bound_of_the_distance_to_the_identity():
    """Reached from zero weights, 0 at a solution, and below the distance to solutions drawn at random."""
    zero, one = np.zeros((5, 5)), np.eye(5)
    assert _skips.distance_to_identity(with_weights(zero, zero)) == pytest.approx(np.sqrt(10))
    assert _skips.distance_to_identity(with_weights(one, one)) == pytest.approx(0, abs=1e-6)
    random = np.random.default_rng(0)
    for _ in range(200):
        first, second = (random.uniform(-1, 1, (5, 5)) / np.sqrt(5) for _ in range(2))
        solution = np.linalg.qr(random.standard_normal((5, 5)))[0] * random.uniform(0.5, 2)
        away = np.sqrt(((first - solution) ** 2).sum() + ((second - np.linalg.inv(solution)) ** 2).sum())
        assert 0 < _skips.distance_to_identity(with_weights(first, second)) <= away


def test_an_upper_bound_of_a_residual_blocks_distance():
    block = _skips.Block.init(jax.random.key(0), 64, residual=True)
    second = type(block.second)(jnp.zeros((64, 64)), jnp.zeros(64))
    solution = _skips.Block(block.first, second, True)
    np.testing.assert_array_equal(solution(jnp.ones((3, 64))), jnp.ones((3, 64)))
    assert _skips.distance_to_identity(block) == pytest.approx(_skips.moved(block, solution))
    assert _skips.distance_to_identity(block) == pytest.approx(np.sqrt(65 / 3), rel=0.03)


def test_a_block_can_copy_without_a_skip_too():
    """All units active: W2 W1 = 1, and biases that keep inputs above 0."""
    block = with_weights(np.eye(5), np.eye(5), np.full(5, 10.0))
    second = type(block.second)(block.second.weight, jnp.full(5, -10.0))
    x = jax.random.normal(jax.random.key(0), (100, 5))
    error = claim.copy_error(_skips.Block(block.first, second, False), x)["error"]
    assert float(error) < 1e-10


# How it is judged

HEADLINES = (
    *("plain-deep", "skip-deep", "norm-deep"),
    *("gradient-plain", "gradient-skip", "gradient-norm", "identity-easy"),
)


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["skip-deep"].value == pytest.approx(0.25, abs=0.01)
    assert statements["skip-deep"].sentence == "Skip: 64 layers > 4 - 3 %"
    assert statements["gradient-skip"].published == "1.37 (formula)"
    assert statements["identity-easy"].value == pytest.approx(np.log10(3e4), abs=0.1)
    assert statements["nearer"].verdict == statements["plain-vanishes"].verdict == Verdict.supported
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"accuracy": {(64, "plain"): 0.3}}, {"plain-deep"}),
        ({"accuracy": {(64, "skip"): 0.55}}, {"skip-deep"}),
        ({"accuracy": {(64, "norm"): 0.6}}, {"norm-deep"}),
        ({"factor": {"plain": 1.04**48}}, {"gradient-plain"}),
        ({"factor": {"plain": 0.96**48}}, {"gradient-plain"}),
        ({"factor": {"skip": 1.2}}, {"gradient-skip"}),
        ({"factor": {"norm": 0.8}}, {"gradient-norm"}),
        ({"error": {"residual": 0.1}}, {"identity-easy"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(factor={"skip": 1.1}))
    assert judgement.verdict == statements["gradient-skip"].verdict == Verdict.undecided
    assert judged(results(distance={"residual": 7.0}))[1]["nearer"].verdict == Verdict.refuted
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_says_who_diverged():
    head, *rows = judged(results())[0].table
    assert head[1:4] == ("4 layers", "16 layers", "64 layers")
    assert [row[0] for row in rows] == list(KINDS.values())
    assert rows[1][3].endswith(", 1 diverged") and rows[0][4].endswith("(formula 1e-19)")


def test_a_missing_kind_is_an_error():
    with pytest.raises(ValueError, match="no run of gradient norm is stored"):
        judged([one for one in results() if one.run.settings.get("gradient") != "norm"])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 4
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    cells = claim.cells(SMALL)
    chosen = [cells[3], cells[6], Cell(cells[6].runs[1:])]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), chosen):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    copies, made, alone = found
    assert next(iter(BLOCKS)) == copies[0].run.settings["block"]
    assert copies[0].values["error"] < copies[0].values["first_error"] and copies[0].values["moved"] > 0
    assert made[1].values == alone[0].values and made[0].values != made[1].values
    assert made[0].run.settings == {"depth": 4, "kind": "skip", "steps": 40}
    assert made[0].values["train_accuracy"] > 0.15


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
