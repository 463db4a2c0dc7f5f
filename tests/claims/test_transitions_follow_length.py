"""Transitions and length: what is counted, against certified kinks; what is run, how it is judged, a small run."""

from dataclasses import fields
from math import pi, sqrt

import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _trajectories
from flyroom.claims import transitions_follow_length as claim
from flyroom.claims.transitions_follow_length import ROOT2, STDS, Settings
from flyroom.measure import paths, random_networks, trajectory
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, depth=3, width=6, points=2048)
RATES = {1.5: 1.16, 2.0: 1.3, 3.0: 1.5, 4.0: 1.73}


def results(settings=Settings(), slope=1.0, over=1.0, relu=0.0, kinks=1.0, spread=0.02, missed=1e-4):  # noqa: B008
    """Stored results as they would be, made by hand.

    Transitions go with the power `slope` of the length from layer to layer, `over` from weight to weight (at layer 6);
    with ReLU of 2.0 they go with the power `relu`, and the kinks of a layer change by `kinks` a layer.
    """
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            name, std = run.settings["activation"], run.settings["weight_std"]
            layer = np.arange(1, settings.depth + 1)
            hard = name == "hard_tanh"
            rate = RATES[std] if hard else 0.97 * std / sqrt(2)
            length = 30 * rate**layer
            count = length**slope * (length[-1] ** (over - slope)) / (pi * 5) if hard else 2 * rate ** (relu * layer)
            count = count * np.exp(spread * draw.standard_normal(len(layer)))
            turned = 64 * (rate if hard else kinks) ** layer
            norm = length / (pi * count)
            columns = {"layer": layer, "length": length, "transitions": count, "kinks": turned, "norm": norm}
            curves = {label: [float(value) for value in column] for label, column in columns.items()}
            made.append(Result(run, {"missed": missed, "gap": 1e-4}, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is counted


def test_changes_are_counted_round_the_circle():
    above = np.array([[True, True], [False, True], [False, True], [True, True]])
    assert claim.changes(above) == 2
    assert claim.changes(np.array([[True], [False], [True], [False]])) == 4


def test_an_output_of_a_circle_changes_sign_twice():
    x = paths.points(_trajectories.circle(6, 0), np.arange(512) / 512)
    outputs = x @ np.random.default_rng(0).standard_normal((6, 20))
    assert claim.changes(outputs > 0) == 2 * 20


@pytest.mark.parametrize("name", STDS)
def test_kinks_are_those_of_the_certified_enclosure(name):
    """Where a certified enclosure cuts at each kink: the same number, up to and with every layer."""
    net = _trajectories.network(name, 8, 2, 2.0, 0.0, 0)
    path = _trajectories.circle(8, 0)
    x = paths.points(path, np.arange(4096) / 4096)
    graph, names = _trajectories.hidden(net, 8)
    found = [row.crossings for row in trajectory.length(graph, path, layers=names).layers]
    counts = [
        sum(claim.changes(u > kink) for kink in claim.KINKS[name]) for u, _ in claim.layers(net, x, claim.KINKS[name])
    ]
    assert np.cumsum(counts).tolist() == found and counts[0] > 8


def test_layers_are_those_of_the_network():
    net = _trajectories.network("relu", 5, 3, 1.0, 0.2, 0)
    x = np.random.default_rng(0).standard_normal((4, 5))
    *_, (_, z) = claim.layers(net, x, claim.KINKS["relu"])
    last = net.layers[-1]
    mine = z @ np.asarray(last.weight, np.float64).T + np.asarray(last.bias)
    np.testing.assert_allclose(mine, np.asarray(net(jnp.asarray(x, jnp.float32))), rtol=1e-4, atol=1e-5)


def test_slopes():
    x = np.array([1.0, 2.0, 4.0])
    assert _trajectories.slope(x, 3 * x + 1) == pytest.approx(3)
    assert _trajectories.slope(x, np.array([1.0, 0.0, 1.0])) == pytest.approx(1 / 14)  # centred x: -4/3, -1/3, 5/3
    made = results(spread=0.0, slope=0.8, over=0.6, relu=0.3)
    assert claim.over_layers(made, "hard_tanh", 3.0) == pytest.approx([0.8] * 10)
    assert claim.over_layers(made, "relu", 2.0) == pytest.approx([0.3] * 10)
    assert claim.over_stds(made) == pytest.approx([0.6] * 10)


def test_an_output_that_never_changes_sign_has_a_slope_all_the_same():
    (found,) = claim._slopes(np.array([[1.0, 2.0]]), np.array([[2.0, 0.0]]))
    assert found == pytest.approx(np.log(0.5 / claim.OUTPUTS / 2) / np.log(2))


def test_the_prediction_is_what_mean_field_says():
    """Two crossings of 0 a turn, times the root of metric over variance; |z| from the variance after it."""
    text = " ".join(str(claim.__doc__).split())
    assert "1.04, 1.01, 1.00, 1.00" in text and "1.04, 1.01, 1.00, 1.00" in claim.ABOUT.prediction
    counts, lengths = [], []
    for std, said in ((1.5, 1.04), (2.0, 1.01), (3.0, 1.0), (4.0, 1.0)):
        found = random_networks.propagate("hard_tanh", std, 0.0, 7, variance=std**2)
        count, speed = 2 * np.sqrt(found.metric[1:] / found.variance[1:]), np.sqrt(found.metric[1:]) / std
        assert _trajectories.slope(np.log(speed[1:]), np.log(count[1:])) == pytest.approx(said, abs=0.006)
        counts.append(count[-1])
        lengths.append(speed[-1])
    assert counts[:2] == pytest.approx([6.3, 12.9], abs=0.06) and counts[3] == pytest.approx(82, abs=0.5)
    assert _trajectories.slope(np.log(lengths), np.log(counts)) == pytest.approx(0.92, abs=0.01)
    relu = random_networks.propagate("relu", 2.0, 0.0, 7, variance=4.0)
    assert relu.metric == pytest.approx(relu.variance)


# What is run


def test_the_default_run():
    cells = claim.cells(Settings())
    runs = [run for cell in cells for run in cell.runs]
    assert len(cells) == 6 and len({key(run) for run in runs}) == len(runs) == 60
    assert [tuple(cell.runs[0].settings.values()) for cell in cells] == [(n, s) for n in STDS for s in STDS[n]]


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    for changed in ({"depth": 5}, {"width": 16}, {"points": 1024}):
        assert not keys() & keys(**changed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, width 32: each must be at least 1"),
        ({"depth": 2}, "depth 2: slopes are taken from layer 2 on"),
        ({"points": 65}, "points 65: give an even number of at least 64"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(depth=4) < total() < total(points=65_536)
    quick = claim.quick(Settings(points=128))
    assert quick["points"] == 128 and set(quick) <= {one.name for one in fields(Settings)}


# How it is judged

HEADLINES = (
    *(f"layers-{std}" for std in (2, 3, 4)), "weights", *(f"grow-{std}" for std in (2, 3, 4)),
    "relu-kinks-2", "relu-slope-2",
)  # fmt: skip


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["layers-3"].value == pytest.approx(1, abs=0.02) and statements["layers-3"].n == 10
    assert statements["grow-4"].value == pytest.approx(1.73, abs=0.02)
    assert statements["crofton-hard-tanh-2"].value == pytest.approx(1)
    assert statements["missed"].verdict == Verdict.supported
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"slope": 0.7}, {"layers-2", "layers-3", "layers-4"}),
        ({"slope": 1.2}, {"layers-2", "layers-3", "layers-4"}),
        ({"over": 0.7}, {"weights"}),
        ({"relu": 1.0}, {"relu-slope-2"}),
        ({"kinks": 1.2}, {"relu-kinks-2"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_missed_informs():
    judgement, statements = judged(results(missed=0.05))
    assert statements["missed"].verdict == Verdict.refuted and judgement.verdict == Verdict.supported


def test_few_seeds_decide_nothing():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_and_a_missing_kind():
    head, *rows = judged(results(spread=0.0))[0].table
    assert len(head) == 6 and [row[1] for row in rows] == ["1.5", "2", "3", "4", "√2", "2"]
    assert rows[1][5] == "1.000" and float(rows[5][5]) == 0 and rows[5][3] == "2 to 2"
    with pytest.raises(ValueError, match=r"no run of ReLU with 1\.41421 is stored"):
        judged([one for one in results() if one.run.settings["weight_std"] != ROOT2])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs, depth=4)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run():
    """Alone or beside another the same; and Crofton's formula, for the outputs that were drawn."""
    cell = claim.cells(SMALL)[1]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), [cell, Cell(cell.runs[1:])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    both, alone = found
    assert both[1].curves == alone[0].curves != both[0].curves
    one = both[0]
    assert set(one.curves) == {"layer", "length", "transitions", "kinks", "norm"}
    assert one.values["gap"] <= claim.REL_TOL and 0 <= one.values["missed"] < 0.02
    net = _trajectories.network("hard_tanh", 6, 3, 2.0, 0.0, 0)
    x = paths.points(_trajectories.circle(6, 0), np.arange(2048) / 2048)
    for layer, (_, z) in enumerate(claim.layers(net, x, claim.KINKS["hard_tanh"])):
        turn = z / np.linalg.norm(z, axis=1, keepdims=True)
        angle = np.linalg.norm(np.roll(turn, -1, axis=0) - turn, axis=1).sum()
        # The mean over 64 outputs of a count with a spread of about 2.
        assert one.curves["transitions"][layer] == pytest.approx(angle / pi, abs=5 * 2 / 8)
        chords = np.linalg.norm(np.roll(z, -1, axis=0) - z, axis=1).sum()
        assert one.curves["length"][layer] == pytest.approx(chords, rel=5e-3)
