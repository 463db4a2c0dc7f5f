"""Quadratic length: chains in closed form, products, crossings, what is run, how it is judged, a small run."""

from dataclasses import fields
from math import pi, sqrt

import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import quadratic_length as claim
from flyroom.claims.quadratic_length import CHAINS, HIGH, KINDS, LOW, NARROW, SHIFTED, WIDE, Kind, Settings
from flyroom.measure import paths, trajectory
from flyroom.records import Cell, Evidence, Result, Run, Verdict
from flyroom.store import key

LOW_UP, HIGH_DOWN = "upper/layers apart/low", "lower/layers apart/high"


def results(settings=Settings(), spread=0.03, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand, as predicted; `changed` replaces numbers of one kind of network.

    Names are net_number, such as narrow_lower or wide_upper; numbers are upper, lower and crossings.
    """
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            kind = Kind(*(run.settings[name] for name in Kind._fields))
            noise = np.exp(spread * draw.standard_normal())
            numbers = {"upper": 8.0**kind.squares * noise, "lower": 1e-7 * noise, "crossings": 0.0}
            if kind.net == "chain":
                numbers = {"upper": (1.01, 1.03, 1.07)[kind.squares - 1], "lower": 0.97, "crossings": 0.0}
            if kind.net == "wide" and (kind.part < 64 or (kind.part == 64 and run.seed > 1)):
                numbers |= {"lower": 0.0, "crossings": 12.0}
            if kind.net == "narrow":
                numbers["lower"] = 0.0
            numbers |= {
                name: value
                for name in numbers
                for place, value in changed.items()
                if (place == f"{kind.net}_{name}" and kind.part != 512)
                or (place == f"{kind.net}512_{name}" and kind.part == 512)
            }  # fmt: skip
            values = {"length": 1.0, "reached": 1.0, "crossings": numbers["crossings"]}
            on = "" if kind.net == "chain" else " on T"
            for name, share in (
                ("upper/layers apart", numbers["upper"]), ("lower/layers apart", numbers["lower"]),
                (f"upper/supremum{on}", 3 * noise), (f"lower/infimum{on}", 0.1 * noise),
            ):  # fmt: skip
                values |= {f"{name}/low": share * (1 - 1e-3), f"{name}/high": share * (1 + 1e-3)}
            made.append(Result(run, values))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


def measured(kind: Kind, seed: int = 0) -> Result:
    return claim._measured(Run(claim.ABOUT.id, claim.ABOUT.version, kind._asdict(), seed, {}))


# Networks, paths, bounds


@pytest.mark.parametrize("kind", CHAINS[::2])
def test_chains_are_powers(kind):
    """x^D: its length and its product in closed form; half of that and less lies below the length."""
    low, high, degree = 1 - claim.HALF, 1 + claim.HALF, 2**kind.squares
    length = high**degree - low**degree
    product = (high - low) * np.prod([2 * high ** (2**k) for k in range(kind.squares)])
    found = measured(kind).values
    assert found["length"] == pytest.approx(length, rel=2e-3)
    assert found[LOW_UP] <= product / length * (1 + 1e-9) and found[HIGH] >= product / length * (1 - 1e-9)
    assert found[HIGH] == pytest.approx(product / length, rel=1e-2) and product / length < 2**kind.squares
    least = (high - low) * np.prod([2 * low ** (2**k) for k in range(kind.squares)]) / length
    assert found[LOW] <= least * (1 + 1e-9) and found[LOW] == pytest.approx(least, rel=1e-2)


def test_random_networks_and_their_products():
    """Widths, variance, and both products of a network with one square written out along its path."""
    kind = WIDE[3]
    net, path = claim.network(kind, 2), claim.path(kind, 2)
    assert [layer.weight.shape for layer in net.layers] == [(12, 8), (16, 12)]
    assert not any(np.any(layer.bias) for layer in net.layers)
    first, last = (np.asarray(layer.weight, np.float64) for layer in net.layers)
    assert first.var() * 8 == pytest.approx(1, rel=5 * sqrt(2 / first.size))
    x = paths.points(path, np.linspace(0, 1, 20_001))
    u = np.abs(x @ first.T)
    length = np.linalg.norm(np.diff((x @ first.T) ** 2 @ last.T, axis=0), axis=1).sum()
    travelled = 2 * pi * sqrt(8) / 512
    sizes = [np.linalg.svd(one, compute_uv=False)[[0, -1]] for one in (first, last)]
    upper = travelled * 2 * u.max() * sizes[0][0] * sizes[1][0] / length
    lower = travelled * 2 * u.min() * sizes[0][1] * sizes[1][1] / length
    found = measured(kind, 2).values
    assert found[HIGH] == pytest.approx(upper, rel=1e-2) and found[LOW] == pytest.approx(lower, rel=2e-2)
    assert found["crossings"] == 0
    outputs = [claim.network(Kind(name, 2, 1), 0).layers[-1].weight.shape[0] for name in ("narrow", "wide")]
    assert outputs == [4, 16]


def test_crossings_are_counted():
    """On a whole circle without biases every unit of the first layer crosses 0; with the biases none does."""
    kind = Kind("wide", 1, 1)
    net, path = claim.network(kind, 0), claim.path(kind, 0)
    assert claim.crossings(net, path) == 12
    (u,) = claim.pre_activations(net, path)
    begin = paths.points(path, np.zeros(1))[0]
    np.testing.assert_allclose(u[0], np.asarray(net.layers[0].weight, np.float64) @ begin, rtol=1e-12)
    shifted = claim.network(Kind("shifted", 3, 1), 0)
    assert claim.crossings(shifted, path) == 0
    for u in claim.pre_activations(shifted, path):
        assert u.min() > 0 and (u.max(axis=0) <= 3.01 * u.min(axis=0)).all()


def test_a_part_of_a_circle():
    path = claim.path(Kind("wide", 1, 8), 3)
    found = paths.length(path)
    assert found.low <= 2 * pi * sqrt(8) / 8 * (1 + 1e-12) and found.high >= 2 * pi * sqrt(8) / 8 * (1 - 1e-12)


# What is run


def test_the_default_run():
    cells = claim.cells(Settings())
    runs = [run for cell in cells for run in cell.runs]
    assert len(cells) == len(KINDS) == len(set(KINDS)) == 21
    assert len({key(run) for run in runs}) == len(runs) == 183
    assert {run.seed for run in runs if run.settings["net"] == "chain"} == {0}


def test_more_seeds_keep_the_stored_runs():
    def keys(runs: int) -> set[str]:
        return {key(run) for cell in claim.cells(Settings(runs)) for run in cell.runs}

    assert keys(10) < keys(12)
    with pytest.raises(ValueError, match="runs 0: each must be at least 1"):
        claim.cells(Settings(runs=0))
    assert claim.quick(Settings()) == {"runs": 2} and set(claim.quick(Settings())) <= {x.name for x in fields(Settings)}
    assert claim.cost(claim.cells(Settings())[0].runs[0]) < claim.cost(claim.cells(Settings())[5].runs[0])


# How it is judged


def test_supported_as_claimed():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported and sum(one.headline for one in statements.values()) == 8
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert statements["without-chain"].value == pytest.approx(0.505, rel=2e-3)
    assert statements["loose"].value == pytest.approx(512, rel=0.05)
    assert statements["positive-64"].value == pytest.approx(0.2) and statements["positive-512"].value == 1
    certified = {name for name, one in statements.items() if one.evidence == Evidence.certified}
    assert certified == {"without-chain", "with", "without-wide", "narrow", "shifted"}


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"chain_upper": 2.5}, "without-chain"),
        ({"shifted_upper": 0.9}, "with"),
        ({"wide_crossings": 0.0}, "iff"),
        ({"wide512_crossings": 1.0}, "iff"),
        ({"narrow512_lower": 1e-9}, "narrow"),
        ({"wide512_lower": 0.05}, "little"),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    found = {one.id for one in statements.values() if one.headline and one.verdict == Verdict.refuted}
    assert found == {refuted} and judgement.verdict == Verdict.refuted


def test_random_networks_might_have_shown_the_error():
    statements = judged(results(wide_upper=1.5))[1]
    found = {one.id for one in statements.values() if one.headline and one.verdict == Verdict.refuted}
    assert found == {"without-wide", "loose"}
    statements = judged(results(shifted_lower=0.0, shifted_crossings=1.0))[1]
    assert statements["shifted"].verdict == Verdict.refuted and statements["iff"].verdict == Verdict.supported


def test_few_seeds_or_no_lower_product_decide_nothing_of_sizes():
    few = Settings(runs=5)
    statements = judged(results(few), few)[1]
    undecided = {one.id for one in statements.values() if one.headline and one.verdict == Verdict.undecided}
    assert undecided == {"loose", "little"}
    statements = judged(results(wide512_lower=0.0, wide512_crossings=1.0))[1]
    assert statements["little"].verdict == Verdict.undecided and statements["little"].value is None


def test_the_table_and_missing_runs():
    head, *rows = judged(results(spread=0.0))[0].table
    assert len(rows) == 21 and all(len(row) == len(head) for row in rows)
    assert rows[0][:5] == ("chain", "1", "line", "1.01", "0.506") and rows[3][2] == "1" and rows[4][2] == "1/8"
    assert rows[5][8] == "20" and rows[5][9] == "9.6" and rows[3][7] == "0"
    with pytest.raises(ValueError, match="or its like is stored"):
        judged([one for one in results() if one.run.settings["net"] != NARROW[0].net])
    assert SHIFTED[0].part == 1


@pytest.mark.parametrize("runs", [1, 3])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs)
    made = results(settings)
    for spec in claim.figure(made, claim.judge(made, settings)).values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run(monkeypatch):
    """Alone or among others the same numbers, and those of the ladder itself."""
    monkeypatch.setattr(claim, "KINDS", (CHAINS[0], NARROW[0]))
    settings = Settings(2)
    cells = claim.cells(settings)
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, settings), [*cells, Cell(cells[1].runs[1:])]):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    assert found[2][0].values == found[1][1].values != found[1][0].values
    ladder = trajectory.bounds(claim.network(NARROW[0], 1), claim.path(NARROW[0], 1))
    (upper,) = (one for one in ladder.rungs if (one.side, one.name) == claim.UPPER)
    assert found[1][1].values[HIGH] == upper.value.high / ladder.length.low
    assert found[1][1].values[HIGH_DOWN] == 0 and found[1][1].values["crossings"] == 0
