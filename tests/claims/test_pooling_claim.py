"""Pooling: nested training sets, the networks, how it is judged, and a small run of everything."""

from dataclasses import replace
from itertools import pairwise

import altair
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from flyroom import engine, machine, plot, train
from flyroom.claims import _nested
from flyroom.claims import pooling as claim
from flyroom.claims.pooling import Settings
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.nets.spec import parameters
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, middle_runs=0, largest=2000, steps=24, batch=50, test=2000)

# What would support every headline: far apart with few examples, pooling behind with many.
TRUE = {"none": (0.59, 0.98), "stride": (0.54, 0.95), "max": (0.78, 0.96), "mean": (0.77, 0.96), "l2": (0.76, 0.96)}


def results(accuracy=TRUE, settings=Settings(), spread=0.004) -> list[Result]:  # noqa: B008
    """Stored results as they would be: from the accuracy at the smallest set to that at the largest."""
    draw = np.random.default_rng(0)
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            few, many = accuracy[run.settings["pooling"]]
            along = np.log(run.settings["n"] / 1000) / np.log(settings.largest / 1000)
            value = few + (many - few) * along + spread * draw.standard_normal()
            made.append(Result(run, {"test_accuracy": float(value), "test_loss": 0.1, "train_loss": 0.1}))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


# Nested training sets


def test_a_larger_set_contains_the_smaller_and_seeds_share_nothing():
    small, large = _nested.training_set(3, 60), _nested.training_set(3, 90)
    assert (large[0][:60] == small[0]).all() and (large[1][:60] == small[1]).all()
    other, test = _nested.training_set(4, 60), _nested.test_set(60)
    rows = {name: {row.tobytes() for row in x} for name, (x, _) in (("3", small), ("4", other), ("test", test))}
    assert len(set.union(*rows.values())) == 180


@pytest.mark.parametrize(("n", "batch"), [(1000, 100), (50, 50), (60, 20)])
def test_batches_are_those_of_the_published_trainer_where_they_fit(n, batch):
    assert (_nested.cyclic(n, batch, 37) == train.contiguous(n, batch, 37)).all()


def test_batches_come_to_every_example_where_they_do_not_fit():
    counts = np.bincount(_nested.cyclic(250, 100, 5).ravel(), minlength=250)
    assert (counts == 2).all()
    with pytest.raises(ValueError, match="a batch of 101 cannot be taken from 100 examples"):
        _nested.cyclic(100, 101, 1)


def test_a_run_is_the_network_trained_alone_on_its_own_examples():
    _, ours = claim.run(claim.cells(SMALL)[0], SMALL)  # the second seed of two side by side
    made = mnist1d.stream("train", seed=1)[:1000]
    x, y = jnp.asarray(made.x), jnp.asarray(made.y, np.int32)
    order, rate = jnp.asarray(train.contiguous(1000, 50, 24)), jnp.float32(0.01)
    first = claim.network("none", 1)
    net, _, losses, _, _ = train.train_one(first, x, y, order, rate, None, None, None, train.Protocol(cross_entropy))
    test = mnist1d.stream("test", seed=42)[:2000]
    logits = np.asarray(net(jnp.asarray(test.x)), np.float64)
    test_losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(2000), test.y]
    right = logits.argmax(1) == test.y
    assert ours.values["test_accuracy"] == pytest.approx(right.mean(), abs=0.002)  # rounding may move an example
    assert ours.values["test_loss"] == pytest.approx(test_losses.mean(), rel=1e-3)
    assert ours.values["train_loss"] == pytest.approx(float(losses.mean()), rel=1e-3)


# What is run


@pytest.mark.parametrize(("variant", "count"), [("none", 9310), *((name, 3310) for name in ("stride", *claim.POOLED))])
def test_the_networks_have_the_published_number_of_parameters(variant, count):
    assert parameters(claim.network(variant, 0)) == count


def sizes(settings: Settings) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for cell in claim.cells(settings):
        first = cell.runs[0]
        found.setdefault(first.settings["pooling"], {})[first.settings["n"]] = len(cell.runs)
    return found


def test_the_default_run_has_all_seeds_at_both_ends():
    found = sizes(Settings())
    assert list(found) == ["none", "stride", "max", "mean", "l2"]
    assert all(counts[1000] == counts[50_000] == 10 for counts in found.values())
    assert found["none"] == found["max"] == {1000: 10, 2000: 6, 5000: 6, 10_000: 6, 20_000: 6, 50_000: 10}
    assert found["mean"] == found["l2"] == {1000: 10, 10_000: 6, 50_000: 10}
    full = sizes(replace(Settings(), **claim.faithful(Settings())))
    assert all(list(sorted(counts)) == list(claim.SIZES) and set(counts.values()) == {10} for counts in full.values())


def keys(settings: Settings) -> set[str]:
    return {key(run) for cell in claim.cells(settings) for run in cell.runs}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"runs": 12}, True),
        ({"all_sizes": True}, True),
        ({"middle_runs": 10}, True),
        ({"steps": 10}, False),
        ({"batch": 50}, False),
        ({"learning_rate": 0.02}, False),
        ({"test": 1000}, False),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, same):
    default, other = keys(Settings()), keys(replace(Settings(), **changed))
    assert (default < other) if same else not (default & other)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"test": 1500}, "test 1500: choose a multiple of 1000"),
        ({"largest": 3000}, "largest 3000: choose one of 2000, 5000"),
        ({"batch": 1001}, "a batch of 1001 cannot be taken from 1000 examples"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be finite and above 0; the default is 0.01"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be finite"),
        ({"middle_runs": -1}, "middle_runs -1"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_costs_and_short_forms():
    costs = [sum(claim.cost(run) for c in claim.cells(Settings(steps=s)) for run in c.runs) for s in (100, 1000, 6000)]
    assert all(low < high for low, high in pairwise(costs)) and 300 < costs[-1] < 700
    short = replace(Settings(), **claim.quick(Settings()))
    assert short.runs == 2 and short.steps == 100 and set(sizes(short)["max"]) == {1000, 20_000}
    assert claim.quick(Settings(runs=1, steps=5, largest=2000))["largest"] == 2000


def test_the_predictions_are_there():
    assert "19 +- 4" in claim.ABOUT.prediction and "refuted" in claim.ABOUT.prediction
    assert "| 50000 | 96 +- 2" in str(claim.__doc__)


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported
    headlines = {name for name, one in statements.items() if one.headline}
    assert headlines == {"helps-max", "shrinks", "hinders-max", "striding-few", "striding-many"}
    assert statements["helps-max"].value == pytest.approx(0.19, abs=0.005)
    assert statements["shrinks"].value == pytest.approx(0.21, abs=0.005)  # 0.19 - (-0.02)
    assert statements["helps-max"].p == pytest.approx(3 * 2 / 2**10)  # exact, Holm over three
    assert statements["helps-max"].published == "19.0 %" and statements["hinders-max"].published == "-1.8 %"
    assert statements["shrinks"].published == "17.2 %" and statements["striding-many"].published == "0.9 %"
    assert judgement.runs == 3 * 44 + 2 * 26


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"max": (0.5, 0.96)}, "helps-max"),
        ({"max": (0.60, 1.10)}, "shrinks"),
        ({"max": (0.78, 0.99)}, "hinders-max"),  # as the printed figures have it
        ({"stride": (0.70, 0.95)}, "striding-few"),
        ({"stride": (0.54, 0.99)}, "striding-many"),
    ],
)
def test_one_refuted_headline_refutes_the_claim(changed, refuted):
    judgement, statements = judged(results(TRUE | changed))
    assert judgement.verdict == Verdict.refuted and statements[refuted].verdict == Verdict.refuted
    assert statements[refuted].sentence in judgement.sentence


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results(TRUE | {"stride": (0.59, 0.95)}, spread=0.01))
    assert judgement.verdict == Verdict.undecided
    assert {name for name, one in statements.items() if one.headline and one.verdict == "undecided"} == {"striding-few"}
    few = Settings(runs=5)
    assert judged(results(settings=few), few)[0].verdict == Verdict.undecided


def test_published_figures_are_compared_and_decide_nothing():
    _, statements = judged(results())
    assert statements["published-none-few"].verdict == Verdict.compatible  # 59 and 59.2
    assert statements["published-none-many"].verdict == Verdict.excluded  # 98 and 96.3
    assert not any(one.headline for name, one in statements.items() if name.startswith("published"))
    assert all(len(one.sentence) <= 45 for one in statements.values())


def test_a_missing_variant_is_an_error_not_a_smaller_table():
    with pytest.raises(ValueError, match="no run of pooling max, n 1000 is stored"):
        judged([one for one in results() if one.run.settings["pooling"] != "max"])


def test_the_table_has_the_printed_figures_beside_ours():
    head, *rows = judged(results())[0].table
    assert head == ("test accuracy, %", "1,000", "2,000", "5,000", "10,000", "20,000", "50,000")
    assert [row[0] for row in rows] == ["no pooling", "stride 2", "max", "mean", "L2"]
    assert rows[2][1].startswith("78.") and rows[2][1].endswith("(78.2)") and rows[3][2] == ""


@pytest.mark.parametrize("settings", [Settings(), Settings(runs=1, middle_runs=0)])
def test_the_figures_can_be_drawn(settings):
    made = results(settings=settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 2
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")
        assert all(label in str(spec) for label in ("stride 2", "max", "mean", "L2"))


# A small run of everything


def test_a_small_run(tmp_path):
    wanted = [cell for cell in claim.cells(SMALL) if cell.runs[0].settings["pooling"] == "none"]
    rest = [Cell(cell.runs) for cell in claim.cells(SMALL) if cell not in wanted]
    stand_in = [Result(run, {"test_accuracy": 0.5}) for cell in rest for run in cell.runs]
    made = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), engine.pending(wanted, list, 2)):
        assert not isinstance(outcome, Exception), outcome
        made += outcome
    assert len(made) == 4 and len({one.values["test_accuracy"] for one in made}) == 4
    assert all(0.05 < one.values["test_accuracy"] < 0.9 and 0 < one.values["train_loss"] < 3 for one in made)
    with open_store(tmp_path) as store:
        store.add(made, machine.provenance("flyroom run"))
        assert store.results([made[0].run])[0].values == made[0].values
    judgement = claim.judge([*made, *stand_in], SMALL)
    assert judgement.verdict == Verdict.undecided and judgement.runs == 20
    for spec in claim.figure([*made, *stand_in], judgement).values():
        assert plot.render(spec, "svg").startswith(b"<svg")


@pytest.mark.slow
def test_every_variant_learns(tmp_path):
    settings = replace(SMALL, steps=300, batch=100)
    with open_store(tmp_path) as store:
        cells = claim.cells(settings)
        account = engine.conduct(claim, settings, cells, cells, store, machine.provenance("flyroom run"))
        found = store.results([run for cell in cells for run in cell.runs])
    assert account.judgement.runs == 20
    assert all(one.values["test_accuracy"] > 0.35 for one in found)


def test_diverging_is_recorded():
    settings = replace(SMALL, learning_rate=1e38)
    found = claim.run(Cell(claim.cells(settings)[0].runs), settings)
    assert all(0 < one.values["diverged_at_step"] < 24 and one.values["test_accuracy"] < 0.5 for one in found)


def test_shapes_are_checked():
    with pytest.raises(TypeCheckError):
        _nested.cyclic(10.0, 5, 2)  # pyright: ignore[reportArgumentType]
