"""Training and length: first weights, paths, certified lengths against sampled ones, verdicts, a small run."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import training_and_length as claim
from flyroom.claims.training_and_length import DATA, KINDS, MOMENTS, STARTS, Settings
from flyroom.records import Cell, Evidence, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, steps=20, width=6, layers=2)
# Length after over before training, of the first and of the last hidden layer.
TRUE = {
    ("16", "data"): (1.1, 0.7), ("16", "random"): (1.05, 0.9),
    ("3", "data"): (1.3, 2.0), ("3", "random"): (1.2, 1.5),
    ("pytorch", "data"): (2.0, 10.0), ("pytorch", "random"): (1.8, 7.0),
}  # fmt: skip


def results(settings=Settings(), spread=0.02, lost=(), **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has names such as digits_16_data."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            data, start = run.settings["data"], run.settings["start"]
            values = {"train_accuracy": 0.9, "test_accuracy": 0.7}
            if (data, start, run.seed) in lost:
                made.append(Result(run, {**values, "diverged_at_step": 3.0}))
                continue
            curves = {}
            for kind in KINDS:
                first, last = changed.get(f"{data}_{start}_{kind}", TRUE[start, kind])
                before = 3 * np.exp(draw.standard_normal()) * np.ones(settings.layers)
                full = np.geomspace(first, last, settings.layers) * np.exp(spread * draw.standard_normal())
                if start == "16":
                    full[1:-1] = min(last, 0.99) if last < 1 else last  # all later layers as the last
                for moment, factor in zip(MOMENTS, (1.0, full**0.5, full), strict=True):
                    curves[f"{kind}_{moment}_low"] = (before * factor * (1 - 1e-4)).tolist()
                    curves[f"{kind}_{moment}_high"] = (before * factor * (1 + 1e-4)).tolist()
            made.append(Result(run, {**values, "widest": 2e-4, "weights": 0.1 + 0.01 * draw.random()}, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    for said in ("digits 0.75 and 0.93", "1.05 +- 0.05", "digits 10 and 5"):
        assert said in claim.ABOUT.prediction and said in " ".join(str(claim.__doc__).split())


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [tuple(cell.runs[0].settings.values()) for cell in cells] == [(d, s) for d in DATA for s in STARTS]
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 60
    assert {run.data["name"] for run in cells[-1].runs} == {"digits"}


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=11)
    for changed in ({"steps": 100}, {"width": 20}, {"layers": 3}, {"learning_rate": 0.01}):
        assert not keys() & keys(**changed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, width 50: each must be at least 1"),
        ({"layers": 1}, "layers 1: the first and the last hidden layer are compared"),
        ({"layers": 31}, "layers 31"),
        ({"steps": 9}, "steps 9: lengths are taken after a tenth of them, so give 10 or more"),
        ({"learning_rate": float("inf")}, "learning_rate inf must be finite and above 0; the default is 0.001"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=100) < total() < total(layers=8)
    quick = claim.quick(Settings(steps=20))
    assert quick["steps"] == 20 and set(quick) <= {one.name for one in fields(Settings)}
    assert claim.cells(Settings(**quick))


# First weights and paths


@pytest.mark.parametrize("start", ["16", "3"])
def test_gaussian_first_weights_have_their_variance_over_the_fan_in(start):
    net = claim.network(start, 64, Settings(width=200), 0)
    for layer, fan_in in zip(net.layers[:-1], (64, 200, 200, 200), strict=True):
        weight = np.asarray(layer.weight)
        assert weight.var() * fan_in == pytest.approx(float(start), rel=0.05)
        assert np.mean(np.abs(weight) > 2 * weight.std()) == pytest.approx(0.0455, abs=0.01)  # of a normal law
        assert not np.any(layer.bias)


def test_the_standard_start_is_pytorchs():
    net = claim.network("pytorch", 64, Settings(), 3)
    assert float(jnp.abs(net.layers[0].weight).max()) == pytest.approx(1 / 8, rel=0.01)
    assert np.any(net.layers[0].bias)


@pytest.mark.parametrize("name", DATA)
def test_paths_end_at_examples_of_two_classes_or_at_points_with_their_norms(name):
    data, starts = claim._data(name), set()
    assert data.x_train.ndim == 2
    for seed in range(20):
        made = claim.ends(data, seed)
        rows = [np.flatnonzero((data.x_train == end).all(1)) for end in made["data"]]
        assert all(len(row) for row in rows) and len({int(data.y_train[row[0]]) for row in rows}) == 2
        np.testing.assert_allclose(np.linalg.norm(made["random"], axis=1), np.linalg.norm(made["data"], axis=1))
        assert (made["random"].min(1) < 0).all()
        np.testing.assert_array_equal(made["random"], claim.ends(data, seed)["random"])
        starts.add(rows[0][0])
    assert len(starts) > 10


# Lengths


def test_certified_lengths_against_sampled_ones():
    """In NumPy and float64, by 50,001 points of the path: just below the true length, never above the interval."""
    data = claim._data("digits")
    net = claim.network("16", 64, Settings(width=20, layers=3), 1)
    curves, widest = claim.lengths(net, data, 5, "early")
    assert 0 < widest <= 1e-3 and set(curves) == {f"{k}_early_{e}" for k in KINDS for e in ("low", "high")}
    t = np.linspace(0, np.pi / 2, 50_001)[:, None]
    for kind, (x0, x1) in claim.ends(data, 5).items():
        hidden = np.cos(t) * x0 + np.sin(t) * x1
        low, high = curves[f"{kind}_early_low"], curves[f"{kind}_early_high"]
        assert len(low) == len(high) == 3
        for number, layer in enumerate(net.layers[:-1]):
            hidden = np.clip(hidden @ np.asarray(layer.weight, np.float64).T + np.asarray(layer.bias), -1, 1)
            sampled = np.linalg.norm(np.diff(hidden, axis=0), axis=1).sum()
            assert low[number] * (1 - 1e-3) < sampled < high[number]
            assert low[number] < high[number]


def test_changes_are_logarithms_of_ratios():
    made = results(spread=0.0)
    found = claim.kept(made, "digits", "16")
    np.testing.assert_allclose(claim.change(found, "data")[:, [0, -1]], np.log([[1.1, 0.7]] * 10), rtol=1e-9)
    np.testing.assert_allclose(claim.change(found, "random", "early")[:, -1], np.log([0.9] * 10) / 2, rtol=1e-9)


# How it is judged

HEADLINES = tuple(f"{name}-{data}" for data in DATA for name in ("shrinks", "lengthens", "faster", "first"))


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert statements["shrinks-digits"].value == pytest.approx(-np.log(0.7), abs=0.02)
    assert statements["shrinks-digits"].p == pytest.approx(8 * 2 / 2**10)
    assert statements["lengthens-mnist1d"].value == pytest.approx(np.log(2), abs=0.02)
    assert statements["faster-digits"].value == pytest.approx(np.log(0.9 / 0.7), abs=0.03)
    assert statements["first-mnist1d"].value == pytest.approx(np.log(1.1), abs=0.02)
    assert statements["standard-digits"].value == pytest.approx(np.log(10), abs=0.02)
    assert statements["slower-digits"].value == pytest.approx(np.log(2 / 1.5), abs=0.03)
    assert statements["early-digits"].value == pytest.approx(-np.log(0.7) / 2, abs=0.02)
    assert {one.verdict for one in statements.values()} == {Verdict.supported}


def test_numbers_are_certified_and_means_are_estimates():
    statements = judged(results())[1]
    assert statements["certified"].evidence == Evidence.certified and statements["certified"].value == 2e-4
    assert statements["certified"].n == 60 * 6 * 4
    assert all(one.evidence == Evidence.estimate for name, one in statements.items() if name != "certified")
    made = results()
    made[0] = Result(made[0].run, {**made[0].values, "widest": 0.01}, made[0].curves)
    assert judged(made)[1]["certified"].verdict == Verdict.undecided


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"digits_16_data": (1.1, 1.2), "digits_16_random": (1.1, 1.4)}, {"shrinks-digits"}),
        ({"mnist1d_16_random": (1.1, 0.5)}, {"faster-mnist1d"}),
        ({"mnist1d_16_data": (0.9, 0.7)}, {"first-mnist1d"}),
        ({"mnist1d_3_data": (1.3, 0.8)}, {"lengthens-mnist1d"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(digits_16_data=(1.1, 1.0), digits_16_random=(1.1, 1.2), spread=0.1))
    assert judgement.verdict == statements["shrinks-digits"].verdict == Verdict.undecided
    few = Settings(runs=5)
    _, statements = judged(results(few), few)
    assert all(one.verdict == Verdict.undecided for one in statements.values() if one.id != "certified")


def test_networks_that_broke_down_or_map_to_a_point_are_left_out_and_counted():
    made = results(lost=(("digits", "3", 1), ("digits", "3", 4)))
    point = next(one for one in made if one.run.settings == {"data": "digits", "start": "3"} and one.run.seed == 5)
    curves = {**point.curves, "random_after_low": [1.0, 1.0, 1.0, 0.0]}
    made[made.index(point)] = Result(point.run, point.values, curves)
    judgement, statements = judged(made)
    assert statements["lengthens-digits"].n == 7 and statements["lengthens-mnist1d"].n == 10
    head, *rows = judgement.table
    assert len(head) == 7 and [row[:2] for row in rows][-2] == ("digits", "variance 3, 3 left out")
    assert rows[0][:3] == ("MNIST-1D", "variance 16", rows[0][2]) and rows[0][2].startswith("0.7")


def test_a_missing_kind_is_an_error():
    made = [one for one in results() if one.run.settings != {"data": "digits", "start": "3"}]
    with pytest.raises(ValueError, match="no run of data digits, start 3 that can be judged is stored"):
        judged(made)


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs, layers=3)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run(monkeypatch):
    """Whatever else is in the cell, the second network gives the same numbers; and tenths are one training."""
    cell = claim.cells(SMALL)[0]
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), [cell, Cell(cell.runs[1:])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    made, alone = found
    assert made[1].values == alone[0].values and made[1].curves == alone[0].curves
    assert made[0].curves != made[1].curves and made[0].curves["step"] == [20.0]
    assert made[0].run.settings == {"data": "mnist1d", "start": "16", "steps": 20, "width": 6, "layers": 2}
    assert made[0].values["widest"] <= 1e-3 and made[0].values["weights"] != 0
    for kind in KINDS:
        early, late = (made[0].curves[f"{kind}_{moment}_low"] for moment in ("early", "after"))
        assert made[0].curves[f"{kind}_before_low"] != early != late and len(early) == 2
    monkeypatch.setattr(claim, "STAGES", 2)
    halves = claim.run(Cell(cell.runs[1:]), SMALL)[0]
    assert halves.curves["data_after_low"] == alone[0].curves["data_after_low"]
    assert halves.curves["data_early_low"] != alone[0].curves["data_early_low"]
    assert halves.values == pytest.approx(alone[0].values | {"widest": halves.values["widest"]})


def test_a_network_that_breaks_down_leaves_a_result_without_lengths(monkeypatch):
    draw = claim.network

    def broken(start, inputs, settings, seed):
        net = draw(start, inputs, settings, seed)
        return jax.tree.map(lambda leaf: leaf * (jnp.nan if seed == 1 and leaf.ndim == 1 else 1), net)

    monkeypatch.setattr(claim, "lengths", lambda net, data, seed, moment: ({f"data_{moment}_low": [1.0]}, 0.0))
    monkeypatch.setattr(claim, "network", broken)
    well, lost = claim.run(claim.cells(SMALL)[0], SMALL)
    assert "widest" in well.values and "diverged_at_step" not in well.values
    assert "widest" not in lost.values and lost.values["diverged_at_step"] == 0
