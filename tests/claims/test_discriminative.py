"""Which sets tell classes apart: what is run, how it is judged, and a small run of everything."""

from dataclasses import replace
from typing import Any

import altair
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from flyroom import engine, machine, plot
from flyroom.claims import discriminative as claim
from flyroom.claims.discriminative import Settings
from flyroom.nets.spec import parameters
from flyroom.records import Result, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, steps=30)

TRUE = {
    "mnist1d": {"linear": 0.315, "knn": 0.596, "mlp": 0.64, "gru": 0.87, "cnn": 0.905},
    "digits": {"linear": 0.955, "knn": 0.98, "mlp": 0.98, "gru": 0.97, "cnn": 0.975},
    "moons": {"linear": 0.87, "knn": 0.998, "mlp": 0.998},
    "circles": {"linear": 0.5, "knn": 1.0, "mlp": 1.0},
    "blobs": {"linear": 0.99, "knn": 0.99, "mlp": 0.99},
}


def results(accuracy=TRUE, settings=Settings(), spread=0.003) -> list[Result]:  # noqa: B008
    """Stored results as they would be, with accuracies made by hand."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            value = accuracy[run.settings["set"]][run.settings["net"]]
            noise = 0.0 if run.settings["net"] == "knn" else spread * draw.standard_normal()
            made.append(Result(run, {"test_accuracy": float(value + noise)}))
    return made


def changed(name: str, **accuracy: float) -> dict[str, dict[str, float]]:
    return TRUE | {name: TRUE[name] | accuracy}


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


# What is run


def test_the_default_run():
    cells = claim.cells(Settings())
    found = {(cell.runs[0].settings["set"], cell.runs[0].settings["net"]): len(cell.runs) for cell in cells}
    assert [net for _, net in list(found)[:5]] == ["knn"] * 5  # what trains nothing first
    assert all(found[name, "knn"] == 1 for name in claim.SETS)
    trained = {place: runs for place, runs in found.items() if place[1] != "knn"}
    assert set(trained.values()) == {10} and len(trained) == 2 * 4 + 3 * 2
    assert ("moons", "cnn") not in found and ("digits", "gru") in found
    assert not any(cell.ahead for cell in cells if cell.runs[0].settings["net"] == "knn")


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"), [("mnist1d", 40, 10), ("digits", 64, 10), ("moons", 2, 2), ("blobs", 2, 3)]
)
def test_networks_fit_their_set(name, inputs, outputs):
    data = claim._data(name)
    assert data.x_train.shape[1] == inputs and len(data.classes) == outputs
    assert parameters(claim.network("linear", data, 0)) == (inputs + 1) * outputs
    assert parameters(claim.network("mlp", data, 0)) == 101 * 100 + 100 * (inputs + 1) + 101 * outputs
    if name == "mnist1d":
        assert [parameters(claim.network(net, data, 0)) for net in claim.FIVE if net != "knn"] == [
            410,
            15_210,
            5134,
            5210,
        ]


def test_digits_are_read_row_by_row():
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    rows = {tuple(row) for row in bunch["data"] / 16}
    assert {tuple(row) for row in claim._data("digits").x_test} <= rows


def keys(settings: Settings, nets=("linear", "mlp", "gru", "cnn")) -> set[str]:
    return {key(run) for cell in claim.cells(settings) for run in cell.runs if run.settings["net"] in nets}


@pytest.mark.parametrize(
    ("different", "same"),
    [({"runs": 12}, True), ({"steps": 10}, False), ({"batch": 50}, False), ({"learning_rate": 0.02}, False)],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(different, same):
    default, other = keys(Settings()), keys(replace(Settings(), **different))
    assert (default < other) if same else not (default & other)
    assert keys(Settings(toys=False)) < keys(Settings())
    assert keys(Settings(), ("knn",)) == keys(replace(Settings(), **different), ("knn",))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"batch": 1439}, "a batch of 1439 cannot be taken from 1438 examples"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.01"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_costs_forms_and_predictions():
    assert 30 < sum(claim.cost(run) for cell in claim.cells(Settings()) for run in cell.runs) < 120
    assert claim.quick(Settings(runs=1, steps=5)) == {"runs": 1, "steps": 5, "toys": False}
    assert claim.faithful(Settings()) == {"steps": 6000}
    for part in ("MNIST-1D 33 +- 3", "digits 3 +- 2", "moons 12 +- 2", "circles 50 +- 5"):
        assert part in claim.ABOUT.prediction


def test_nearest_neighbours_are_scikit_learns():
    cell = next(cell for cell in claim.cells(Settings()) if cell.runs[0].settings["set"] == "moons")
    data = claim._data("moons")
    expected = KNeighborsClassifier(10).fit(data.x_train, data.y_train).score(data.x_test, data.y_test)
    assert claim.run(cell, Settings())[0].values["test_accuracy"] == pytest.approx(expected)


# How it is judged


def test_a_spread_is_the_largest_less_the_smallest_by_seed():
    made = results(spread=0.0)
    assert claim.spread(made, "mnist1d", claim.THREE) == pytest.approx([0.64 - 0.315] * 10)
    assert claim.spread(made, "digits", claim.FIVE) == pytest.approx([0.98 - 0.955] * 10)
    by_class = claim.accuracies(made, "mnist1d", claim.THREE)
    assert by_class.shape == (3, 10) and (by_class[1] == 0.596).all()  # kNN has no seed


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    headlines = {name for name, one in statements.items() if one.headline}
    assert headlines == {"mnist1d-three", "digits-three", "mnist1d-five", "digits-five", "wider"}
    assert statements["wider"].value == pytest.approx(0.325 - 0.025, abs=0.006)
    assert statements["circles-three"].verdict == statements["moons-three"].verdict == Verdict.refuted
    assert statements["blobs-three"].verdict == statements["moons-alike"].verdict == Verdict.supported
    assert statements["mnist1d-alike"].verdict == Verdict.refuted
    deviation = np.std([0.315, 0.596, 0.64], ddof=1)
    assert statements["mnist1d-deviation"].value == pytest.approx(deviation, abs=0.003)
    assert all(len(one.sentence) <= 45 for one in statements.values())


@pytest.mark.parametrize(
    ("accuracy", "refuted"),
    [
        (changed("mnist1d", linear=0.58), {"mnist1d-three"}),
        (changed("mnist1d", linear=0.63, gru=0.63, cnn=0.63), {"mnist1d-three", "mnist1d-five"}),
        (changed("digits", linear=0.80), {"digits-three", "digits-five"}),
        (changed("digits", gru=0.80), {"digits-five"}),
        (changed("digits", linear=0.50), {"digits-three", "digits-five", "wider"}),
    ],
)
def test_each_headline_can_be_refuted(accuracy, refuted):
    judgement, statements = judged(results(accuracy))
    assert judgement.verdict == Verdict.refuted
    found = {name for name, one in statements.items() if one.headline and one.verdict == Verdict.refuted}
    assert found == refuted


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results(changed("digits", linear=0.88), spread=0.02))  # on the limit
    assert statements["digits-three"].verdict == Verdict.undecided and judgement.verdict == Verdict.undecided
    few = Settings(runs=5)
    assert judged(results(settings=few), few)[0].verdict == Verdict.undecided


def test_a_missing_class_is_an_error_not_a_smaller_spread():
    with pytest.raises(ValueError, match="no run of set mnist1d, net knn is stored"):
        judged([one for one in results() if one.run.settings["net"] != "knn"])


def test_the_table_fits_eighty_columns():
    head, *rows = judged(results())[0].table
    assert [row[0] for row in rows] == ["MNIST-1D", "digits", "moons", "circles", "blobs"]
    assert rows[2][4] == "" and rows[0][2] == "59.6" and rows[0][-1].startswith("32.")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    assert sum(widths) + 2 * (len(widths) - 1) <= 80


@pytest.mark.parametrize("settings", [Settings(runs=1, toys=False), Settings()])
def test_the_figures_can_be_drawn(settings):
    made = results(settings=settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")
        assert all((name in str(spec)) == settings.toys for name in ("moons", "circles", "blobs"))


# A small run of everything


def test_a_small_run_on_points():
    cells = [
        cell
        for cell in claim.cells(SMALL)
        if cell.runs[0].settings["set"] == "circles" and cell.runs[0].settings["net"] != "knn"
    ]
    found = {}
    for cell, outcome in engine.here(lambda cell: claim.run(cell, SMALL), cells):
        assert not isinstance(outcome, Exception), outcome
        found[cell.runs[0].settings["net"]] = [one.values["test_accuracy"] for one in outcome]
    assert max(found["linear"]) < 0.7 and min(found["mlp"]) > 0.9  # a line cannot; thirty updates are enough
    assert len({*found["linear"], *found["mlp"]}) > 1


@pytest.mark.slow
def test_a_small_run(tmp_path):
    cells = claim.cells(SMALL)
    with open_store(tmp_path) as store:
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, SMALL, cells, left, store, machine.provenance("flyroom run"))
        assert store.account("discriminative") == account
    assert account.judgement.verdict == Verdict.undecided and account.judgement.runs == 5 + 2 * 14
    for spec in account.figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")
