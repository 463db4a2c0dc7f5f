"""Contrastive learning: its views and its loss against their definitions, how it is judged, a small run of it all."""

from dataclasses import replace

import altair
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import engine, machine, plot, train
from flyroom.claims import _contrastive as contrastive
from flyroom.claims import self_supervised as claim
from flyroom.claims.self_supervised import DEEP, DEFAULT, DEPTH, NONE, PUBLISHED, Settings
from flyroom.data import mnist1d
from flyroom.records import Result, Run, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, epochs=1, batch=500, probe_steps=5, embedding=False)
VOTES = claim.PUBLISHED_VOTE


# Views and loss


def signals(count: int = 6) -> np.ndarray:
    return contrastive.detrended(mnist1d.make(num_samples=100).x_train[:count]).astype(np.float32)


def test_detrended_is_the_residual_of_a_straight_line():
    x = mnist1d.make(num_samples=100).x_train
    t = np.arange(40.0)
    lines = [np.polyval(np.polyfit(t, row, 1), t) for row in x]
    np.testing.assert_allclose(contrastive.detrended(x), x - np.array(lines), atol=1e-12)


def test_shifts_are_circular_and_each_signals_own():
    x, by = signals(10).T, np.arange(10)
    found = np.asarray(contrastive.shifted(jnp.asarray(x), jnp.asarray(by)))
    for i in by:
        np.testing.assert_array_equal(found[:, i], np.roll(x[:, i], i))


def test_a_view_is_a_shift_and_a_line():
    """What is left of a view without its line is what is left of one of the ten shifts, in each of the two views."""
    x = signals()
    both = np.asarray(contrastive.views(jax.random.key(3), jnp.asarray(x.T)))
    assert both.shape == (40, 12)
    residuals = contrastive.detrended(both.T.astype(float))
    for i, residual in enumerate(residuals):
        shifts = [contrastive.detrended(np.roll(x[i % 6], s)[None].astype(float))[0] for s in range(10)]
        distances = [np.abs(residual - shift).max() for shift in shifts]
        assert min(distances) < 1e-5 < sorted(distances)[1]
    assert not np.allclose(both[:, :6], both[:, 6:])


def test_views_have_the_laws_of_the_notebook():
    """Of silence a view is its line alone: offsets N(0, 0.3), slopes N(0, 0.04); of one spike the shift is seen."""
    count = 4000
    lines = np.asarray(contrastive.views(jax.random.key(0), jnp.zeros((40, count)))).T
    t = np.arange(40) - 19.5
    slopes, offsets = lines @ t / (t @ t), lines.mean(axis=1)
    assert offsets.std() == pytest.approx(0.3, rel=0.04) and abs(offsets.mean()) < 0.02
    assert slopes.std() == pytest.approx(0.04, rel=0.04) and abs(slopes.mean()) < 0.003
    assert abs(np.corrcoef(slopes, offsets)[0, 1]) < 0.06
    np.testing.assert_allclose(lines, offsets[:, None] + slopes[:, None] * t, atol=1e-5)
    spike = jnp.zeros((40, count)).at[5].set(1e4)
    shifts = np.asarray(contrastive.views(jax.random.key(1), spike)).argmax(axis=0) - 5
    counts = np.bincount(shifts, minlength=10)
    assert len(counts) == 10 and abs(counts - 800).max() < 5 * np.sqrt(720)  # of 8000, five deviations
    assert (shifts[:count] != shifts[count:]).mean() == pytest.approx(0.9, abs=0.03)  # drawn apart


def test_the_loss_is_the_notebooks():
    draw = np.random.default_rng(0)
    first, second = draw.normal(size=(2, 16, 9)).astype(np.float32)
    found = contrastive.agreement(jnp.asarray(first), jnp.asarray(second), 0.5)
    total = 0.0
    for i in range(9):
        scores = []
        for j in range(9):
            cosine = first[:, i] @ second[:, j] / np.linalg.norm(first[:, i]) / np.linalg.norm(second[:, j])
            scores.append(np.exp(cosine / 0.5))
        total -= np.log(scores[i] / sum(scores)) / 9
    assert float(found) == pytest.approx(total, rel=1e-5)
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (flyroom[torch])")
    a, b = (torch.nn.functional.normalize(torch.tensor(z.T)) for z in (first, second))
    theirs = torch.nn.functional.cross_entropy(a @ b.T / 0.5, torch.arange(9))
    assert float(found) == pytest.approx(float(theirs), rel=1e-5)


def test_equal_representations_are_no_better_than_chance_and_nothing_is_not_nan():
    ones, nothing = jnp.ones((16, 9)), jnp.zeros((16, 9))
    assert float(contrastive.agreement(ones, ones, 0.5)) == pytest.approx(np.log(9))
    assert float(contrastive.agreement(nothing, nothing, 0.5)) == pytest.approx(np.log(9))


def test_batches_carry_the_key_of_their_step():
    found = contrastive.batches(200, 20, 25, seed=1)
    np.testing.assert_array_equal(found[:, :20], train.shuffled(200, 20, 25, seed=1))
    assert found.shape == (25, 24) and found.min() >= 0 and found.max() < 200
    np.testing.assert_array_equal(found[:10], contrastive.batches(200, 20, 10, seed=1))  # more steps, the same sequence
    draws = contrastive.batches(4000, 100, 8000, seed=0)[:, -4:]
    assert len(np.unique(draws, axis=0)) == 8000  # no two steps have the same views
    assert not (draws == contrastive.batches(4000, 100, 8000, seed=1)[:, -4:]).all(axis=1).any()
    with pytest.raises(ValueError, match=r"70000 examples: .* at most 65536"):
        contrastive.batches(70000, 10, 1, 0)


@pytest.mark.parametrize(("variant", "count"), [(DEFAULT, 21716), (NONE, 3950), (DEEP, 53216)])
def test_networks_are_the_published_ones(variant, count):
    net = contrastive.Contrastive.init(jax.random.key(0), variant)
    assert sum(leaf.size for leaf in jax.tree.leaves(net)) == count
    shapes = [layer.shape for layer in jax.eval_shape(net.layers, jax.ShapeDtypeStruct((40, 7), jnp.float32))]
    assert [shape[0] for shape in shapes[:3]] == [475, 250, 125]
    assert len(shapes) == DEPTH[variant] and shapes[-1] == ((125, 7) if variant == NONE else (16, 7))


def test_layers_are_what_the_network_is_made_of():
    """Against plain loops: three convolutions, then the projector, ReLU everywhere but on Z."""
    net = contrastive.Contrastive.init(jax.random.key(1), DEFAULT)
    x = signals(3).astype(np.float64)
    hidden, expected = x[:, None, :], []
    for layer in net.convolutions:
        weight, padded = np.asarray(layer.weight, float), np.pad(hidden, ((0, 0), (0, 0), (1, 1)))
        width = weight.shape[2]
        places = range(0, padded.shape[2] - width + 1, 2)
        sums = [np.einsum("bck,ock->bo", padded[:, :, p : p + width], weight) for p in places]
        hidden = np.maximum(np.stack(sums, axis=2) + np.asarray(layer.bias, float)[:, None], 0)
        expected.append(hidden.reshape(3, -1))
    assert net.projector is not None
    one, two = net.projector.layers
    expected.append(np.maximum(expected[-1] @ np.asarray(one.weight, float).T + np.asarray(one.bias, float), 0))
    expected.append(expected[-1] @ np.asarray(two.weight, float).T + np.asarray(two.bias, float))
    found = contrastive.representations(net, x)
    assert (found[0] == x).all()
    for ours, theirs in zip(found[1:], expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


# What is run


def test_predictions_are_in_the_file():
    assert "82 +- 2" in claim.ABOUT.prediction and "61 +- 4" in claim.ABOUT.prediction
    assert claim.__doc__ is not None and "Predicted before the first full run" in claim.__doc__


def test_the_default_run(monkeypatch):
    monkeypatch.setattr(claim.importlib.util, "find_spec", lambda name: object())
    cells = claim.cells(Settings())
    assert [(cell.runs[0].settings["variant"], len(cell.runs)) for cell in cells] == [
        (DEFAULT, 10),
        (NONE, 10),
        (DEEP, 10),
        (DEFAULT, 1),
    ]
    assert all(cell.ahead for cell in cells)  # each begins by training
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 31
    more = {key(run) for cell in claim.cells(Settings(runs=12)) for run in cell.runs}
    assert {key(run) for run in runs} < more and len(more) == 37
    assert len(claim.cells(Settings(embedding=False))) == 3
    monkeypatch.setattr(claim.importlib.util, "find_spec", lambda name: None)
    assert len(claim.cells(Settings())) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 100},
        {"batch": 50},
        {"learning_rate": 0.02},
        {"temperature": 1.0},
        {"neighbours": 5},
        {"probe_steps": 10},
    ],
)
def test_a_changed_setting_is_another_run(changed):
    default = {key(run) for cell in claim.cells(Settings()) for run in cell.runs}
    assert not default & {key(run) for cell in claim.cells(replace(Settings(), **changed)) for run in cell.runs}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"epochs": 0}, "epochs 0"),
        ({"batch": 1}, "batch 1 must be 2 to 4000"),
        ({"batch": 4001}, "batch 4001 must be 2 to 4000"),
        ({"neighbours": 4001}, "neighbours 4001 must be 1 to 4000"),
        ({"temperature": 0.0}, "temperature 0.0 must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan must be above 0"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_quick_is_shorter_and_part_of_the_settings():
    short = replace(Settings(), **claim.quick(Settings()))
    assert sum(claim.cost(r) for c in claim.cells(short) for r in c.runs) < 60
    assert claim.quick(replace(Settings(), runs=1, epochs=1)) | {"runs": 1, "epochs": 1} == claim.quick(
        replace(Settings(), runs=1, epochs=1)
    )
    costs = [claim.cost(claim.cells(replace(Settings(), epochs=n))[0].runs[0]) for n in (1, 10, 100)]
    assert costs[0] < costs[1] < costs[2]


# How it is judged


def results(changed=None, runs=10, spread=0.006, votes=VOTES, diverged=0, epochs=2) -> list[Result]:
    """Stored results with the published accuracies, but for what is changed: {(variant, layer): accuracy}."""
    draw, made = np.random.default_rng(0), []
    for variant, accuracies in PUBLISHED.items():
        for seed in range(runs):
            linear = [(changed or {}).get((variant, layer), value) for layer, value in enumerate(accuracies)]
            linear = [linear[0], *(value + spread * draw.standard_normal() for value in linear[1:])]
            values = {f"linear_{layer}": value for layer, value in enumerate(linear)}
            values |= {"vote": votes[variant] + spread * draw.standard_normal(), "loss": 2.9}
            if seed < diverged:
                values["diverged_at_step"] = 3.0
            falling = np.linspace(3.5, 2.9 + 0.01 * seed, epochs).tolist()
            curves = {"epoch": np.arange(1.0, epochs + 1).tolist(), "loss": falling, "linear": linear}
            made.append(Result(Run("self-supervised", 1, {"variant": variant}, seed, {}), values, curves))
    return made


def judged(made: list[Result]):
    judgement = claim.judge(made, Settings())
    return judgement, {statement.id: statement for statement in judgement.statements}


def test_supported():
    judgement, statements = judged(results())
    headlines = {name for name, one in statements.items() if one.headline}
    assert headlines == {
        "default-above-pixels",
        "default-above-z",
        "default-middle",
        "no-projector-falls",
        "deep-peak",
        "projector-helps",
        "deep-falls",
    }
    assert judgement.verdict == Verdict.supported and judgement.runs == 30
    assert "lowest" not in judgement.sentence  # no headline tests it
    assert statements["default-above-z"].published == "7.1 %" and statements["deep-peak"].published == "5.1 %"
    assert statements["projector-helps"].value == pytest.approx(0.287, abs=0.01)
    assert statements["no-projector-falls"].p == pytest.approx(6 * 2 / 2**10)  # exact, Holm over six
    assert statements["deep-falls"].value == pytest.approx(0.022, abs=0.008)  # the smallest of the four
    assert statements["diverged"].verdict == Verdict.supported


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({(DEFAULT, 0): 0.9}, "default-above-pixels"),
        ({(DEFAULT, 5): 0.86}, "default-above-z"),
        ({(DEFAULT, 1): 0.86}, "default-middle"),
        ({(NONE, 3): 0.86}, "no-projector-falls"),
        ({(DEEP, 4): 0.9}, "deep-peak"),
        ({(NONE, 3): 0.86}, "projector-helps"),
        ({(DEEP, 6): 0.75}, "deep-falls"),
    ],
)
def test_each_headline_can_refute_the_claim(changed, refuted):
    judgement, statements = judged(results(changed))
    assert statements[refuted].verdict == Verdict.refuted
    assert judgement.verdict == Verdict.refuted and statements[refuted].sentence in judgement.sentence


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results({(DEEP, 6): 0.7275}, spread=0.02))
    assert statements["deep-falls"].verdict == Verdict.undecided and judgement.verdict == Verdict.undecided
    assert abs(statements["deep-falls"].value or 1) < 0.02
    for runs in (1, 2, 5):
        assert judged(results(runs=runs))[0].verdict == Verdict.undecided


def test_published_figures_are_compared_and_decide_nothing():
    judgement, statements = judged(results(votes=VOTES | {NONE: 0.8}))
    assert statements["published-no-projector-vote-on-z"].verdict == Verdict.excluded
    assert statements["published-no-projector-vote-on-z"].published == "48.7 %"
    assert statements["published-default-layer-3"].verdict == Verdict.compatible
    assert judgement.verdict == Verdict.supported


def test_divergence_is_said_and_does_not_stop_the_judge():
    made = results({(variant, layer): 0.1 for variant in PUBLISHED for layer in range(1, 8)}, diverged=10)
    judgement, statements = judged(made)
    assert statements["diverged"].verdict == Verdict.refuted and statements["diverged"].value == 30
    assert judgement.verdict == Verdict.refuted
    assert set(claim.figure(made, judgement)) == {"Linear test accuracy by layer"}  # of no loss a mean is left


def test_a_missing_variant_is_an_error():
    with pytest.raises(ValueError, match="no run of variant no projector"):
        judged([one for one in results() if one.run.settings["variant"] != NONE])


def test_sentences_and_table_are_short():
    judgement, _ = judged(results())
    assert max(len(one.sentence) for one in judgement.statements) <= 45
    head, *rows = judgement.table
    assert head == ("linear test accuracy, %", DEFAULT, NONE, DEEP) and len(rows) == 9
    assert rows[3][0] == "layer 3, H (published)" and rows[3][1].endswith("(82.1)")
    assert rows[7][1:3] == ("", "") and rows[7][3].endswith("(61.1)")


@pytest.mark.parametrize("runs", [1, 10])
def test_the_figures_are_valid_and_can_be_drawn(runs):
    made = results(runs=runs)
    digits = [float(i % 10) for i in range(30)]
    xs = np.arange(30.0).tolist()
    curves = {"digit": digits, "pixels_x": xs, "pixels_y": xs, "H_x": xs, "H_y": xs}
    made.append(Result(Run("self-supervised", 1, {"variant": DEFAULT, "embedding": "t-SNE"}, 0, {}), {}, curves))
    judgement, statements = judged(made)
    assert judgement.runs == statements["diverged"].n == 3 * runs  # the map's network is not counted twice
    figures = claim.figure(made, judgement)
    assert list(figures) == [
        "Linear test accuracy by layer",
        "Maps of the signals and of H",
        "Contrastive loss while training",
    ]
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")


@pytest.mark.parametrize(("epochs", "shown"), [(9, set()), (10, {10}), (199, {10}), (200, {10, 200})])
def test_published_losses_stand_at_epochs_that_were_run(epochs, shown):
    made = results(runs=2, epochs=epochs)
    spec = claim.figure(made, claim.judge(made, Settings(epochs=epochs)))["Contrastive loss while training"]
    rows = [row for row in spec["data"]["values"] if row.get("part") == "published"]
    assert {row["epoch"] for row in rows} == shown and len(rows) == 3 * len(shown)


# A small run of everything


def test_a_small_run_records_every_layer():
    cell = claim.cells(SMALL)[1]  # without projector: the network that compiles fastest
    ((_, found),) = engine.here(lambda one: claim.run(one, SMALL), [cell])
    assert isinstance(found, list) and [one.run for one in found] == list(cell.runs)
    for one in found:
        assert len(one.curves["linear"]) == 4 and one.values["linear_3"] == one.curves["linear"][3]
        assert one.values["linear_1"] > 0.2 and 0.1 < one.values["vote"] < 1
        assert 4 < one.values["loss"] < np.log(500) + 0.05 and one.curves["epoch"] == [1.0]
        assert one.values["probe_steps"] == 5 and "loss_epoch_10" not in one.values  # there is no tenth epoch
    first, second = found
    assert first.values["linear_0"] == second.values["linear_0"] and first.curves["loss"] != second.curves["loss"]


@pytest.mark.slow
def test_a_whole_run_is_stored_judged_and_drawn(tmp_path):
    with open_store(tmp_path) as store:
        cells = claim.cells(SMALL)
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, SMALL, cells, left, store, machine.provenance("flyroom run"))
        found = store.results([run for cell in cells for run in cell.runs])
    assert len(found) == 6 and account.judgement.verdict != Verdict.supported
    for one in found:
        depth = DEPTH[one.run.settings["variant"]]
        assert len(one.curves["linear"]) == depth + 1 and f"linear_{depth}" in one.values
    for spec in account.figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")


@pytest.mark.slow
@pytest.mark.parametrize("variant", [0, 2])
def test_a_network_is_the_same_alone_and_among_others(variant):
    settings = replace(SMALL, batch=100)
    cell = claim.cells(settings)[variant]
    alone = claim.run(replace(cell, runs=cell.runs[1:]), settings)[0]
    among = claim.run(cell, settings)[1]
    assert alone.values == among.values and alone.curves == among.curves


@pytest.mark.slow
def test_two_epochs_learn_and_a_wild_rate_is_recorded():
    settings = replace(SMALL, epochs=2, batch=100)
    (one, _) = claim.run(claim.cells(settings)[0], settings)
    assert one.curves["loss"][1] < one.curves["loss"][0] < np.log(100)
    wild = replace(SMALL, learning_rate=1e37)
    (broken, _) = claim.run(claim.cells(wild)[0], wild)
    assert broken.values["diverged_at_step"] >= 1
    assert 0 <= broken.values["linear_3"] <= 0.15 and broken.values["linear_0"] > 0.2


@pytest.mark.slow
def test_the_map_is_of_signals_and_of_h():
    pytest.importorskip("openTSNE", reason="openTSNE is not installed (flyroom[lab])")
    settings = replace(SMALL, embedding=True)
    (one,) = claim.run(claim.cells(settings)[-1], settings)
    assert one.values == {} and set(one.curves) == {"digit", "pixels_x", "pixels_y", "H_x", "H_y"}
    assert {len(curve) for curve in one.curves.values()} == {2000}
