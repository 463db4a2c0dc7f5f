"""The first claim: what is run, how it is judged, and a small run of everything."""

import importlib.util
from dataclasses import replace
from itertools import product

import altair
import numpy as np
import pytest

from flyroom import engine, machine, plot
from flyroom.claims import _code as claims_code
from flyroom.claims import spatial_prior as claim
from flyroom.claims.spatial_prior import Settings
from flyroom.records import Evidence, Result, Run, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, steps=30, evaluate_every=15, time_pytorch=False)

# As the claim has it: (plain, shuffled), in the order linear, MLP, GRU, CNN.
TRUE = {"linear": (0.316, 0.316), "mlp": (0.64, 0.645), "gru": (0.91, 0.53), "cnn": (0.935, 0.575)}


def results(accuracy=TRUE, runs=10, spread=0.004, net="", wall=None) -> list[Result]:
    """Stored results as they would be, with accuracies made by hand; their spread is the same for all networks."""
    draw = np.random.default_rng(0)
    made = []
    rows = {f"mnist1d-{name}": pair for name, pair in accuracy.items()} | ({net: (0.5, 0.5)} if net else {})
    for (name, pair), shuffled, seed in product(rows.items(), (False, True), range(runs)):
        value = pair[shuffled] + spread * draw.standard_normal()
        values = {"test_accuracy": value, "best_test_accuracy": 0.999, "cell": float(seed - seed % 2), "cell_size": 2.0}
        curves = {"step": [0.0, 10.0], "test_accuracy": [0.1, value]}
        run = Run("spatial-prior", 1, {"net": name, "shuffled": shuffled}, seed, {})
        seconds = (wall or {"mnist1d-gru": 4.0, "mnist1d-cnn": 1.0}).get(name, 0.1) * (1 + 0.01 * (seed // 2))
        made.append(Result(run, values, curves, wall_s=seconds, cpu_s=seconds))
    for shuffled in (False, True):
        made.append(
            Result(Run("spatial-prior", 1, {"net": "knn:10", "shuffled": shuffled}, 0, {}), {"test_accuracy": 0.596})
        )
    return made


def timed(gru: float, cnn: float) -> Result:
    rounds = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0)
    curves = {"gru": [r * gru for r in rounds], "cnn": [r * cnn for r in reversed(rounds)]}
    return Result(Run("spatial-prior", 1, {"net": "pytorch-time", "shuffled": False}, 0, {}), {}, curves)


def judged(made: list[Result]):
    judgement = claim.judge(made, Settings())
    return judgement, {statement.id: statement for statement in judgement.statements}


# What is run


def nets_of(settings: Settings) -> set[str]:
    return {cell.runs[0].settings["net"] for cell in claim.cells(settings)}


def test_the_default_run():
    cells = claim.cells(replace(Settings(), time_pytorch=False))
    trained = [cell for cell in cells if cell.runs[0].settings["net"] in claim.TRAINED]
    assert len(trained) == 8 and all(len(cell.runs) == 10 for cell in trained)
    assert [run.seed for run in trained[0].runs] == list(range(10))
    assert len(cells) == 10  # the nearest neighbours, plain and shuffled
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs)
    for cell in cells:
        assert len({str(run.settings) for run in cell.runs}) == 1
        assert cell.runs[0].data["shuffle_seq"] is cell.runs[0].settings["shuffled"]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"runs": 3}, True),
        ({"time_pytorch": False}, True),
        ({"net": "mlp:40-10"}, True),
        ({"steps": 5999}, False),
        ({"batch": 50}, False),
        ({"learning_rate": 0.02}, False),
        ({"evaluate_every": 100}, False),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, same):
    default = {
        key(run) for cell in claim.cells(Settings()) for run in cell.runs if run.settings["net"] == "mnist1d-cnn"
    }
    cells = claim.cells(replace(Settings(), **changed))
    other = {key(run) for cell in cells for run in cell.runs if run.settings["net"] == "mnist1d-cnn"}
    assert (other <= default) if same else not (other & default)


def test_changed_steps_do_not_rename_what_is_not_trained():
    def neighbours(settings):
        return {key(run) for c in claim.cells(settings) for run in c.runs if run.settings["net"] == "knn:10"}

    assert neighbours(Settings()) == neighbours(Settings(steps=10))


def test_pytorch_is_timed_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pytorch-time" not in nets_of(Settings())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert "pytorch-time" in nets_of(Settings())
    assert "pytorch-time" not in nets_of(Settings(time_pytorch=False))


def test_a_network_of_the_users_own():
    assert "mlp:40-20-10:tanh" in nets_of(Settings(net="mlp:40-20-10:tanh"))
    assert len(claim.cells(Settings(net="mnist1d-cnn"))) == len(claim.cells(Settings()))  # there already


def test_a_network_given_in_python_is_known_by_its_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = "from flyroom.nets.spec import parse\n\ndef make(key):\n    return parse('mlp:40-10').init(key)\n"
    (tmp_path / "net_of_mine.py").write_text(source)
    settings = Settings(net="python:net_of_mine:make")

    def own():
        return [r for cell in claim.cells(settings) for r in cell.runs if r.settings["net"] == settings.net]

    before = own()
    assert len(before) == 20 and len(before[0].settings["net_file"]) == 64
    (tmp_path / "net_of_mine.py").write_text(source + "# another\n")
    assert [key(run) for run in before] == [key(run) for run in own()]  # this process goes on with what it imported
    claims_code._digest.cache_clear()  # as another process begins
    assert not {key(run) for run in before} & {key(run) for run in own()}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"steps": 0}, "steps 0"),
        ({"evaluate_every": -1}, "evaluate_every -1"),
        ({"batch": 0}, "batch 0: each must be at least 1"),
        ({"batch": 4001}, "a batch of 4001 cannot be taken from 4000 examples"),
        ({"learning_rate": float("inf")}, "learning_rate inf must be finite"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.01"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
        ({"net": "mnist1d-cn"}, "there is no network 'mnist1d-cn'; did you mean mnist1d-cnn"),
        ({"net": "mlp:41-10"}, "mlp:41-10 does not take the 40 inputs of mnist1d"),
        ({"net": "mlp:40-9"}, "mlp:40-9 has 9 outputs, but mnist1d has 10 classes"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_cost_grows_with_the_steps_and_knows_every_run():
    for cell in claim.cells(Settings(net="mlp:40-10")):
        assert claim.cost(cell.runs[0]) > 0
    costs = [sum(claim.cost(run) for c in claim.cells(Settings(steps=s)) for run in c.runs) for s in (100, 1000, 10000)]
    assert costs[0] < costs[1] < costs[2]


def test_quick_is_never_longer_than_what_was_asked():
    assert claim.quick(Settings())["steps"] < Settings().steps
    assert claim.quick(Settings(runs=1, steps=10))["runs"] == 1
    assert claim.quick(Settings(runs=1, steps=10))["steps"] == 10


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported
    assert "published order" in judgement.sentence
    headlines = {name for name, one in statements.items() if one.headline}
    assert headlines == {
        "linear-below-mlp",
        "mlp-below-gru",
        "gru-below-cnn",
        "shuffling-cnn",
        "shuffling-gru",
        "shuffling-mlp",
        "shuffling-linear",
    }
    assert {statements[name].verdict for name in headlines} == {Verdict.supported}
    assert statements["gru-below-cnn"].value == pytest.approx(0.025, abs=0.005)
    assert statements["shuffling-gru"].value == pytest.approx(0.38, abs=0.005)
    assert statements["shuffling-cnn"].published == "38 %"
    assert statements["linear-below-mlp"].p == pytest.approx(3 * 2 / 2**10)  # exact, Holm over three
    assert judgement.runs == 80 and statements["gru-below-cnn"].n == 10


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"gru": (0.96, 0.53)}, "gru-below-cnn"),
        ({"linear": (0.7, 0.7)}, "linear-below-mlp"),
        ({"cnn": (0.935, 0.97)}, "shuffling-cnn"),
        ({"mlp": (0.64, 0.55)}, "shuffling-mlp"),
        ({"linear": (0.316, 0.40)}, "shuffling-linear"),
    ],
)
def test_one_refuted_headline_refutes_the_claim(changed, refuted):
    judgement, statements = judged(results(TRUE | changed))
    assert judgement.verdict == Verdict.refuted
    assert statements[refuted].verdict == Verdict.refuted
    assert judgement.sentence.endswith(f"; not as published: {statements[refuted].sentence}.")


@pytest.mark.parametrize(
    ("made", "open_ones"),
    [
        (results(TRUE | {"gru": (0.935, 0.53)}, spread=0.01), {"gru-below-cnn"}),
        (results(TRUE | {"mlp": (0.64, 0.62)}, spread=0.01), {"shuffling-mlp"}),  # on the edge of the margin
    ],
)
def test_what_is_not_resolved_is_undecided(made, open_ones):
    judgement, statements = judged(made)
    assert judgement.verdict == Verdict.undecided
    assert {name for name, one in statements.items() if one.headline and one.verdict == "undecided"} == open_ones
    assert "headline statements hold; not decided by these runs: " in judgement.sentence


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_few_seeds_decide_no_order_however_clear_it_looks(runs):
    judgement, statements = judged(results(runs=runs))
    assert judgement.verdict == Verdict.undecided
    assert statements["linear-below-mlp"].verdict == Verdict.undecided


def test_a_refuted_statement_that_is_no_headline_does_not_refute_the_claim():
    judgement, statements = judged([*results(), timed(0.02, 0.01)])
    assert statements["gru-10x-here"].verdict == Verdict.refuted
    assert statements["gru-10x-pytorch"].verdict == Verdict.refuted
    assert judgement.verdict == Verdict.supported


def test_published_figures_are_compared_with_one_run_and_decide_nothing():
    judgement, statements = judged(results())
    verdicts = {name: one.verdict for name, one in statements.items() if name.startswith("published-")}
    assert verdicts == {
        "published-linear-plain": Verdict.compatible,
        "published-mlp-plain": Verdict.excluded,  # 64 against 68 +- 2
        "published-gru-plain": Verdict.compatible,
        "published-cnn-plain": Verdict.compatible,
        "published-linear-shuffled": Verdict.compatible,
        "published-mlp-shuffled": Verdict.excluded,
        "published-gru-shuffled": Verdict.excluded,  # 53 against 57 +- 2
        "published-cnn-shuffled": Verdict.compatible,
    }
    assert statements["published-mlp-plain"].published == "68 ± 2 %"
    assert judgement.verdict == Verdict.supported


def test_the_final_accuracy_is_judged_not_the_best():
    _, statements = judged(results())
    assert statements["published-mlp-plain"].value == pytest.approx(0.64, abs=0.005)  # the best is 0.999


def test_the_human_reader():
    assert judged(results())[1]["cnn-below-human"].verdict == Verdict.supported
    assert judged(results(TRUE | {"cnn": (0.98, 0.575)}))[1]["cnn-below-human"].verdict == Verdict.refuted


@pytest.mark.parametrize(
    ("gru", "verdict"), [(4.0, Verdict.refuted), (10.0, Verdict.supported), (9.99, Verdict.refuted)]
)
def test_wall_times_are_compared_cell_by_cell(gru, verdict):
    statement = judged(results(wall={"mnist1d-gru": gru, "mnist1d-cnn": 1.0}))[1]["gru-10x-here"]
    assert statement.value == pytest.approx(gru)
    assert statement.n == 10  # 20 runs of each, two a cell
    assert statement.verdict == verdict


def test_wall_times_of_pytorch():
    supported = judged([*results(), timed(0.3, 0.01)])[1]["gru-10x-pytorch"]
    assert supported.verdict == Verdict.supported and supported.unit == "times"
    assert supported.value == pytest.approx(30, rel=0.01)
    missing = judged(results())[1]["gru-10x-pytorch"]
    assert missing.verdict == Verdict.undecided and missing.value is None
    assert "not timed" in missing.sentence and missing.evidence == Evidence.single


def test_a_missing_network_is_an_error_not_a_smaller_table():
    part = [one for one in results() if one.run.settings != {"net": "mnist1d-gru", "shuffled": True}]
    with pytest.raises(ValueError, match="no run of net mnist1d-gru, shuffled True is stored"):
        judged(part)


# What is shown


def test_the_table_fits_eighty_columns():
    judgement, _ = judged(results())
    head, *rows = judgement.table
    assert head == ("network", "plain, %", "published", "shuffled, %", "published", "runs")
    assert [row[0] for row in rows] == ["linear", "MLP", "GRU", "CNN", "kNN (10)", "human"]
    assert rows[1][1].startswith("64.") and rows[1][2] == "68 ± 2"
    assert rows[4][1] == "59.6"
    widths = [max(len(row[i]) for row in judgement.table) for i in range(len(head))]
    assert sum(widths) + 2 * (len(widths) - 1) <= 80


def test_statements_are_short():
    for statement in judged(results())[0].statements:
        assert len(statement.sentence) <= 45, statement.sentence


def test_the_users_network_has_a_row_and_a_line():
    made = results(net="mlp:40-10")
    judgement, _ = judged(made)
    assert [row[0] for row in judgement.table[1:]] == ["linear", "MLP", "GRU", "CNN", "mlp:40-10", "kNN (10)", "human"]
    assert judgement.table[5][2] == ""  # nothing is published of it
    assert all("mlp:40-10" in str(spec) for spec in claim.figure(made, judgement).values())


@pytest.mark.parametrize("runs", [1, 10])
def test_the_figures_are_valid_and_can_be_drawn(runs):
    made = results(runs=runs)
    figures = claim.figure(made, claim.judge(made, Settings()))
    assert len(figures) == 2
    for spec in figures.values():
        altair.Chart.from_dict(spec)  # raises where the specification is not Vega-Lite
        assert plot.render(spec, "svg").startswith(b"<svg")
        shown = str(spec)
        for name in ("linear", "MLP", "GRU", "CNN", "plain signals", "shuffled signals"):
            assert name in shown
    finals = str(next(iter(figures.values())))
    assert "human" in finals and "kNN (10)" in finals


# A small run of everything


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    with open_store(tmp_path_factory.mktemp("store")) as store:
        cells = claim.cells(SMALL)
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, SMALL, cells, left, store, machine.provenance("flyroom run"))
        yield store, account, cells


def test_a_small_run_leaves_a_record_of_every_run(ran):
    store, account, cells = ran
    runs = [run for cell in cells for run in cell.runs]
    records = store.records(runs)
    assert len(records) == len(runs) == 18
    for record in records:
        assert 0 <= record.result.values["test_accuracy"] <= 1
        assert record.result.wall_s > 0
        if record.result.run.settings["net"] in claim.TRAINED:
            assert record.result.curves["step"] == [0.0, 15.0, 30.0]
            assert record.result.values["test_accuracy"] == record.result.curves["test_accuracy"][-1]
            assert record.result.run.settings["steps"] == 30
    assert account.judgement.runs == 16
    assert account.judgement.verdict in (Verdict.undecided, Verdict.refuted)
    assert account.judgement.wall_s == pytest.approx(sum(record.result.wall_s for record in records))
    assert store.account("spatial-prior") == account


def test_networks_learn_even_in_thirty_steps(ran):
    store, _, cells = ran
    for one in store.results([run for cell in cells for run in cell.runs]):
        if one.curves:
            assert one.curves["train_loss"][-1] < one.curves["train_loss"][0]


def test_seeds_are_different_networks_on_the_same_data(ran):
    store, _, cells = ran
    first, second = store.results(cells[2].runs)
    assert first.run.data == second.run.data
    assert first.curves["train_loss"] != second.curves["train_loss"]


def test_a_network_that_diverges_is_recorded_and_judged_as_it_is(tmp_path):
    settings = replace(SMALL, learning_rate=1e38)
    cell = claim.cells(settings)[0]
    (first, second) = claim.run(cell, settings)
    assert 0 < first.values["diverged_at_step"] < 30
    assert first.values["test_accuracy"] < 0.5
    with open_store(tmp_path) as store:
        store.add([first, second], machine.provenance("flyroom run"))
        (back, _) = store.results(cell.runs)
    assert back.values["diverged_at_step"] == first.values["diverged_at_step"]
    assert np.isnan(back.values["train_loss"])


@pytest.mark.slow
def test_a_step_of_pytorch_is_timed():
    pytest.importorskip("torch", reason="PyTorch is not installed (flyroom[torch])")
    cell = claim.cells(Settings())[-1]
    (timing,) = claim.run(cell, Settings())
    assert set(timing.curves) == {"cnn", "gru"}
    assert all(len(rounds) == 7 and min(rounds) > 0 for rounds in timing.curves.values())
