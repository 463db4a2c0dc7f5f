"""The human ceiling: what is run, how it is judged, and what stands beneath it."""

from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, plot
from flyroom.claims import _human
from flyroom.claims import human_ceiling as claim
from flyroom.claims.building import drawn
from flyroom.claims.human_ceiling import Settings
from flyroom.data import mnist1d
from flyroom.data.mnist1d import stages
from flyroom.nets.spec import parameters
from flyroom.records import Cell, Evidence, Result, Run, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, few=0, steps=20, evaluate_every=10, more=1000, stream=2500)
HEADLINES = {
    "reader-below-ceiling",
    "cnn-below-reader",
    "network-above-reader",
    "shuffling-cnn",
}
# Accuracy on the reader's 400 examples, by network and data.
TRUE = {
    ("mlp", "published"): 0.64,
    ("gru", "published"): 0.91,
    ("cnn", "published"): 0.93,
    ("pooling-cnn", "published"): 0.945,
    ("residual-cnn", "published"): 0.978,
    ("cnn", "shuffled"): 0.57,
    ("cnn", "more"): 0.965,
    ("residual-cnn", "more"): 0.99,
}
RESIDUAL_MORE = {"net": "residual-cnn", "data": "more"}
ERRORS = (0.02, 0.05, 0.08, 0.03, 0.20, 0.06, 0.01, 0.05, 0.02, 0.30)  # of the CNN: worst are 9 and 4


def results(changed=None, runs=10, spread=0.003, right=2490, differ=0, seen_right=400) -> list[Result]:
    """Stored results as they would be, made by hand."""
    draw, made = np.random.default_rng(0), []
    for (net, data), accuracy in {**TRUE, **(changed or {})}.items():
        for seed in range(runs):
            value = float(accuracy + spread * draw.standard_normal())
            values = {"test_accuracy": value, "seen_accuracy": value}
            values |= {f"error_{label}": error for label, error in enumerate(ERRORS)}
            curves = {"step": [0.0, 10.0], "test_accuracy": [0.1, value]}
            made.append(Result(Run("human-ceiling", 1, {"net": net, "data": data}, seed, {}), values, curves))
    for data in ("published", "shuffled"):
        predicted = np.zeros(1000)
        predicted[: differ if data == "shuffled" else 0] = 1.0
        values = {"right": 1000.0, "count": 1000.0, "seen_right": float(seen_right), "expected_right": 999.9}
        run = Run("human-ceiling", 1, {"net": "bayes", "data": data}, 0, {})
        made.append(Result(run, values, {"predicted": predicted.tolist()}))
    for seed in range(20):
        values = {"right": float(right), "count": 2500.0, "expected_right": right + 0.1}
        for label in range(10):
            values |= {f"error_{label}": 0.001, f"expected_error_{label}": 0.001 + 0.001 * (label in (2, 7))}
        made.append(Result(Run("human-ceiling", 1, {"net": "bayes", "data": "fresh"}, seed, {}), values))
    return made


def judged(made: list[Result]):
    judgement = claim.judge(made, Settings())
    return judgement, {one.id: one for one in judgement.statements}


# What is run


def test_the_prediction_is_in_the_file():
    assert "Bayes 99.5 +- 0.4 %" in claim.ABOUT.prediction
    assert "six seeds" in claim.ABOUT.shortened


def kinds(settings: Settings) -> Counter:
    return Counter((run.settings["net"], run.settings["data"]) for cell in claim.cells(settings) for run in cell.runs)


def test_the_default_run():
    assert kinds(Settings()) == {
        ("bayes", "published"): 1,
        ("bayes", "shuffled"): 1,
        ("bayes", "fresh"): 20,
        **{kind: 6 if kind in claim.FEW else 10 for kind in TRUE},
    }
    runs = [run for cell in claim.cells(Settings()) for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs)
    assert all(claim.cost(run) > 0 for run in runs)
    assert sum(claim.cost(run) for run in runs) < 400


def keys(settings: Settings, net: str, data: str) -> set[str]:
    return {
        key(run)
        for cell in claim.cells(settings)
        for run in cell.runs
        if (run.settings["net"], run.settings["data"]) == (net, data)
    }


@pytest.mark.parametrize(
    ("changed", "renamed"),
    [
        ({"runs": 12}, set()),
        ({"stream": 60_000}, set()),
        ({"few": 8}, set()),
        ({"steps": 5000}, {"cnn", "cnn more", "residual"}),
        ({"learning_rate": 0.02}, {"cnn", "cnn more", "residual"}),
        ({"more": 5000}, {"cnn more"}),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, renamed):
    names = {"cnn": ("cnn", "published"), "cnn more": ("cnn", "more"), "residual": ("residual-cnn", "published")}
    for name, kind in names.items():
        before, after = keys(Settings(), *kind), keys(replace(Settings(), **changed), *kind)
        assert (not before & after) if name in renamed else before <= after, name
    assert keys(Settings(), "bayes", "fresh") <= keys(replace(Settings(), **changed), "bayes", "fresh")


def test_short_and_long_forms():
    small = claim.quick(Settings())
    assert small["steps"] < Settings().steps and small["runs"] == 2
    assert claim.quick(Settings(runs=1, steps=10))["steps"] == 10
    long = claim.faithful(Settings())
    assert long == {"few": 10}
    assert ("gru", "published") not in kinds(replace(Settings(), **small))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0"),
        ({"steps": 0}, "steps 0"),
        ({"few": -1}, "few -1"),
        ({"stream": 3000}, "stream 3000 is not a multiple of 2500"),
        ({"batch": 5000}, "batch 5000 is larger than the smallest training set, 4000"),
        ({"more": 50}, "batch 100 is larger than the smallest training set, 50"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.01"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert {statements[name].verdict for name in HEADLINES} == {Verdict.supported}
    assert judgement.verdict == Verdict.supported and judgement.runs == 80
    gap = statements["reader-below-ceiling"]
    assert gap.value == pytest.approx(2490 / 2500 - 383 / 400)
    assert gap.interval is not None and gap.value is not None
    assert 0 < gap.interval[0] < gap.value < gap.interval[1]
    assert statements["shuffled-ceiling"].evidence == Evidence.exact
    assert "residual" in statements["network-above-reader"].sentence


@pytest.mark.parametrize(
    ("made", "refuted"),
    [
        (results(right=2200), "reader-below-ceiling"),
        (results({("cnn", "published"): 0.975}), "cnn-below-reader"),
        (results({("residual-cnn", "published"): 0.94}), "network-above-reader"),
        (results({("cnn", "shuffled"): 0.95}), "shuffling-cnn"),
    ],
)
def test_one_refuted_headline_refutes_the_claim(made, refuted):
    judgement, statements = judged(made)
    assert judgement.verdict == Verdict.refuted
    assert {name for name in HEADLINES if statements[name].verdict == Verdict.refuted} == {refuted}


def test_what_is_true_by_construction_decides_nothing():
    judgement, statements = judged(results(differ=1))
    assert statements["shuffled-ceiling"].verdict == Verdict.refuted and not statements["shuffled-ceiling"].headline
    assert "(by construction)" in statements["shuffled-ceiling"].sentence
    assert judgement.verdict == Verdict.supported


def test_sentences_say_which_examples_and_which_interval():
    _, statements = judged(results())
    compared = [one for name, one in statements.items() if name.endswith(("-above-reader", "cnn-below-reader"))]
    assert len(compared) == 7
    for one in compared:
        said = "on the 400" if one.id == "bayes-above-reader" else "On the reader's 400 examples "
        assert said in one.sentence, one.sentence
        assert ("97.5 %" in one.sentence) is (one.id == "network-above-reader")


@pytest.mark.parametrize(
    ("made", "undecided"),
    [
        (results(right=2400), "reader-below-ceiling"),  # 96.0 % against 95.75 %
        (results({("cnn", "published"): 0.9575}), "cnn-below-reader"),
        (results({("residual-cnn", "published"): 0.9575}), "network-above-reader"),
        (results({("cnn", "shuffled"): 0.93}), "shuffling-cnn"),
    ],
)
def test_what_is_not_resolved_is_undecided(made, undecided):
    judgement, statements = judged(made)
    assert judgement.verdict == Verdict.undecided
    assert {name for name in HEADLINES if statements[name].verdict == Verdict.undecided} == {undecided}


def test_that_no_network_is_above_is_refuted_only_if_all_are_below():
    _, statements = judged(results({("residual-cnn", "published"): 0.9575, ("pooling-cnn", "published"): 0.98}))
    assert statements["network-above-reader"].verdict == Verdict.supported
    assert "pooling" in statements["network-above-reader"].sentence


def test_one_network_that_is_not_resolved_keeps_it_open():
    """Though another, surely below the reader, has the higher lower bound."""
    made = results({("pooling-cnn", "published"): 0.95})
    for i, one in enumerate(made):
        if one.run.settings == {"net": "residual-cnn", "data": "published"}:
            made[i] = replace(one, values={**one.values, "seen_accuracy": 0.9 + 0.1 * (one.run.seed % 2)})
    _, statements = judged(made)
    assert statements["pooling-cnn-above-reader"].verdict == Verdict.refuted
    assert statements["network-above-reader"].verdict == Verdict.undecided


@pytest.mark.parametrize("runs", [1, 5])
def test_few_seeds_decide_nothing_about_networks(runs):
    judgement, statements = judged(results(runs=runs))
    assert judgement.verdict == Verdict.undecided
    for name in ("cnn-below-reader", "network-above-reader", "shuffling-cnn"):
        assert statements[name].verdict == Verdict.undecided


def test_the_digits_that_are_hard():
    _, statements = judged(results())
    assert statements["struggles-reader"].value == 1.5  # the two worst
    assert statements["struggles-reader"].verdict == Verdict.supported
    assert statements["struggles-cnn"].value == pytest.approx((3 + 5.5) / 2)
    assert statements["struggles-cnn"].verdict == Verdict.refuted
    assert statements["struggles-bayes"].verdict == Verdict.supported
    assert statements["struggles-cnn"].sentence == "CNN: 2 and 7 have a mean rank by error ≤ 2.5"


def test_the_worst_and_the_fourth_count_as_two_of_the_three_worst_do():
    errors = [0.0] * 10
    errors[2], errors[7], errors[5], errors[6] = 0.4, 0.1, 0.3, 0.2
    assert claim._ranks(errors) == claim.WORST  # ranks 1 and 4


def test_what_informs():
    _, statements = judged(results())
    assert statements["calibrated"].verdict == Verdict.supported
    assert statements["bayes-above-reader"].verdict == Verdict.supported
    assert statements["residual-cnn-more-below-bayes"].verdict == Verdict.supported
    assert statements["cnn-more-above-reader"].verdict == Verdict.supported
    assert statements["published-cnn"].verdict == Verdict.compatible
    assert statements["published-mlp"].verdict == Verdict.excluded  # 64 against 68 +- 2
    assert judged(results(seen_right=383))[1]["bayes-above-reader"].verdict == Verdict.refuted


def test_more_data_are_compared_with_bayes_on_the_same_examples():
    """Whatever Bayes does on fresh ones, and strictly: who is right as often is not below."""
    kind, name = ("residual-cnn", "more"), "residual-cnn-more-below-bayes"
    _, statements = judged(results({kind: 0.97}, right=2400))  # 96 % of the fresh, all of the published
    assert statements[name].verdict == Verdict.supported
    assert statements[name].sentence == "The residual CNN of 20,000 examples is below Bayes on the same 1,000"
    same = results({kind: 1.0})
    same = [
        replace(one, values={**one.values, "test_accuracy": 1.0}) if one.run.settings == RESIDUAL_MORE else one
        for one in same
    ]
    assert judged(same)[1][name].verdict == Verdict.refuted


def test_a_missing_network_is_named():
    some = [one for one in results() if one.run.settings["net"] != "cnn"]
    with pytest.raises(ValueError, match="no run of net cnn"):
        claim.judge(some, Settings())


# What stands beneath it


def test_the_reader():
    assert len(_human.SEEN) == len(set(_human.SEEN.tolist())) == 400
    assert _human.RIGHT == 96 + 96 + 97 + 94
    low, high = claim._ends(claim._share(383, 400))
    assert (round(low, 3), round(high, 3)) == (0.933, 0.975)  # Clopper and Pearson's


def test_the_moments_are_those_of_the_published_set():
    labels, draws, order = drawn(5000, 42)
    built = stages.build(mnist1d.templates().x[labels], draws, mnist1d.stream().process)["subsample"][order]
    np.testing.assert_allclose((built.mean(), built.std()), _human.PUBLISHED_MOMENTS, rtol=1e-12)
    test = _human.larger(50).x_test
    mean, deviation = mnist1d.population_moments()
    np.testing.assert_allclose(test, (built[4000:] - mean) / deviation, atol=1e-5)


def test_the_networks():
    found = {name: parameters(init(jax.random.key(0))) for name, init in _human.NETS.items()}
    assert found == {"mlp": 15_210, "gru": 5_134, "cnn": 5_210, "pooling-cnn": 3_310, "residual-cnn": 7_402}


def test_counts_are_counts():
    logits = jnp.asarray(np.eye(10)[[0, 1, 2, 3, 3]], np.float32)
    labels, seen = jnp.asarray([0, 1, 3, 3, 4]), jnp.asarray([True, False, True, False, True])
    found = {name: float(value) for name, value in _human.counts(lambda x: x, (logits, labels, seen)).items()}
    assert (found["right"], found["seen_right"]) == (3, 1)
    assert [found[f"wrong_{label}"] for label in range(10)] == [0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def test_the_order_of_positions_is_found():
    plain, shuffled = (_human.published(which).x_test for which in (False, True))
    order = _human.positions(plain[0], shuffled[0])
    np.testing.assert_allclose(plain[:, order], shuffled, atol=1e-12)
    assert not np.array_equal(order, np.arange(40))


def test_figures_of_results_made_by_hand():
    made = results(runs=6)
    figures = claim.figure(made, claim.judge(made, Settings()))
    assert len(figures) == 3
    for spec in figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


def outcomes(cells: list[Cell], settings: Settings) -> list[Result]:
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, settings), cells):
        assert not isinstance(outcome, Exception), outcome
        found += outcome
    return found


def test_a_network_is_trained_and_counted():
    cell = next(c for c in claim.cells(SMALL) if c.runs[0].settings["net"] == "mlp")
    assert cell.runs[0].settings["steps"] == 20
    first, second = outcomes([cell], SMALL)
    assert first.values["test_accuracy"] != second.values["test_accuracy"]
    errors = [first.values[f"error_{label}"] for label in range(10)]
    of_class = np.bincount(_human.published(False).y_test)
    assert np.dot(errors, of_class) == pytest.approx(1000 * (1 - first.values["test_accuracy"]))
    assert first.curves["step"] == [0.0, 10.0, 20.0]
    assert first.curves["test_accuracy"][-1] == first.values["test_accuracy"]


@pytest.mark.slow
def test_a_small_run_of_everything():
    found = outcomes(claim.cells(SMALL), SMALL)
    judgement = claim.judge(found, SMALL)
    statements = {one.id: one for one in judgement.statements}
    assert statements["shuffled-ceiling"].verdict == Verdict.supported
    assert statements["reader-below-ceiling"].verdict == Verdict.supported
    assert judgement.verdict == Verdict.undecided
    fresh = next(one for one in found if one.run.settings["data"] == "fresh")
    assert fresh.values["right"] >= 2490 and fresh.values["expected_right"] == pytest.approx(2500, abs=5)
    for spec in claim.figure(found, judgement).values():
        assert plot.render(spec, "svg").startswith(b"<svg")
