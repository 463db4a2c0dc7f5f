"""Translation: what is run, the trend, how it is judged, and a small run of everything."""

from dataclasses import replace
from itertools import permutations

import altair
import jax
import numpy as np
import pytest
from scipy.stats import page_trend_test, spearmanr

from flyroom import engine, machine, plot
from flyroom.claims import _nested
from flyroom.claims import translation as claim
from flyroom.claims.translation import SHIFTS, Settings
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, padding=False, steps=20, test=1000)

# Accuracies by translation, then those of other paddings at 48.
MLP = (0.95, 0.90, 0.83, 0.77, 0.70, 0.65)
CNN = (0.96, 0.955, 0.95, 0.945, 0.94, 0.935)
OTHER = {48: (0.70, 0.95), 84: (0.60, 0.92)}


def results(mlp=MLP, cnn=CNN, settings=Settings(), spread=0.004) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            which = run.settings["net"] == "mnist1d-cnn"
            at = SHIFTS.index(run.settings["max_translation"])
            value = OTHER[run.settings["padding"]][which] if run.settings["padding"] in OTHER else (mlp, cnn)[which][at]
            made.append(Result(run, {"test_accuracy": float(value + spread * draw.standard_normal())}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


# What is run


def test_the_default_run():
    cells = claim.cells(Settings())
    places = [
        tuple(cell.runs[0].settings[name] for name in ("net", "max_translation", "padding")) for cell in cells[:8]
    ]
    assert places == [
        *(("mnist1d-mlp", shift, 60) for shift in SHIFTS),
        ("mnist1d-mlp", 48, 48),
        ("mnist1d-mlp", 48, 84),
    ]
    assert len(cells) == 16 and all(len(cell.runs) == 10 for cell in cells)
    assert cells[0].runs[0].data["max_translation"] == 1 and cells[0].runs[0].data["padding"] == [36, 60]
    assert cells[7].runs[0].data["padding"] == [60, 84]
    assert [cell.ahead for cell in cells].count(True) == 2


def test_only_the_translation_differs_between_settings():
    """Common random numbers: labels are the same, and without translation digits stand where they are drawn."""
    (still, labels), (moved, same) = (_nested.training_set(0, 200, claim.process(shift, 60)) for shift in (1, 48))
    assert (labels == same).all() and (still != moved).any()
    where = np.abs(still).mean(0)
    assert where[1:8].mean() > 2 * where[12:30].mean()  # all digits at the start
    # Equal shifts leave equal signals: those whose shift of 48 places happens to be none.
    scale = [np.corrcoef(a, b)[0, 1] for a, b in zip(still, moved, strict=True)]
    assert max(scale) > 0.999 and np.median(scale) < 0.5


def keys(settings: Settings) -> set[str]:
    return {key(run) for cell in claim.cells(settings) for run in cell.runs}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"runs": 12}, True),
        ({"steps": 10}, False),
        ({"batch": 50}, False),
        ({"learning_rate": 0.02}, False),
        ({"test": 1000}, False),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, same):
    default, other = keys(Settings()), keys(replace(Settings(), **changed))
    assert (default < other) if same else not (default & other)
    assert keys(Settings(padding=False)) < default


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, "steps 0, .* each must be at least 1"),
        ({"test": 1}, "test 1: choose a multiple of 1000"),
        ({"batch": 4001}, "a batch of 4001 cannot be taken from 4000 examples"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.01"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_costs_short_form_and_predictions():
    assert 100 < sum(claim.cost(run) for cell in claim.cells(Settings()) for run in cell.runs) < 250
    assert len(claim.cells(replace(Settings(), **claim.quick(Settings())))) == 12
    assert claim.quick(Settings(steps=7))["steps"] == 7
    assert "1 +- 3" in claim.ABOUT.prediction and "28 +- 4 at 48" in claim.ABOUT.prediction


# The trend


def test_the_trend_of_a_seed_is_spearmans_and_of_all_seeds_pages():
    gaps = np.random.default_rng(1).standard_normal((6, 9))
    found = claim.rises(gaps.tolist())
    expected = [spearmanr(range(6), column)[0] for column in gaps.T]
    assert found == pytest.approx(expected)
    n, k = 9, 6  # Page's L = sum of order x sum of ranks; its mean and scale in closed form
    page = page_trend_test(gaps.T, predicted_ranks=range(1, 7)).statistic
    middle, scale = n * k * (k + 1) ** 2 / 4, k * (k * k - 1) / 12
    assert sum(found) == pytest.approx((page - middle) / scale)


def test_the_trend_at_its_ends():
    assert claim.rises([[1.0, 3.0, 2.0], [2.0, 2.0, 2.0], [3.0, 1.0, 2.0]]) == [1.0, -1.0, 0.0]
    every = [claim.rises([[value] for value in order])[0] for order in permutations((1.0, 2.0, 3.0))]
    assert sorted(every) == sorted(-value for value in every)  # no trend: as often up as down


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert {n for n, one in statements.items() if one.headline} == {"grows", "trend", "ten-points", "nothing-without"}
    assert statements["grows"].value == pytest.approx(0.275, abs=0.005)  # 0.285 - 0.01
    assert statements["trend"].value == 1.0 and statements["trend"].unit == "correlation"
    assert statements["grows"].p == pytest.approx(2 * 2 / 2**10)
    assert statements["step-24-36"].verdict == Verdict.supported
    assert statements["padding"].value == pytest.approx(0.07, abs=0.005)
    assert judgement.runs == 160
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("mlp", "refuted"),
    [
        (MLP[::-1], {"grows", "trend", "ten-points", "nothing-without"}),
        ((0.95, 0.95, 0.945, 0.94, 0.935, 0.88), {"ten-points"}),
        ((0.89, 0.88, 0.83, 0.77, 0.70, 0.65), {"nothing-without"}),
        ((0.95, 0.60, 0.62, 0.65, 0.70, 0.80), set()),  # up at once, and down again: the trend is not there
    ],
)
def test_what_is_refuted_and_what_is_not(mlp, refuted):
    judgement, statements = judged(results(mlp=mlp))
    found = {name for name, one in statements.items() if one.headline and one.verdict == Verdict.refuted}
    if refuted:
        assert found == refuted and judgement.verdict == Verdict.refuted
    else:
        assert "grows" not in found and statements["trend"].verdict != Verdict.supported


@pytest.mark.parametrize("runs", [1, 5])
def test_few_seeds_decide_nothing(runs):
    settings = Settings(runs=runs)
    judgement, _ = judged(results(settings=settings), settings)
    assert judgement.verdict == Verdict.undecided


def test_on_the_margin_is_undecided():
    statements = judged(results(mlp=(0.92, *MLP[1:]), spread=0.01))[1]
    assert statements["nothing-without"].verdict == Verdict.undecided


def test_published_figures_are_compared_and_decide_nothing():
    statements = judged(results())[1]
    assert statements["published-cnn"].verdict == Verdict.compatible
    assert statements["published-mlp"].published == "68 ± 2 %" and not statements["published-mlp"].headline


def test_a_missing_setting_is_an_error():
    with pytest.raises(ValueError, match="no run of net mnist1d-mlp, max_translation 8, padding 60 is stored"):
        judged([one for one in results() if one.run.settings["max_translation"] != 8])


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head == ("max_translation", "padding", "MLP, %", "CNN, %", "gap")
    assert [row[:2] for row in rows[-3:]] == [("48", "36 to 60"), ("48", "24 to 48"), ("48", "60 to 84")]
    assert rows[0][2].startswith("95.")


@pytest.mark.parametrize("settings", [Settings(), Settings(runs=1, padding=False), Settings(runs=1, networks="book")])
def test_the_figures_can_be_drawn(settings):
    made = results(settings=settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == (3 if settings.padding else 2)
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run of everything


def test_a_small_run():
    cells = claim.cells(SMALL)
    chosen = [cells[0], cells[5]]  # the MLP without translation, and with
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), chosen):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    still, moved = made[:2], made[2:]
    assert min(one.values["test_accuracy"] for one in still) > max(one.values["test_accuracy"] for one in moved) + 0.2
    rest = [Cell(cell.runs) for cell in cells if cell not in chosen]
    stand_in = [Result(run, {"test_accuracy": 0.5}) for cell in rest for run in cell.runs]
    assert claim.judge([*made, *stand_in], SMALL).verdict == Verdict.undecided


@pytest.mark.slow
def test_a_small_run_of_everything(tmp_path):
    cells = claim.cells(SMALL)
    with open_store(tmp_path) as store:
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, SMALL, cells, left, store, machine.provenance("flyroom run"))
        assert store.account("translation") == account
    assert account.judgement.runs == 24 and account.judgement.verdict == Verdict.undecided
    for spec in account.figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


def test_the_books_networks_are_those_of_its_figure():
    from flyroom.nets.spec import parameters

    sizes = [parameters(claim._book(net)(jax.random.key(0))) for net in claim.NETS]
    assert sizes == [59_065, 2_050]  # Understanding Deep Learning, Figure 10.7
    assert not any(float(abs(layer.bias).max()) for layer in claim._book("mnist1d-mlp")(jax.random.key(0)).layers)


def test_the_books_networks_are_runs_of_their_own():
    (one, *_), (book, *_) = (claim.cells(Settings(networks=name)) for name in claim.NETWORKS)
    assert "networks" not in one.runs[0].settings and book.runs[0].settings["networks"] == "book"
    with pytest.raises(ValueError, match="networks 'boook': choose benchmark or book"):
        claim.cells(Settings(networks="boook"))
    with pytest.raises(ValueError, match=r"learning_rate 0\.02 has no part in networks=book, which has 0\.05"):
        claim.cells(Settings(networks="book", learning_rate=0.02))
