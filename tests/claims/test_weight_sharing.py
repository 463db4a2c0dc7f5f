"""Weight sharing: the three kinds of layer, shuffling, what is run, how it is judged, and a small run of everything."""

from dataclasses import fields, replace

import altair
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import _nested
from flyroom.claims import weight_sharing as claim
from flyroom.claims.weight_sharing import FIRST_ONLY, KINDS, SIZES, Settings
from flyroom.nets.mlp import MLP
from flyroom.nets.spec import parameters
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, sizes="4000-5000", steps=20, test=1000)
# Test accuracy by size; then shuffled at 4000 and at the largest; then with only the first layer.
TRUE = {"dense": (0.45, 0.64, 0.78, 0.87), "local": (0.50, 0.70, 0.82, 0.88), "conv": (0.62, 0.82, 0.89, 0.91)}
MIXED = {"dense": (0.64, 0.87), "local": (0.55, 0.80), "conv": (0.47, 0.70)}
FIRST = {"local first": 0.66, "conv first": 0.70}


def results(settings=Settings(), spread=0.004, true=None, mixed=None) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand."""
    draw = np.random.default_rng(0)
    plain, shuffled = TRUE | (true or {}), MIXED | (mixed or {})
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            kind, n = run.settings["kind"], run.settings["n"]
            if kind in FIRST:
                value = FIRST[kind]
            elif run.settings["shuffled"]:
                value = shuffled[kind][n != claim.JUDGED]
            else:
                value = plain[kind][SIZES.index(n)]
            value += spread * draw.standard_normal()
            made.append(Result(run, {"test_accuracy": float(value), "parameters": 123.0, "multiply_adds": 456.0}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Networks


def test_all_kinds_have_as_many_hidden_units():
    x = jnp.zeros((3, 40))
    for kind in KINDS[1:]:
        assert [one[..., 0].size for one in claim.network(kind, 0).responses(x)] == [160, 160]
    for kind in FIRST_ONLY:
        net = claim.network(kind, 0)
        assert [one[..., 0].size for one in net.responses(x)] == [160] and net.dense[0].weight.shape == (160, 160)
    assert isinstance(claim.network("dense", 0), MLP)
    assert all(claim.network(kind, 0)(x).shape == (3, 10) for kind in (*KINDS, *FIRST_ONLY))


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("dense", 41 * 160 + 161 * 160 + 161 * 10),
        ("local", (5 + 1) * 160 + (5 * 8 + 1) * 160 + 161 * 10),
        ("conv", (5 + 1) * 8 + (5 * 8 + 1) * 16 + 161 * 10),
        ("local first", (5 + 1) * 160 + 161 * 160 + 161 * 10),
        ("conv first", (5 + 1) * 8 + 161 * 160 + 161 * 10),
    ],
)
def test_parameters(kind, count):
    assert parameters(claim.network(kind, 0)) == count


@pytest.mark.parametrize("kind", KINDS)
def test_a_shuffled_network_is_the_same_network_on_shuffled_signals(kind):
    x = np.random.default_rng(1).standard_normal((4, 40)).astype(np.float32)
    plain, mixed = claim.network(kind, 5), claim.network(kind, 5, shuffled=True)
    assert sorted(mixed.order.tolist()) == list(range(40)) != mixed.order.tolist()
    np.testing.assert_allclose(mixed(jnp.asarray(x)), plain(jnp.asarray(x[:, np.asarray(mixed.order)])), rtol=1e-6)
    assert (claim.network("dense", 5, shuffled=True).order == mixed.order).all()  # all kinds of a seed see the same
    assert (claim.network(kind, 6, shuffled=True).order != mixed.order).any()
    assert parameters(mixed) == parameters(plain)  # the order is not learned


def test_two_layers_see_a_whole_digit():
    """A unit in the middle of the second layer sees 13 positions, and no others."""
    net = claim.network("conv", 0)
    x = jnp.zeros((41, 40)).at[jnp.arange(40), jnp.arange(40)].set(1.0)  # one lit position each, the last: none
    second = np.asarray(net.responses(x)[1])[:, 5]
    seen = np.flatnonzero((second[:, :40] != second[:, 40:]).any(0))
    assert seen.min() >= 14 and seen.max() <= 26 and len(seen) <= 13


# What is run


def test_the_prediction_is_in_the_file():
    assert "dense 64 +- 3 %" in claim.ABOUT.prediction and "| conv     | 62 +- 7" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert len(cells) == 3 * 4 + 3 * 2 + 2 and all(len(cell.runs) == 10 for cell in cells)
    assert [cell.ahead for cell in cells].count(True) == 3 + 3 + 2  # one program each
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 200
    assert {run.data["train"] for run in runs} == set(SIZES)


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    assert keys(first_only=False) < keys() and keys(sizes="4000-64000") < keys()
    for changed in ({"steps": 10}, {"batch": 50}, {"test": 1000}):
        assert not keys() & keys(**changed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps 0, .*each must be at least 1"),
        ({"test": 1500}, "test 1500: choose a multiple of 1000"),
        ({"sizes": "4000"}, "sizes '4000': give two or more"),
        ({"sizes": "1000-4000"}, "4000 among them and a larger one"),
        ({"sizes": "1000-16000"}, "4000 among them"),
        ({"sizes": "50-4000-8000"}, "none below a batch of 100"),
        ({"sizes": "4000-many"}, "sizes '4000-many'"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=600) < total(first_only=False) < total() < 600
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}
    assert len(claim.cells(replace(Settings(), **claim.quick(Settings())))) == 12


# How it is judged

HEADLINES = {"conv-local", "local-dense", "shrinks", "shuffled-conv", "shuffled-local"}


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert statements["conv-local"].value == pytest.approx(0.12, abs=0.005)
    assert statements["local-dense"].p == pytest.approx(2 * 2 / 2**10)
    assert statements["shrinks"].value == pytest.approx(0.18 - 0.04, abs=0.006)
    small = statements["shrinks-1000"]
    assert small.verdict == Verdict.undecided or abs(small.value or 0) < 0.02
    assert statements["shuffled-conv"].value == pytest.approx(-0.17, abs=0.005)
    assert statements["shuffled-conv-many"].value == pytest.approx(-0.17, abs=0.005)
    assert statements["first-conv-local"].value == pytest.approx(0.04, abs=0.005)
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert judgement.runs == 200


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"true": {"conv": (0.6, 0.67, 0.7, 0.71)}}, {"conv-local"}),
        ({"true": {"local": (0.5, 0.60, 0.7, 0.8)}}, {"local-dense"}),
        ({"true": {"conv": (0.62, 0.72, 0.9, 0.99)}}, {"shrinks"}),
        ({"mixed": {"conv": (0.70, 0.90)}}, {"shuffled-conv"}),
        ({"mixed": {"local": (0.70, 0.90)}}, {"shuffled-local"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results(true={"local": (0.5, 0.64, 0.8, 0.88)}, spread=0.01))
    assert judgement.verdict == Verdict.undecided == statements["local-dense"].verdict
    on_margin = judged(results(mixed={"conv": (0.66, 0.88)}, spread=0.01))[1]
    assert on_margin["shuffled-conv"].verdict == Verdict.undecided


@pytest.mark.parametrize("runs", [1, 5])
def test_few_seeds_decide_nothing(runs):
    few = Settings(runs=runs)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_has_parameters():
    head, *rows = judged(results())[0].table
    assert head[:4] == ("hidden layers", "parameters", "multiply-adds", "1,000, %")
    assert head[-2:] == ("shuffled, 4,000, %", "shuffled, 64,000, %")
    assert [row[0] for row in rows] == ["dense", "local", "conv", "local first", "conv first"]
    assert rows[0][1:3] == ("123", "456") and rows[3][3] == "" and rows[3][4].startswith("66.")


def test_a_missing_size_is_an_error():
    with pytest.raises(ValueError, match="no run of kind dense, n 4000, shuffled True is stored"):
        judged([one for one in results() if not one.run.settings["shuffled"]])


@pytest.mark.parametrize("settings", [Settings(), Settings(runs=1, sizes="4000-16000", first_only=False)])
def test_the_figures_can_be_drawn(settings):
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def run(cells):
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), cells):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    return found


def test_a_small_run():
    """Whatever else is in the cell, and whatever the largest set: the second network alone gives the same numbers."""
    cells = claim.cells(SMALL)
    shuffled = next(cell for cell in cells if cell.runs[0].settings["shuffled"] and "local" in str(cell.runs[0]))
    both, alone = run([shuffled, Cell(shuffled.runs[1:])])
    larger = claim.run(Cell(shuffled.runs[1:]), replace(SMALL, sizes="4000-6000"))
    assert both[1].values == alone[0].values == larger[0].values and both[0].values != both[1].values
    assert both[0].values["parameters"] == 9130 and both[0].values["multiply_adds"] == 160 * 5 + 160 * 40 + 1600
    assert both[0].run.settings == {"kind": "local", "n": 4000, "shuffled": True, "steps": 20}


def test_the_order_of_positions_is_not_moved_by_training():
    cells = [cell for cell in claim.cells(SMALL) if cell.runs[0].settings["kind"] == "dense"]
    plain, mixed = (next(c for c in cells if c.runs[0].settings["shuffled"] is which) for which in (False, True))
    made = [one.values["test_accuracy"] for outcome in run([plain, mixed]) for one in outcome]
    assert len(set(made)) == 4 and max(made) - min(made) < 0.15  # a dense network does not mind


def test_sets_are_nested():
    (small, labels), (large, more) = (_nested.training_set(1, n) for n in (1000, 4000))
    assert (large[:1000] == small).all() and (more[:1000] == labels).all()


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = [one for outcome in run(claim.cells(SMALL)) for one in outcome]
    judgement = claim.judge(made, SMALL)
    assert judgement.verdict == Verdict.undecided and judgement.runs == 2 * (6 + 6 + 2)
    for spec in claim.figure(made, judgement).values():
        assert plot.render(spec, "svg").startswith(b"<svg")
