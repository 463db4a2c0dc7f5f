"""Augmentation: what is run, whose copies a network sees, how it is judged, and a small run."""

from dataclasses import fields, replace

import numpy as np
import pytest

from flyroom import engine, plot, stats, train
from flyroom.claims import augmentation as claim
from flyroom.claims.augmentation import Settings
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, epochs=2)
# Final test accuracies by kind, and half way for the plain network.
TRUE = {"half": 0.64, "best": 0.66, "plain": 0.642, "both": 0.71, "rolled": 0.70, "scaled": 0.65, "8.1": 0.64}


def results(settings=Settings(), spread=0.006, **changed) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand."""
    means, draw = TRUE | changed, np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            kind = run.settings["kind"]
            values = {
                "test_accuracy": means[kind] + spread * draw.standard_normal(),
                "train_accuracy": means.get("fitted", 0.999),
            }
            if kind == "plain":
                values["test_accuracy_half"] = means["half"] + spread * draw.standard_normal()
                values["best_test_accuracy_half"] = means["best"] + spread * draw.standard_normal()
            curve = [0.1, 0.5, values["test_accuracy"]]
            curves = {"step": [0.0, 80.0, 160.0], "test_accuracy": curve, "train_accuracy": [0.1, 0.9, 0.999]}
            made.append(Result(run, {name: float(value) for name, value in values.items()}, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# What is run


def test_the_prediction_is_in_the_file():
    assert "29 +- 3 %" in claim.ABOUT.prediction and "29 +- 3 %" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [cell.runs[0].settings["kind"] for cell in cells] == ["plain", "both", "rolled", "scaled", "8.1"]
    assert all([run.seed for run in cell.runs] == list(range(10)) for cell in cells)
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 50
    both, rolled, scaled = (cells[i].runs[3].data for i in (1, 2, 3))
    assert (both["seed"], both["copies"], both["roll"], both["low"], both["high"]) == (3, 4000, True, 0.8, 1.2)
    assert (rolled["roll"], rolled["low"], rolled["high"]) == (True, 1.0, 1.0)
    assert (scaled["roll"], scaled["low"]) == (False, 0.8)
    assert cells[0].runs[0].data == cells[4].runs[0].data == both["of"]
    assert both == claim._copied("both", 3, Settings()).recipe


def keys(settings: Settings, *kinds: str) -> set[str]:
    return {key(r) for cell in claim.cells(settings) for r in cell.runs if not kinds or r.settings["kind"] in kinds}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys(Settings()) < keys(Settings(runs=12))
    for changed in (Settings(epochs=40), Settings(batch=50), Settings(learning_rate=0.1)):
        assert not keys(Settings()) & keys(changed)
    fewer = Settings(copies=2000)
    assert not keys(Settings(), *claim.COPIES) & keys(fewer, *claim.COPIES)
    assert keys(Settings(), "8.1") == keys(fewer, "8.1")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"copies": 0}, "copies 0, .* each must be at least 1"),
        ({"batch": 4001}, "a batch of 4001 cannot be taken from 4000"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(settings: Settings) -> float:
        return sum(claim.cost(run) for cell in claim.cells(settings) for run in cell.runs)

    assert 0 < total(Settings(epochs=10)) < total(Settings()) < total(Settings(copies=8000))
    quick = claim.quick(Settings(epochs=3))
    assert quick == {"runs": 2, "epochs": 3} and set(quick) <= {one.name for one in fields(Settings)}


# Whose copies a network sees


def test_a_network_sees_the_examples_and_its_own_copies():
    """The pool holds the examples, then the copies of the first network, then those of the second."""
    settings = Settings(epochs=1)
    for place in (0, 1):
        order = claim._own(place, 7, 80, "both", settings)
        assert sorted(order.ravel()) == [*range(4000), *range(4000 + 4000 * place, 8000 + 4000 * place)]
        alone = train.shuffled(8000, 100, 80, 7)
        np.testing.assert_array_equal(order - np.where(order < 4000, 0, 4000 * place), alone)
    plain = claim._own(1, 7, 80, "plain", settings)
    assert sorted(plain.ravel()) == sorted([*range(4000), *range(4000)])


def test_half_way_the_plain_network_has_had_its_epochs():
    settings = Settings()
    assert claim._half(settings) == claim._steps("8.1", settings) == 2000
    assert {claim._steps(kind, settings) for kind in claim.COPIES} == {4000}
    run = claim.cells(settings)[0].runs[0]
    curve = {"step": [0.0, 80.0, 2000.0, 4000.0], "test_accuracy": [0.1, 0.7, 0.6, 0.9]}
    values = claim._with_best(Result(run, {}, curve), settings).values
    assert values == {"test_accuracy_half": 0.6, "best_test_accuracy_half": 0.7}


# How it is judged

HEADLINES = {"copies-help", "not-by-updates", "rolling-helps"}


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert statements["copies-help"].value == pytest.approx(0.07, abs=0.006)
    assert statements["not-by-updates"].value == pytest.approx(0.068, abs=0.006)
    assert statements["copies-help"].p == pytest.approx(3 * 2 / 2**10)  # exact, Holm over three
    assert statements["longer"].verdict == Verdict.supported
    assert statements["published-best"].verdict == Verdict.compatible
    assert statements["fitted-8.1"].verdict == Verdict.supported
    assert statements["fitted-8.1"].value == pytest.approx(0.001)
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"both": 0.60}, {"copies-help", "not-by-updates"}),
        ({"plain": 0.75, "rolled": 0.80}, {"not-by-updates"}),
        ({"rolled": 0.60}, {"rolling-helps"}),
    ],
)
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_or_has_few_seeds_is_undecided():
    judgement, statements = judged(results(rolled=0.637, spread=0.02))
    assert judgement.verdict == statements["rolling-helps"].verdict == Verdict.undecided
    few = Settings(runs=5)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_what_informs_can_fail():
    statements = judged(results(scaled=0.55, both=0.69, best=0.8, fitted=0.9, plain=0.6))[1]
    found = {name: one.verdict.value for name, one in statements.items() if not one.headline}
    assert found == {
        "scaling-helps": "refuted",
        "scaling-adds": "refuted",
        "longer": "refuted",
        "published-best": "excluded",
        "published-final": "compatible" if found["published-final"] == "compatible" else "excluded",
        "fitted-8.1": "refuted",
    }


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head == ("copies", "updates", "test accuracy, %")
    assert [row[:2] for row in rows[:3]] == [
        ("no copies", "2,000"),
        ("no copies", "4,000"),
        ("rolled and scaled", "4,000"),
    ]
    assert rows[2][2].startswith("7") and rows[-1][:2] == ("notebook 8.1", "2,000")


def test_a_missing_kind_is_an_error():
    with pytest.raises(ValueError, match="no run of kind scaled is stored"):
        judged([one for one in results() if one.run.settings["kind"] != "scaled"])


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
    (_, made), (_, alone) = engine.here(lambda cell: claim.run(cell, SMALL), [cells[1], Cell(cells[1].runs[1:])])
    assert not isinstance(made, Exception) and not isinstance(alone, Exception), (made, alone)
    assert [one.run.seed for one in made] == [0, 1]
    assert made[1].values == alone[0].values
    assert made[0].values != made[1].values
    assert made[0].curves["step"] == [0.0, 80.0, 160.0]
    assert min(one.values["train_accuracy"] for one in made) > 0.3  # of chance 0.1


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), claim.cells(SMALL)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert claim.judge(made, SMALL).verdict == Verdict.undecided
    plain = next(one for one in made if one.run.settings["kind"] == "plain")
    assert plain.values["best_test_accuracy_half"] >= plain.values["test_accuracy_half"] > 0.2
    # Until it has had its epochs it is the network that is trained for them alone.
    short = replace(SMALL, copies=1)
    (alone,) = claim.run(Cell(claim.cells(short)[0].runs[:1]), short)
    assert alone.curves["test_accuracy"][1] == plain.curves["test_accuracy"][1]
