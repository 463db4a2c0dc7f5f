"""Bound ladder: shares of a length against numbers written out, what is run, how it is judged, a small run."""

from dataclasses import fields
from math import sqrt

import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _ladders
from flyroom.claims import bound_ladder as claim
from flyroom.claims.bound_ladder import CONSTANTS, SHOWN, Kind, Settings
from flyroom.measure import paths, trajectory
from flyroom.measure.trajectory import Interval, Ladder, Rung
from flyroom.records import Cell, Evidence, Result, Verdict
from flyroom.store import key

# Every rung over the length at 2, 4 and 6 layers, as predicted before the first run (and for ReLU, as claimed).
TRUE = {
    ("upper", "integral on T"): (1.1, 1.2, 1.3),
    ("upper", "supremum on T"): (2.0, 2.2, 2.5),
    ("upper", "supremum"): (4.0, 5.0, 7.0),
    ("upper", "layers apart"): (15.0, 120.0, 900.0),
    CONSTANTS: (18.0, 147.0, 1140.0),
    ("lower", "integral on T"): (0.6, 0.5, 0.4),
    ("lower", "infimum on T"): (0.3, 0.2, 0.13),
    ("lower", "infimum"): (1e-6, 1e-9, 1e-12),
    ("lower", "layers apart"): (1e-9, 1e-16, 1e-23),
}


def results(settings=Settings(), spread=0.03, name="", **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has the deepest share of a rung, for one activation."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            place = claim.depths(settings).index(run.settings["layers"])
            values = {"length": 40.0, "reached": 1.0}
            for (side, rung), shares in TRUE.items():
                share = shares[place] * np.exp(spread * draw.standard_normal())
                other = changed.get(f"{side}_{rung}".replace(" ", "_"))
                if other is not None and place == 2 and run.settings["activation"] == name:
                    share = other
                share = max(share, 1.0) if side == "upper" else min(share, 1.0)
                values[_ladders.label(side, rung, "low")] = share * (1 - 1e-3)
                values[_ladders.label(side, rung, "high")] = share * (1 + 1e-3)
            made.append(Result(run, values))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Shares of a length


def ladder(length: Interval, **rungs: Interval) -> Ladder:
    travelled = paths.length(paths.line([0.0, 0.0], [3.0, 4.0]))
    made = tuple(
        Rung("supremum", side, value, Evidence.certified, "", "", "") for side, value in rungs.items()
    )  # fmt: skip
    return Ladder(length, travelled, made, (), 1e-2, True, 1, 0.0, "")


def test_shares_take_the_ends_that_lie_farthest_apart():
    found = _ladders.shares(ladder(Interval(2.0, 4.0), upper=Interval(8.0, 10.0), lower=Interval(0.0, 1.0)))
    assert found == {
        "upper/supremum/low": 2.0, "upper/supremum/high": 5.0, "lower/supremum/low": 0.0, "lower/supremum/high": 0.5
    }  # fmt: skip
    assert "upper/supremum/high" not in _ladders.shares(ladder(Interval(2.0, 4.0), upper=Interval(8.0, np.inf)))


@pytest.mark.parametrize("length", [Interval(0.0, 1.0), Interval(1.0, np.inf)])
def test_a_length_that_says_nothing_has_no_shares(length):
    with pytest.raises(ValueError, match="bounds have no share of it"):
        _ladders.shares(ladder(length, upper=Interval(1.0, 1.0)))


def test_geometric_means():
    found = _ladders.geometric(np.log10([1.0, 100.0]))
    assert found.value == pytest.approx(10.0) and found.interval is not None
    low, high = found.interval
    assert 0 < low < 10 < high < np.inf and low * high == pytest.approx(100)
    far = _ladders.geometric([-80.0, 20.0]).interval
    assert far == (1e-300, 1e300)
    assert _ladders.geometric([2.0]).interval is None


def test_zeros_count_as_nothing():
    made = [Result(one.run, {"share": share}) for one, share in zip(results(), (0.0, 0.0, 1e-3), strict=False)]
    assert _ladders.logs(made, "share", activation="tanh").tolist() == pytest.approx([-80, -80, -3])
    assert _ladders.text(made, "share", activation="tanh") == "0"
    assert _ladders.text(made[2:], "share", activation="tanh") == "0.001"


def test_the_rungs_are_those_of_the_network_written_out():
    """At depth 1 against NumPy: the product of norms, and chords for the length."""
    kind, width = Kind("gelu", 1, "line"), 5
    net, path = claim.network(kind, width, 3), claim.path(kind, width, 3)
    found = trajectory.bounds(net, path)
    norms = [np.linalg.svd(np.asarray(layer.weight, np.float64), compute_uv=False) for layer in net.layers]
    slope = 1.128904145  # of GELU, at sqrt 2
    share = _ladders.shares(found)
    x = paths.points(path, np.linspace(0, 1, 2))
    length = np.linalg.norm(x[1] - x[0])
    wanted = norms[0][0] * norms[1][0] * slope * length / found.length.low
    assert share["upper/slope constants/low"] <= wanted * (1 + 1e-6)
    assert share["upper/slope constants/high"] >= wanted * (1 - 1e-6)
    assert share["upper/slope constants/high"] == pytest.approx(wanted, rel=5e-3)
    assert share["upper/supremum on T/high"] >= 1 >= share["lower/infimum on T/low"]


# What is run


def test_the_default_run():
    cells = claim.cells(Settings())
    runs = [run for cell in cells for run in cell.runs]
    assert len(cells) == 12 and len({key(run) for run in runs}) == len(runs) == 120
    assert sum(run.settings["path"] == "line" for run in runs) == 30
    for kind in claim.kinds(Settings()):
        net = claim.network(kind, 24, 1)
        assert [layer.weight.shape for layer in net.layers] == [(24, 24)] * (kind.layers + 1)
        std, bias = claim.SCALES[kind.activation]
        weights = np.concatenate([np.ravel(layer.weight) for layer in net.layers])
        assert weights.var() * 24 == pytest.approx(std**2, rel=5 * sqrt(2 / len(weights)))
        assert np.std([layer.bias for layer in net.layers]) == pytest.approx(bias, rel=0.4)


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12) and not keys() & keys(width=16)
    assert keys(layers="2-6") < keys()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0: each must be at least 1"),
        ({"width": 2}, "width 2: give 3 to 64 units"),
        ({"width": 65}, "width 65"),
        ({"layers": "6"}, "layers '6': give two or more"),
        ({"layers": "0-4"}, "layers '0-4'"),
        ({"layers": "2-13"}, "layers '2-13'"),
        ({"layers": "two"}, "layers 'two'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    quick = claim.quick(Settings())
    assert set(quick) <= {one.name for one in fields(Settings)}
    assert 0 < total(**quick) < total(width=16) < total() < total(runs=20)


# How it is judged


def test_supported_as_claimed():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported and sum(one.headline for one in statements.values()) == 18
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert statements["constants-tanh"].value == pytest.approx(1140, rel=0.05)
    assert statements["looser-gelu"].value == pytest.approx((1140 / 18) ** 0.25, rel=0.02)
    assert statements["tangents-relu"].value == pytest.approx(0.13, rel=0.05)
    assert statements["sides"].evidence == Evidence.certified
    assert {one.evidence for name, one in statements.items() if name != "sides"} == {Evidence.estimate}


@pytest.mark.parametrize(
    ("name", "changed", "refuted"),
    [
        ("tanh", {"upper_slope_constants": 50.0}, {"constants-tanh", "looser-tanh"}),
        ("gelu", {"lower_infimum": 1e-3}, {"infimum-gelu"}),
        ("tanh", {"lower_layers_apart": 1e-5}, {"product-tanh"}),
        ("relu", {"lower_infimum_on_T": 0.01}, {"tangents-relu"}),
        ("relu", {"lower_infimum_on_T": 0.0}, {"tangents-relu"}),
        ("gelu", {"upper_supremum_on_T": 7.0}, {"over-gelu"}),
    ],
)
def test_what_is_refuted(name, changed, refuted):
    judgement, statements = judged(results(name=name, **changed))
    found = {one.id for one in statements.values() if one.headline and one.verdict == Verdict.refuted}
    # 50 times is 1.29 a layer from 18 times on.
    assert found == refuted and judgement.verdict == Verdict.refuted


def test_bounds_of_nothing_support_that_they_say_nothing():
    statements = judged(results(name="relu", lower_layers_apart=0.0, lower_infimum=0.0))[1]
    for name in ("infimum-relu", "product-relu"):
        assert statements[name].value == pytest.approx(1e-80) and statements[name].verdict == Verdict.supported


def test_a_bound_on_the_wrong_side_is_refuted():
    made = results()
    broken = {**made[0].values, "lower/infimum on T/low": 1.01}
    assert judged([Result(made[0].run, broken), *made[1:]])[1]["sides"].verdict == Verdict.refuted


def test_few_seeds_decide_nothing():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    decided = {name for name, one in statements.items() if one.verdict in (Verdict.supported, Verdict.refuted)}
    assert judgement.verdict == Verdict.undecided and decided == {"sides"}


def test_the_table_and_a_missing_kind():
    head, *rows = judged(results(spread=0.0))[0].table
    assert len(head) == 3 + len(SHOWN) and len(rows) == 12
    assert rows[2][:3] == ("tanh", "6", "circle") and rows[2][7] == "1.1e+03" and rows[2][-1] == "1e-23"
    assert rows[-1][:3] == ("GELU", "6", "line")
    with pytest.raises(ValueError, match="no run of activation gelu"):
        judged([one for one in results() if one.run.settings["activation"] != "gelu"])


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figure_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings, name="relu", lower_infimum=0.0)
    (spec,) = claim.figure(made, claim.judge(made, settings)).values()
    assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run(monkeypatch):
    """Alone or among others the same numbers, and those of the ladder itself."""
    monkeypatch.setattr(claim, "SCALES", {"tanh": (1.5, 0.3)})
    settings = Settings(runs=2, width=4, layers="1-2")
    cells = claim.cells(settings)
    assert len(cells) == 3
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, settings), [*cells[1:], Cell(cells[1].runs[1:])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    assert found[2][0].values == found[0][1].values != found[0][0].values
    kind = Kind("tanh", 2, "circle")
    ladder = trajectory.bounds(claim.network(kind, 4, 1), claim.path(kind, 4, 1))
    assert {"length": ladder.length.high, "reached": float(ladder.reached), **_ladders.shares(ladder)} == (
        found[0][1].values
    )
    for one in (*found[0], *found[1]):
        for side, rung in SHOWN:
            share = [one.values[_ladders.label(side, rung, end)] for end in ("low", "high")]
            assert share[0] <= share[1] and (share[1] >= 1 if side == "upper" else share[0] <= 1)
