"""Downsampling: costs and channels, what is saved, what is run, how it is judged, and a small run of everything."""

from dataclasses import fields, replace

import altair
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot, stats
from flyroom.claims import downsampling as claim
from flyroom.claims.downsampling import COSTS, HALF, LABELS, REDUCED, WHOLE, Settings
from flyroom.measure.architecture import architecture
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, ladder=False, digits=True, steps=20, digits_steps=20, examples=200, test=1000)
# Test accuracy on signals, cost by cost; then on digits.
TRUE = {
    "none": (0.80, 0.86, 0.89, 0.90),
    "stride": (0.89, 0.92, 0.93, 0.94),
    "max": (0.91, 0.94, 0.95, 0.96),
    "mean": (0.88, 0.93, 0.95, 0.95),
}
DIGITS = {"none": 0.96, "stride": 0.965, "max": 0.975, "mean": 0.975}


def results(settings=Settings(), spread=0.003, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand."""
    draw = np.random.default_rng(0)
    table = TRUE | changed
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            data, variant, cost = (run.settings[name] for name in ("data", "variant", "cost"))
            value = table[variant][COSTS.index(cost)] if data == "signals" else DIGITS[variant]
            value += spread * draw.standard_normal()
            spent = claim.cost_of(data, variant, claim.channels_for(data, variant, cost))
            values = {"test_accuracy": float(value), "multiply_adds": float(spent), "parameters": 1000.0}
            made.append(Result(run, values))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Costs


@pytest.mark.parametrize("data", ["signals", "digits"])
@pytest.mark.parametrize("variant", LABELS)
def test_the_closed_form_is_what_is_counted_on_the_network(data, variant):
    for channels in (1, 6, 13):
        net = claim.network(data, variant, channels, 0)
        assert architecture(net, claim.SPACE[data]).multiply_adds == claim.cost_of(data, variant, channels)


@pytest.mark.parametrize("channels", [3, 20])
def test_costs_by_hand(channels):
    """40 -> 20 -> 10 -> 5 positions with kernels 5, 3, 3, and 5 positions of every channel into ten classes."""
    c = channels
    assert claim.cost_of("signals", "none", c) == 40 * 5 * c + 2 * 40 * 3 * c * c + 40 * c * 10
    assert claim.cost_of("signals", "max", c) == 40 * 5 * c + (20 + 10) * 3 * c * c + 5 * c * 10
    assert claim.cost_of("signals", "mean", c) == claim.cost_of("signals", "max", c)
    assert claim.cost_of("signals", "stride", c) == 20 * 5 * c + (10 + 5) * 3 * c * c + 5 * c * 10
    assert claim.cost_of("digits", "max", c) == 64 * 9 * c + 16 * 9 * c * c + 4 * c * 10
    assert claim.cost_of("digits", "stride", c) == 16 * 9 * c + 4 * 9 * c * c + 4 * c * 10


def test_equal_costs_are_within_ten_per_cent():
    for data, cost in [*(("signals", cost) for cost in COSTS), ("digits", claim.DIGITS_COST)]:
        for variant in LABELS:
            channels = claim.channels_for(data, variant, cost)
            found = claim.cost_of(data, variant, channels)
            assert abs(found - cost) <= 0.1 * cost, (data, variant, cost, found)
            assert 1 < channels < claim.WIDEST - 1


def test_all_variants_see_what_they_should():
    x = {"signals": jnp.zeros((2, 40)), "digits": jnp.zeros((2, 8, 8))}
    places = {
        ("signals", "none"): [(40,), (40,), (40,)],
        ("signals", "stride"): [(20,), (10,), (5,)],
        ("signals", "max"): [(40,), (20,), (10,)],
        ("digits", "stride"): [(4, 4), (2, 2)],
        ("digits", "mean"): [(8, 8), (4, 4)],
    }
    for (data, variant), expected in places.items():
        found = claim.network(data, variant, 4, 0).responses(x[data])
        assert [one.shape[1:-1] for one in found] == expected
        assert claim.network(data, variant, 4, 0)(x[data]).shape == (2, 10)


# What is saved


def test_savings():
    costs, accuracies = [10.0, 20.0, 40.0], [0.5, 0.7, 0.9]
    assert claim.saved(costs, accuracies, 0.9, 80.0) == pytest.approx(1)
    assert claim.saved(costs, accuracies, 0.6, 80.0) == pytest.approx(2.5)
    assert claim.saved(costs, accuracies, 0.1, 80.0) == pytest.approx(3)  # not below the cheapest
    assert claim.saved(costs, accuracies, 0.95, 80.0) == 0  # not reached
    assert claim.saved(costs, [0.5, 0.9, 0.7], 0.9, 80.0) == pytest.approx(2)  # a dearer one does as well
    assert claim.saved(costs, [0.5, 0.9, 0.7], 0.95, 80.0) == 0


# What is run


def test_the_prediction_is_in_the_file():
    assert "89 +- 3" in claim.ABOUT.prediction and "| none          | 80 +- 6" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert len(cells) == 4 * 4 + 4 and all(len(cell.runs) == 10 and cell.ahead for cell in cells)
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 200
    assert cells[0].runs[0].data["train"] == 4000 and cells[-1].runs[0].data["name"] == "digits"


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    assert keys(ladder=False) < keys() and keys(digits=False) < keys()
    digits = keys() - keys(digits=False)
    for changed in ({"steps": 10}, {"examples": 1000}, {"test": 1000}):
        assert keys() & keys(**changed) == digits
    assert keys() - keys(digits_steps=10) == digits


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps 0, .*each must be at least 1"),
        ({"test": 1500}, "test 1500: choose a multiple of 1000"),
        ({"examples": 99}, "examples 99: a batch of 100"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=400) < total(ladder=False) < total() < 600
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}
    assert len(claim.cells(replace(Settings(), **claim.quick(Settings())))) == 8


# How it is judged

HEADLINES = {f"{kind}-{variant}" for kind in ("equal-cost", "half-cost") for variant in REDUCED}


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert statements["equal-cost-max"].value == pytest.approx(0.06, abs=0.004)
    assert statements["equal-cost-max"].p == pytest.approx(3 * 2 / 2**10)
    assert statements["half-cost-stride"].value == pytest.approx(0.03, abs=0.004)
    assert statements["equal-accuracy-max"].value == pytest.approx(3.09, abs=0.05)  # log2(98,040 / 11,500)
    assert statements["equal-accuracy-stride"].verdict == Verdict.supported
    assert statements["digits-max"].value == pytest.approx(0.015, abs=0.004)
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert judgement.runs == 200


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"stride": (0.8, 0.84, 0.86, 0.93)}, {"equal-cost-stride", "half-cost-stride"}),
        ({"none": (0.8, 0.9, 0.90, 0.95), "stride": (0.8, 0.9, 0.92, 0.93)}, {"half-cost-stride"}),
        ({"none": (0.8, 0.9, 0.96, 0.90)}, {"equal-cost-stride", "equal-cost-max", "equal-cost-mean"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results(none=(0.8, 0.86, 0.93, 0.94), spread=0.01))
    assert statements["equal-cost-stride"].verdict == Verdict.undecided == judgement.verdict
    assert statements["half-cost-stride"].verdict == Verdict.undecided  # on the margin


def test_a_ladder_that_never_gets_there_saves_nothing():
    statements = judged(results(stride=(0.6, 0.7, 0.8, 0.85)))[1]
    assert statements["equal-accuracy-stride"].value == 0
    assert statements["equal-accuracy-stride"].verdict == Verdict.refuted


@pytest.mark.parametrize("runs", [1, 5])
def test_few_seeds_decide_nothing(runs):
    few = Settings(runs=runs)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_states_channels_and_costs():
    head, *rows = judged(results())[0].table
    assert head == ("test accuracy, %", "12,000", "24,000", "48,000", "96,000", "digits, 20,000")
    assert [row[0] for row in rows] == ["none", "stride 2", "max", "mean"]
    assert rows[0][3].endswith("; 13 channels, 48,360") and rows[1][5].endswith("; 21 channels, 19,740")


def test_a_missing_variant_is_an_error():
    made = [one for one in results() if one.run.settings["variant"] != "max"]
    with pytest.raises(ValueError, match="no run of data signals, variant max, cost 48000 is stored"):
        judged(made)


@pytest.mark.parametrize("settings", [Settings(), Settings(runs=1, ladder=False, digits=False)])
def test_the_figures_can_be_drawn(settings):
    made = results(settings)
    judgement = claim.judge(made, settings)
    figures = claim.figure(made, judgement)
    assert len(figures) == 1 + settings.digits
    assert any("equal-accuracy" in one.id for one in judgement.statements) == settings.ladder
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


def cell_of(data: str, variant: str, cost: int) -> Cell:
    wanted = {"data": data, "variant": variant, "cost": cost}
    return next(cell for cell in claim.cells(SMALL) if wanted.items() <= cell.runs[0].settings.items())


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    pooled = cell_of("signals", "max", HALF)
    both, alone, images = run([pooled, Cell(pooled.runs[1:]), cell_of("digits", "stride", claim.DIGITS_COST)])
    assert both[1].values == alone[0].values and both[0].values != both[1].values
    assert both[0].values["multiply_adds"] == 49_060
    assert images[0].values["multiply_adds"] == 19_740 and images[0].values["test_accuracy"] > 0.15
    assert both[0].run.settings == {"data": "signals", "variant": "max", "cost": HALF, "steps": 20, "examples": 200}


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = [one for outcome in run(claim.cells(SMALL)) for one in outcome]
    judgement = claim.judge(made, SMALL)
    assert judgement.verdict == Verdict.undecided and judgement.runs == 2 * (8 + 4)
    assert {one.run.settings["cost"] for one in made} == {HALF, WHOLE, claim.DIGITS_COST}
    for spec in claim.figure(made, judgement).values():
        assert plot.render(spec, "svg").startswith(b"<svg")
