"""Dead units and zeros: what counts as dead, the symmetry of first weights, what is run, verdicts, a small run."""

from dataclasses import fields
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from flyroom import engine, plot, stats, train
from flyroom.claims import _normed
from flyroom.claims import dead_relu as claim
from flyroom.claims.dead_relu import RATES, Settings
from flyroom.data import mnist1d
from flyroom.nets.activations import activation
from flyroom.nets.mlp import MLP
from flyroom.nets.norms import BatchNorm
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, steps=40)
DEAD = {"relu": (0.0, 0.32, 0.99), "leaky_relu": (0.0, 0.0, 0.0), "gelu": (0.0, 0.03, 0.85)}
TEST = {"relu": (0.60, 0.62, 0.30), "leaky_relu": (0.60, 0.62, 0.55), "gelu": (0.61, 0.63, 0.45)}
NORMED = {"first_zero": 0.5, "zero": 0.57, "reversed_zero": 0.0, "first_below": 0.655, "spread": 0.05}
DATA = mnist1d.make()


def results(settings=Settings(), dead=None, test=None, spread=1.0, **normed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand."""
    dead, test, normed = DEAD | (dead or {}), TEST | (test or {}), NORMED | normed
    draw = np.random.default_rng(0)
    made = []

    def share(value: float) -> float:
        return float(np.clip(value + 0.006 * spread * draw.standard_normal(), 0, 1))

    for cell in claim.cells(settings):
        for run in cell.runs:
            order = run.settings.get("order")
            if order is None:
                name, place = run.settings["activation"], RATES.index(run.settings["rate"])
                last = dict.fromkeys(("dead_1", "dead_2", "negative_1", "negative_2"), share(dead[name][place]))
                last |= {"negative_2": share(0.3), "zero_1": share(0.5), "zero_2": share(0.7)}
                last |= {"spread_1": share(0.2), "spread_2": share(0.35), "test_accuracy": share(test[name][place])}
                first = {**last, "zero_1": share(0.5), "zero_2": share(0.5)}
            else:
                zero = normed["zero"] if order == "norm first" else normed["reversed_zero"]
                before = normed["first_zero"] if order == "norm first" else 0.0
                last = {f"zero_{layer}": share(zero) for layer in (1, 2)}
                last |= {f"spread_{layer}": share(0.1) for layer in (1, 2)}
                last |= {f"below_{layer}": share(0.7) for layer in (1, 2)}
                first = {f"zero_{layer}": share(before) for layer in (1, 2)}
                first |= {f"spread_{layer}": share(normed["spread"]) for layer in (1, 2)}
                first |= {f"below_{layer}": share(normed["first_below"]) for layer in (1, 2)}
                last["test_accuracy"] = share(0.6)
            curves = {"step": [0.0, 1500.0], **{name: [first.get(name, 0.1), value] for name, value in last.items()}}
            values = last | {f"first_{name}": value for name, value in first.items()}
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
    for part in ("0, 32 +- 8, 99 +- 1.5 %", "58 +- 6 %"):
        assert part in claim.ABOUT.prediction and part in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    places = [cell.runs[0].settings for cell in cells]
    assert [place["activation"] for place in places[:9:3]] == list(claim.ACTIVATIONS)
    assert [place["rate"] for place in places[:3]] == list(RATES)
    assert places[9:] == [{"order": "norm first"}, {"order": "relu first"}]
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 110


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    def keys(**changed) -> set[str]:
        return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}

    assert keys() < keys(runs=12)
    for changed in ({"steps": 1000}, {"batch": 50}):
        assert not keys() & keys(**changed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps 0: each must be at least 1"),
        ({"batch": 1}, "a batch of 1: batch norm takes at least 2 of the 4000"),
        ({"batch": 4001}, "a batch of 4001"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=100) < total() < total(batch=400)
    quick = claim.quick(Settings(steps=5))
    assert quick == {"runs": 2, "steps": 5} and set(quick) <= {one.name for one in fields(Settings)}


# What counts as dead


def hand_made(name: str) -> MLP:
    """Two inputs; hidden layers of five units whose inputs are x + 0, -1, -3, -5, -300 (x from -0.5 to 0.5)."""
    net = MLP.init(jax.random.key(0), (2, 5, 5, 2), activation(name))
    shifts = jnp.asarray([0.0, -1.0, -3.0, -5.0, -300.0])
    first, second, last = net.layers
    first = type(first)(jnp.ones((5, 2)) * jnp.asarray([1.0, 0.0]), shifts)
    second = type(second)(jnp.zeros((5, 5)), jnp.asarray([1.0, 0.0, -1.0, -10.0, -10.0]))
    return MLP((first, second, last), net.activation)


@pytest.mark.parametrize(
    ("name", "dead", "negative"),
    [("relu", (0.8, 0.8), (0.8, 0.8)), ("leaky_relu", (0.0, 0.0), (0.8, 0.8)), ("gelu", (0.4, 0.4), (0.8, 0.8))],
)
def test_dead_is_a_derivative_that_is_nowhere_felt(name, dead, negative):
    """ReLU at at most 0; GELU below -3.8, where its derivative is smaller than 1e-3; leaky ReLU never."""
    x = jnp.stack([jnp.linspace(-0.5, 0.5, 11), jnp.zeros(11)], axis=1)
    y = jnp.zeros(11, jnp.int32)
    held = (x, y, jnp.arange(11) >= 10, x)
    found = claim.measure(hand_made(name), held)
    assert (float(found["dead_1"]), float(found["dead_2"])) == pytest.approx(dead)
    assert (float(found["negative_1"]), float(found["negative_2"])) == pytest.approx(negative)
    slope = jax.jvp(activation("gelu"), (jnp.asarray([-3.7, -3.9]),), (jnp.ones(2),))[1]
    assert abs(float(slope[0])) > claim.GRADIENT > abs(float(slope[1]))


def test_zeros_are_counted_by_unit():
    x = jnp.stack([jnp.asarray([-0.5, -0.25, 0.0, 0.25]), jnp.zeros(4)], axis=1)
    found = claim.measure(hand_made("relu"), (x, jnp.zeros(4, jnp.int32), jnp.arange(4) >= 3, x))
    shares = np.array([0.75, 1, 1, 1, 1])  # the first unit is above 0 once
    assert float(found["zero_1"]) == pytest.approx(shares.mean())
    assert float(found["spread_1"]) == pytest.approx(shares.std())


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_a_number_that_is_none_counts_as_dead(name):
    net = hand_made(name)
    broken = jax.tree.map(lambda leaf: leaf * jnp.nan, net)
    x = jnp.ones((3, 2))
    found = claim.measure(broken, (x, jnp.zeros(3, jnp.int32), jnp.arange(3) >= 2, x))
    assert float(found["dead_1"]) == float(found["dead_2"]) == 1.0


# Zeros with a norm


def test_half_of_the_outputs_are_zero_at_first_weights_by_symmetry():
    """A weight vector and its negative together: exactly half, whatever the data, but for the values between."""
    net = _normed.mlp(jax.random.key(0), BatchNorm.init, (40, 60, 10))
    layer = net.layers[0]
    turned = type(layer)(-layer.weight, -layer.bias)
    x = jnp.asarray(DATA.x_train, jnp.float32)
    shares = [
        float((type(net)((one,), net.norms, net.last, net.order, 0).outputs(x)[0][1] == 0).mean())
        for one in (layer, turned)
    ]
    assert sum(shares) == pytest.approx(1, abs=1e-4) and shares[0] != 0.5
    found = claim.measure_normed(claim._normed_net("norm first", 0), (*train.both_parts(DATA), x))
    assert float(found["zero_1"]) == pytest.approx(0.5, abs=0.03)
    assert float(found["zero_2"]) == pytest.approx(0.5, abs=0.03)


def test_below_the_mean_of_a_rectified_normal():
    """Phi(phi(0)), against an integral: the mean of max(0, z) is phi(0)."""
    normal = NormalDist()
    mean = quad(lambda z: z * normal.pdf(z), 0, 12)[0]
    assert mean == pytest.approx(normal.pdf(0))
    assert quad(normal.pdf, -12, mean)[0] == pytest.approx(claim.BELOW)
    rectified = np.maximum(np.random.default_rng(0).standard_normal(200_000), 0)
    assert (rectified < rectified.mean()).mean() == pytest.approx(claim.BELOW, abs=0.005)


def test_in_the_other_order_nothing_is_zero():
    x = jnp.asarray(DATA.x_train[:500], jnp.float32)
    held = (x, jnp.asarray(DATA.y_train[:500], jnp.int32), jnp.arange(500) >= 400, x)
    found = claim.measure_normed(claim._normed_net("relu first", 0), held)
    assert float(found["zero_1"]) == float(found["zero_2"]) == 0
    assert 0.5 < float(found["below_2"]) < 0.8


# How it is judged

HEADLINES = (
    *("few-die", "more-die", "most-die", "all-die"),
    *("gelu-0.01", "gelu-0.1", "leaky-accuracy"),
    *("half-first", "half-trained", "none-zero"),
)


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["more-die"].value == pytest.approx(0.32, abs=0.02)
    assert statements["gelu-0.01"].value == pytest.approx(0.29, abs=0.02)
    assert statements["gelu-0.01"].sentence == "1e-2: fewer die with GELU"
    assert statements["gelu-0.1"].p == pytest.approx(2 * 2 / 2**10)
    assert statements["half-trained"].value == pytest.approx(0.57, abs=0.01)
    assert statements["below-mean"].sentence == "ReLU, norm, first: 60.5 to 70.5 % below mean"
    assert statements["units-alike"].value == pytest.approx(0.30, abs=0.02)
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"dead": {"relu": (0.15, 0.32, 0.99)}}, {"few-die"}),
        ({"dead": {"relu": (0.01, 0.6, 0.5)}}, {"most-die", "all-die", "gelu-0.1"}),
        ({"dead": {"relu": (0.04, 0.0, 0.99), "gelu": (0.0, 0.2, 0.85)}}, {"more-die", "gelu-0.01"}),
        ({"dead": {"gelu": (0.0, 0.5, 0.85)}}, {"gelu-0.01"}),
        ({"test": {"leaky_relu": (0.6, 0.6, 0.2)}}, {"leaky-accuracy"}),
        ({"first_zero": 0.6}, {"half-first"}),
        ({"zero": 0.7}, {"half-trained"}),
        ({"reversed_zero": 0.1}, {"none-zero"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(zero=0.6))
    assert judgement.verdict == statements["half-trained"].verdict == Verdict.undecided
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table():
    made = results()
    lost = [
        Result(one.run, {**one.values, "diverged_at_step": 3.0}, one.curves)
        if one.run.seed == 2 and one.run.settings.get("rate") == 0.1
        else one
        for one in made
    ]
    head, *rows = judged(lost)[0].table
    assert len(head) == 5 and len(rows) == 11
    assert rows[0][0] == "ReLU, 0.001" and rows[2][4].endswith(", 1 diverged") and rows[9][1] == ""


def test_a_missing_rate_is_an_error():
    with pytest.raises(ValueError, match=r"no run of activation relu, rate 0\.1 is stored"):
        judged([one for one in results() if one.run.settings.get("rate") != 0.1])


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
    chosen = [cells[2], Cell(cells[2].runs[1:]), cells[9]]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), chosen):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    made, alone, normed = found
    assert made[1].values == alone[0].values and made[0].values != made[1].values
    assert made[0].curves["step"] == [float(step) for step in range(0, 41, 4)]
    assert made[0].values["first_dead_2"] < 0.3 < made[0].values["dead_2"]  # forty updates at 0.1 kill many
    assert normed[0].values["first_zero_1"] == pytest.approx(0.5, abs=0.05)
    assert normed[0].values["test_accuracy"] > 0.2


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
