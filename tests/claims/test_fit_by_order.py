"""Fit by order: fits and their error in closed form, against theorems and NumPy; what is run, how it is judged."""

from dataclasses import fields

import numpy as np
import pytest

from flyroom import plot, stats
from flyroom.claims import _polynomials
from flyroom.claims import fit_by_order as claim
from flyroom.claims.fit_by_order import ALL, DESIGNS, ORDERS, Settings
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, draws=40)
# By design and order: training error, test error (for random places medians), bias^2 and variance.
KNOWN = {order: _polynomials.expected(claim.curve, np.linspace(-1, 1, 8), 0.25, order) for order in ORDERS}
TRUE = {
    **{("fixed", k): (one.train, one.bias + one.variance + 0.0625, one.bias, one.variance) for k, one in KNOWN.items()},
    **{
        ("random", 1): (0.3, 0.32, 0.2, 0.1),
        ("random", 2): (0.04, 0.1, 0.0, 0.1),
        ("random", 5): (0.01, 0.6, 0.0, 9.0),
    },
    **{("many", 1): (0.26, 0.27, 0.2, 0.001), ("many", 2): (0.065, 0.067, 0.003, 0.001)},
    ("many", 5): (0.061, 0.064, 0.0, 0.002),
}
NAMES = ("train", "test", "bias", "variance")


def results(settings=Settings(), spread=0.01, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `changed` has names such as fixed5, and the four values."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            values = {}
            for order in ORDERS:
                given = changed.get(f"{run.settings['design']}{order}", TRUE[run.settings["design"], order])
                for name, value in zip(NAMES, given, strict=True):
                    values[f"{name}_{order}"] = value * (1 + spread * draw.standard_normal())
                    values[f"median_{name}_{order}"] = values[f"{name}_{order}"]
            curves = {name: [0.1 + 0.01 * order + 0.001 * run.seed for order in ALL] for name in NAMES}
            made.append(Result(run, values, {"order": [float(order) for order in ALL], **curves}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# Fits


def test_fits_are_numpys():
    """Against np.polyfit, draw by draw, for places that are shared and for each draw's own."""
    random = np.random.default_rng(0)
    own, y, at = random.uniform(-1, 1, (6, 9)), random.standard_normal((6, 9)), np.linspace(-1, 1, 5)
    for order in (0, 1, 3):
        for x in (own[0], own):
            found = _polynomials.evaluated(_polynomials.coefficients(x, y, order), at)
            for draw in range(6):
                places = x if x.ndim == 1 else x[draw]
                expected = np.polyval(np.polyfit(places, y[draw], order), at)
                assert found[draw] == pytest.approx(expected, abs=1e-9)


def test_each_draw_may_be_evaluated_at_places_of_its_own():
    lines = _polynomials.coefficients(np.array([-1.0, 1.0]), np.array([[0.0, 2.0], [0.0, -2.0]]), 1)
    at = np.array([[0.0, 0.5], [0.25, 1.0]])
    assert _polynomials.evaluated(lines, at) == pytest.approx(np.array([[1.0, 1.5], [-1.25, -2.0]]))


def test_the_weights_reproduce_polynomials_and_are_the_fit():
    x, at = np.linspace(-1, 1, 8), np.linspace(-1, 1, 7)
    fit = _polynomials.weights(x, at, 3)
    assert fit @ (x**3 - 2 * x) == pytest.approx(at**3 - 2 * at)
    y = np.cos(5 * x)[None]
    found = _polynomials.evaluated(_polynomials.coefficients(x, y, 3), at)[0]
    assert fit @ y[0] == pytest.approx(found)


# The closed form


def test_without_bias_it_is_the_textbooks():
    """A quadratic by order 2: training error s^2 (n - 3) / n; at the points themselves the variance is s^2 3 / n."""
    x = np.linspace(-1, 1, 8)
    found = _polynomials.expected(lambda x: 3 * x**2 - x, x, 0.5, 2)
    assert found.train == pytest.approx(0.25 * 5 / 8) and found.bias == pytest.approx(0, abs=1e-20)
    inside = _polynomials.weights(x, x, 2)
    assert (inside**2).sum() == pytest.approx(3)  # a projection


def test_the_bias_of_a_line_is_what_it_cannot_bend():
    """x^2 by a line through many points: bias^2 is the variance of x^2 on [-1, 1], 1/5 - 1/9."""
    found = _polynomials.expected(lambda x: x**2, np.linspace(-1, 1, 4001), 0.5, 1)
    assert found.bias == pytest.approx(1 / 5 - 1 / 9, rel=1e-3)
    # For many points spread evenly the variance is s^2 (order + 1) / n.
    assert found.variance == pytest.approx(0.25 * 2 / 4001, rel=1e-2)


def test_numbers_worked_out_by_hand():
    """The line through eight fixed places of cos 2x + x / 2, as predicted: see the claim."""
    mean = np.mean(np.cos(2 * np.array([1, 3, 5, 7]) / 7))
    bias = 0.5 + np.sin(4) / 8 - (np.sin(2) / 2) ** 2 + (mean - np.sin(2) / 2) ** 2
    assert KNOWN[1].bias == pytest.approx(bias, rel=1e-9)
    assert bias == pytest.approx(0.213, abs=5e-4)
    assert KNOWN[1].variance == pytest.approx(0.0625 * (1 / 8 + 1 / 3 / (168 / 49)), rel=1e-9)


def test_the_closed_form_is_what_many_draws_give():
    settings = Settings(draws=10_000)
    (run,) = [cell.runs[0] for cell in claim.cells(settings) if cell.runs[0].settings["design"] == "fixed"]
    found = claim._measured(run, settings)
    for order, known in KNOWN.items():
        test = known.bias + known.variance + settings.noise**2
        assert found.values[f"train_{order}"] == pytest.approx(known.train, rel=0.03)
        assert found.values[f"test_{order}"] == pytest.approx(test, rel=0.02)
        assert found.values[f"variance_{order}"] == pytest.approx(known.variance, rel=0.03)
        assert found.values[f"bias_{order}"] == pytest.approx(known.bias, abs=0.003)


def test_the_bias_that_is_measured_is_not_too_large():
    """Order five has next to none. The mean of ten fits is off by a tenth of their variance, which must not count."""
    settings = Settings(runs=300, draws=10)
    found = [claim._measured(run, settings).values["bias_5"] for run in claim.cells(settings)[0].runs]
    assert abs(np.mean(found) - KNOWN[5].bias) < 0.2 * KNOWN[5].variance / 10


# What is run


def test_the_prediction_is_in_the_file():
    assert ".289, .086, .104 +- .006" in claim.ABOUT.prediction and ".289, .086, .104 +- .006" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [cell.runs[0].settings for cell in cells] == [{"design": design} for design in DESIGNS]
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 60


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=25)
    for changed in ({"draws": 50}, {"points": 9}, {"noise": 0.3}):
        assert not keys() & keys(**changed)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0: each must be at least 1"),
        ({"draws": 1}, "draws 1, points 8: give two draws or more"),
        ({"points": 6}, "points 6: give two draws or more, which have a variance, and 7 points"),
        ({"noise": 0.0}, "noise 0 must be finite and above 0"),
        ({"noise": float("inf")}, "noise inf"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(draws=100) < total() < total(runs=40)
    quick = claim.quick(Settings(draws=5))
    assert quick["draws"] == 5 and set(quick) <= {one.name for one in fields(Settings)}


# How it is judged

HEADLINES = (
    "train-quadratic", "train-five", "under-fixed", "over-fixed", "under-random", "over-random",
    "bias-1", "variance-5", "adds-up-1", "adds-up-2", "adds-up-5",
)  # fmt: skip


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert statements["under-fixed"].value == pytest.approx(TRUE["fixed", 1][1] - TRUE["fixed", 2][1], rel=0.02)
    assert statements["over-fixed"].value == pytest.approx(TRUE["fixed", 5][1] - TRUE["fixed", 2][1], rel=0.05)
    assert statements["bias-1"].value == pytest.approx(0.94, abs=0.01)
    assert statements["closed-5"].value == pytest.approx(1, abs=0.01)
    assert {statements[name].verdict for name in ("worst-random", "many-points")} == {Verdict.supported}


def with_values(design, order, **changed) -> dict:
    given = dict(zip(NAMES, TRUE[design, order], strict=True)) | changed
    return {f"{design}{order}": tuple(given.values())}


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        (with_values("fixed", 2, train=0.4), {"train-quadratic"}),
        (with_values("fixed", 5, train=0.05), {"train-five"}),
        (with_values("fixed", 5, test=0.08, variance=0.018), {"over-fixed"}),
        (with_values("random", 1, test=0.08), {"under-random"}),
        (with_values("random", 5, test=0.09), {"over-random"}),
        (with_values("fixed", 1, bias=0.11, variance=0.11), {"bias-1"}),
        (with_values("fixed", 5, bias=0.02, variance=0.02), {"variance-5"}),
        (with_values("fixed", 2, test=0.09), {"adds-up-2"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(spread=0.002, **changed))
    found = {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted}
    assert refuted <= found <= refuted | {"adds-up-1", "adds-up-5"}
    assert judgement.verdict == Verdict.refuted


def test_few_runs_decide_nothing():
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table_has_the_closed_form_beside():
    head, *rows = judged(results())[0].table
    assert head == ("places", "polynomial", "training error", "test error", "bias²", "variance")
    assert len(rows) == 9 and rows[0][:2] == ("fixed places", "line") and rows[0][4].endswith("(0.2130)")
    assert rows[3][0] == "random places, medians" and rows[3][4:] == ("", "")


def test_a_missing_design_is_an_error():
    with pytest.raises(ValueError, match="no run of design random is stored"):
        judged([one for one in results() if one.run.settings["design"] != "random"])


@pytest.mark.parametrize("settings", [Settings(runs=1), Settings(runs=3, points=12, noise=0.1)])
def test_the_figures_can_be_drawn(settings):
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def test_a_small_run():
    """Whatever else is in the cell: the second of two runs alone gives the same numbers."""
    made = []
    for cell in claim.cells(SMALL):
        found = claim.run(cell, SMALL)
        (alone,) = claim.run(Cell(cell.runs[1:]), SMALL)
        assert alone.values == found[1].values != found[0].values
        assert all(len(curve) == len(ALL) for curve in found[0].curves.values())
        made += found
    for one in made:  # each order contains those below it
        assert (np.diff(one.curves["train"]) < 1e-12).all()
    assert claim.judge(made, SMALL).verdict == Verdict.undecided


def test_eight_points_are_met_by_order_seven():
    (run,) = [cell.runs[0] for cell in claim.cells(SMALL) if cell.runs[0].settings["design"] == "fixed"]
    assert claim._measured(run, SMALL).curves["train"][7] == pytest.approx(0, abs=1e-20)
