"""Sample efficiency: what is run, how it is judged, and a small run of everything."""

from dataclasses import replace

import altair
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from flyroom import engine, machine, plot
from flyroom.claims import _nested
from flyroom.claims import sample_efficiency as claim
from flyroom.claims.sample_efficiency import SIZES, Settings
from flyroom.records import Result, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, svm_runs=1, svm_largest=1000, headlines_only=True, steps=20, test=1000)

# Accuracy by size; what is not named lies between.
TRUE = {
    "logistic": (0.27, 0.29, 0.30, 0.31, 0.315, 0.33, 0.335, 0.338),
    "svm": (0.3, 0.35, 0.4, 0.5, 0.6, 0.68, 0.72, 0.75),
    "mnist1d-linear": (0.26, 0.28, 0.29, 0.31, 0.315, 0.33, 0.335, 0.337),
    "mnist1d-mlp": (0.35, 0.4, 0.5, 0.58, 0.64, 0.72, 0.79, 0.84),
    "mnist1d-gru": (0.4, 0.5, 0.65, 0.8, 0.9, 0.92, 0.94, 0.95),
    "mnist1d-cnn": (0.45, 0.6, 0.75, 0.88, 0.93, 0.95, 0.965, 0.975),
}


def results(accuracy=TRUE, settings=Settings(), spread=0.002) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand."""
    draw = np.random.default_rng(0)
    return [
        Result(
            run,
            {
                "test_accuracy": float(
                    accuracy[run.settings["net"]][SIZES.index(run.settings["n"])] + spread * draw.standard_normal()
                )
            },
        )
        for cell in claim.cells(settings)
        for run in cell.runs
    ]


def at(net: str, n: int, value: float) -> dict[str, tuple[float, ...]]:
    """The same accuracies with one of them changed."""
    changed = list(TRUE[net])
    changed[SIZES.index(n)] = value
    return TRUE | {net: tuple(changed)}


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


# What is run


def sizes(settings: Settings) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for cell in claim.cells(settings):
        first = cell.runs[0]
        found.setdefault(first.settings["net"], {})[first.settings["n"]] = len(cell.runs)
    return found


def test_the_default_run():
    found = sizes(Settings())
    assert list(found) == list(claim.LABELS)  # what trains no network first
    assert found["mnist1d-mlp"] == found["mnist1d-cnn"] == found["logistic"] == dict.fromkeys(SIZES, 10)
    assert found["mnist1d-gru"] == dict.fromkeys((500, 2000, 8000, 32_000), 10)
    assert found["svm"] == dict.fromkeys(SIZES[:6], 6)
    full = sizes(replace(Settings(), **claim.faithful(Settings())))
    assert all(counts == dict.fromkeys(SIZES, 10) for counts in full.values())
    ahead = [cell.runs[0].settings["net"] for cell in claim.cells(Settings()) if cell.ahead]
    assert ahead == ["mnist1d-linear", "mnist1d-mlp", "mnist1d-gru", "mnist1d-cnn"]


def keys(settings: Settings, nets=claim.LABELS) -> set[str]:
    return {key(run) for cell in claim.cells(settings) for run in cell.runs if run.settings["net"] in nets}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"runs": 12}, True),
        ({"svm_runs": 8}, True),
        ({"svm_largest": 16_000}, True),
        ({"all_sizes": True}, True),
        ({"steps": 10}, False),
        ({"batch": 50}, False),
        ({"learning_rate": 0.02}, False),
        ({"test": 1000}, False),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, same):
    nets = ("mnist1d-mlp", "mnist1d-gru", *(() if not same else ("svm", "logistic")))
    default, other = keys(Settings(), nets), keys(replace(Settings(), **changed), nets)
    assert (default < other) if same else not (default & other)


def test_changed_steps_do_not_rename_what_takes_none():
    assert keys(Settings(), claim.CLASSICAL) == keys(Settings(steps=10, batch=50), claim.CLASSICAL)
    assert keys(Settings(headlines_only=True)) < keys(Settings())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"svm_runs": -1}, "svm_runs -1"),
        ({"test": 999}, "test 999: choose a multiple of 1000"),
        ({"batch": 251}, "a batch of 251 cannot be taken from 250 examples"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.01"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_costs_and_short_forms():
    total = sum(claim.cost(run) for cell in claim.cells(Settings()) for run in cell.runs)
    assert 300 < total < 560  # two cores
    short = replace(Settings(), **claim.quick(Settings()))
    assert short.runs == 2 and short.steps == 100 and sum(map(len, sizes(short).values())) == 12
    assert "svm" not in sizes(replace(Settings(), svm_runs=0))


def test_the_predictions_are_there():
    for part in ("+0.9 +- 0.6", "+10 +- 5", "0.6 +- 0.2", "75 +- 6 %", "+8 +- 4"):
        assert part in claim.ABOUT.prediction


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    headlines = {name for name, one in statements.items() if one.headline}
    assert headlines == {
        "plateau-linear",
        "plateau-logistic",
        "goes-on-mlp",
        "goes-on-gru",
        "goes-on-cnn",
        "saved",
    }
    assert statements["plateau-linear"].value == pytest.approx(0.007, abs=0.002)
    assert statements["goes-on-mlp"].value == pytest.approx(0.12, abs=0.002)
    assert statements["goes-on-cnn"].value == pytest.approx(0.5, abs=0.03)  # 0.025 / 0.05
    assert statements["goes-on-cnn"].unit == "times"
    assert statements["saved"].value == pytest.approx(0.11, abs=0.003)
    assert statements["plateau-svm"].verdict == Verdict.refuted and not statements["plateau-svm"].headline
    assert statements["plateau-svm"].value == pytest.approx(0.18, abs=0.003) and statements["plateau-svm"].n == 6


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        (at("mnist1d-linear", 32_000, 0.36), "plateau-linear"),
        (at("logistic", 32_000, 0.36), "plateau-logistic"),
        (at("mnist1d-mlp", 32_000, 0.73), "goes-on-mlp"),
        (at("mnist1d-gru", 32_000, 0.925), "goes-on-gru"),
        (at("mnist1d-cnn", 32_000, 0.952), "goes-on-cnn"),
        (at("mnist1d-cnn", 1000, 0.60), "saved"),
    ],
)
def test_one_refuted_headline_refutes_the_claim(changed, refuted):
    judgement, statements = judged(results(changed))
    assert judgement.verdict == Verdict.refuted and statements[refuted].verdict == Verdict.refuted
    assert statements[refuted].sentence in judgement.sentence
    assert sum(one.headline and one.verdict == Verdict.refuted for one in statements.values()) == 1


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results(at("mnist1d-linear", 32_000, 0.35), spread=0.01))  # on the margin
    assert judgement.verdict == Verdict.undecided
    assert statements["plateau-linear"].verdict == Verdict.undecided
    few = Settings(runs=5)
    assert judged(results(settings=few), few)[0].verdict == Verdict.undecided


def test_no_errors_at_all_are_no_ratio_and_no_crash():
    perfect = results(TRUE | {"mnist1d-cnn": (1.0,) * 8}, spread=0.0)
    judgement, statements = judged(perfect)
    assert statements["goes-on-cnn"].verdict == Verdict.undecided and statements["goes-on-cnn"].headline
    assert judgement.verdict == Verdict.undecided
    assert len(claim.figure(perfect, judgement)) == 2


def test_table_one_is_compared_and_decides_nothing():
    _, statements = judged(results())
    assert statements["published-mlp"].verdict == Verdict.excluded  # 64 against 68 +- 2
    assert statements["published-linear"].verdict == Verdict.compatible
    assert "published-gru" not in statements  # not trained at 4000
    assert all(len(one.sentence) <= 45 for one in statements.values())


def test_a_missing_method_is_an_error_not_a_smaller_table():
    with pytest.raises(ValueError, match="no run of net mnist1d-gru, n 8000 is stored"):
        judged([one for one in results() if one.run.settings["net"] != "mnist1d-gru"])


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head == ("test accuracy, %", "n = 1,000", "n = 8,000", "n = 32,000")
    assert [row[0] for row in rows] == list(claim.LABELS.values())
    assert rows[1][3] == "" and rows[5][1].startswith("75.")


@pytest.mark.parametrize("runs", [1, 10])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings=settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")
        assert all(label in str(spec) for label in claim.LABELS.values())


# scikit-learn


def test_logistic_regression_is_where_its_loss_has_no_slope():
    """The minimum of sum of cross-entropies + |W|^2 / 2 on scaled positions, found here by Newton's method's cousin:
    the gradient at scikit-learn's solution is next to nothing beside that at zero."""
    from sklearn.linear_model import LogisticRegression

    x, y = (part[:500] for part in _nested.training_set(1, SIZES[-1]))
    scaled = ((x - x.mean(0)) / x.std(0)).astype(np.float64)
    test_x, test_y = _nested.test_set(1000)
    with threadpool_limits(1):
        found = LogisticRegression(max_iter=1000).fit(scaled, y)
        ours = claim.fit("logistic", 500, 1, 1000)
    truth = np.eye(10)[y]

    def slope(weights, bias):
        logits = scaled @ weights.T + bias
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return np.abs((shares - truth).T @ scaled + weights).max()

    assert slope(found.coef_, found.intercept_) < 1e-2 * slope(0 * found.coef_, 0 * found.intercept_)
    right = ((test_x - x.mean(0)) / x.std(0)) @ found.coef_.T + found.intercept_
    assert ours["test_accuracy"] == pytest.approx((right.argmax(1) == test_y).mean(), abs=0.01)
    assert "not_converged" not in ours


def test_fits_of_a_cell_are_those_of_its_seeds_alone():
    cell = next(cell for cell in claim.cells(Settings(test=1000, runs=3)) if cell.runs[0].settings["n"] == 500)
    found = claim.run(cell, Settings(test=1000))
    with threadpool_limits(1):
        assert [dict(one.values) for one in found] == [claim.fit("logistic", 500, seed, 1000) for seed in range(3)]


def test_the_support_vector_machine_sees_no_more_than_its_examples():
    few, many = claim.fit("svm", 250, 0, 1000), claim.fit("svm", 500, 0, 1000)
    assert 0.15 < few["test_accuracy"] < many["test_accuracy"] < many["train_accuracy"] < 1


# A small run of everything


def test_a_small_run_of_what_compiles_quickly():
    cells = [cell for cell in claim.cells(SMALL) if cell.runs[0].settings["net"] in ("logistic", "mnist1d-linear")]
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), cells):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert len(made) == 8
    assert all(0.05 < one.values["test_accuracy"] < 0.5 for one in made)
    first, second = (one.values["test_accuracy"] for one in made[:2])
    assert first != second  # seeds have examples of their own


@pytest.mark.slow
def test_a_small_run(tmp_path):
    cells = claim.cells(SMALL)
    with open_store(tmp_path) as store:
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, SMALL, cells, left, store, machine.provenance("flyroom run"))
        assert store.account("sample-efficiency") == account
    assert account.judgement.verdict in (Verdict.undecided, Verdict.refuted)
    assert account.judgement.runs == sum(len(cell.runs) for cell in cells)
    for spec in account.figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")
