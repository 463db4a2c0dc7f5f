"""Double descent: what is run, how it is judged, where peaks and thresholds are found, and a small run."""

from dataclasses import fields, replace

import jax
import numpy as np
import pytest

from flyroom import engine, machine, plot, stats, train
from flyroom.claims import _double_descent as protocol
from flyroom.claims import _double_descent_figures as figures
from flyroom.claims import _double_descent_sweeps as sweeps
from flyroom.claims import double_descent as claim
from flyroom.claims.double_descent import Settings
from flyroom.nets.mlp import MLP
from flyroom.records import Measurement, Result, Run, Statement, Verdict
from flyroom.store import key, open_store

# Test errors by size, as published; training errors that reach zero at the published width.
BY_WIDTH = {4: 0.626, 9: 0.49, 16: 0.48, 27: 0.51, 36: 0.53, 47: 0.545, 61: 0.54, 80: 0.52, 300: 0.455}
CLEAN = {4: 0.58, 16: 0.446, 27: 0.41, 47: 0.41, 300: 0.373}
BY_CHANNELS = {4: 0.36, 10: 0.20, 14: 0.27, 18: 0.335, 24: 0.32, 50: 0.285}
ONE_THOUSAND = {9: 0.58, 16: 0.62, 27: 0.59, 47: 0.57, 80: 0.55}
TWO_THOUSAND = {9: 0.52, 16: 0.54, 27: 0.60, 47: 0.57, 80: 0.54}
TRUE = {
    ("mlp", "noisy", 4000): BY_WIDTH,
    ("mlp", "clean", 4000): CLEAN,
    ("cnn", "noisy", 4000): BY_CHANNELS,
    ("mlp", "noisy", 1000): ONE_THOUSAND,
    ("mlp", "noisy", 2000): TWO_THOUSAND,
}
FITTED = {("mlp", 4000): 61, ("cnn", 4000): 24, ("mlp", 1000): 27, ("mlp", 2000): 47}
EPOCHS = [1.0, 10.0, 100.0, 500.0]
DIAMONDS = "diamonds are the published test errors"
IN_TRAINING = (0.8, 0.42, 0.475, 0.455)  # falls, rises, falls


def results(
    changed=None, runs=10, sweep_runs=8, spread=0.004, fitted=None, in_training=IN_TRAINING, shared=0.0, noise=0.15
) -> list[Result]:
    """Stored results as they would be, with errors made by hand; `shared` moves all errors of a seed together."""
    draw = np.random.default_rng(0)
    moved = shared * draw.standard_normal(runs)
    reached, made = FITTED | (fitted or {}), []
    for (net, labels, examples), by_size in (TRUE | (changed or {})).items():
        data = {"name": "label noise", "probability": noise} if labels == "noisy" else {"name": "mnist1d"}
        for size, error in by_size.items():
            ours = labels == "noisy" and examples == 4000 and (net == "mlp" or size in (10, 18, 50))
            for seed in range(runs if ours else sweep_runs):
                test = error + moved[seed] + spread * draw.standard_normal()
                train_error = 0.0 if size >= reached[net, examples] else 0.2
                path = np.array(in_training) + (test - in_training[-1])
                run = Run(
                    "double-descent", 1, {"net": net, "size": size, "labels": labels, "examples": examples}, seed, data
                )
                values = {
                    "test_error": test,
                    "train_error": train_error,
                    "test_accuracy": 1 - test,
                    "train_accuracy": 1 - train_error,
                }
                curves = {
                    "step": [40 * epoch for epoch in EPOCHS],
                    "epoch": EPOCHS,
                    "test_accuracy": (1 - path).tolist(),
                    "train_accuracy": [0.1, 0.5, 0.9, 1 - train_error],
                }
                made.append(Result(run, values, curves, wall_s=1.0, cpu_s=1.0))
    return made


def judged(made: list[Result], settings: Settings | None = None):
    judgement = claim.judge(made, settings or Settings())
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    """A judgement has a hundred intervals; 1000 bootstrap samples for each are enough for what is asserted here."""
    monkeypatch.setattr(stats, "RESAMPLES", 999)


def interval(found: Statement | Measurement) -> tuple[float, float]:
    assert found.interval is not None
    return found.interval


# What is run


def runs_of(settings: Settings) -> list[Run]:
    return [run for cell in claim.cells(settings) for run in cell.runs]


def test_the_prediction_is_in_the_file():
    assert "48 +- 2 % at n = 16" in claim.ABOUT.prediction and claim.ABOUT.version == 1
    assert "Predicted before the first run" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    runs = runs_of(Settings())
    assert len({key(run) for run in runs}) == len(runs)
    for cell in cells:
        assert cell.ahead  # `run` begins with `train_many`
        assert len({str(run.settings) for run in cell.runs}) == 1
        place, noisy = cell.runs[0].settings, "label noise" in str(cell.runs[0].data)
        assert noisy is (place["labels"] == "noisy")
        assert [run.seed for run in cell.runs] == list(range(len(cell.runs)))
        whole = place["labels"] == "noisy" and place["examples"] == 4000
        ten = whole and (place["net"] == "mlp" or place["size"] in (10, 18, 50))
        assert len(cell.runs) == (10 if ten else 8)
    sizes = {c.runs[0].settings["size"] for c in cells if c.runs[0].settings["net"] == "cnn"}
    assert sizes == {4, 10, 14, 18, 24, 50}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"runs": 12}, True),
        ({"widths": "3"}, True),
        ({"clean_widths": "", "channels": "60", "fewer_examples": "500"}, True),
        ({"epochs": 500}, True),  # said in words, what 0 means
        ({"epochs": 499}, False),
        ({"noise": 0.2}, False),
        ({"noise_from": "seed"}, False),
        ({"protocol": "udl-8.3"}, False),
        ({"batch": 50}, False),
        ({"learning_rate": 0.02}, False),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, same):
    def noisy(settings: Settings) -> set[str]:
        peak = protocol.PROTOCOLS[settings.protocol].peak
        chosen = [run for run in runs_of(settings) if run.settings["size"] == peak]
        return {key(run) for run in chosen if run.settings["labels"] == "noisy"}

    default, other = noisy(Settings()), noisy(replace(Settings(), **changed))
    assert (other & default) if same else not (other & default)
    if "runs" in changed:
        assert default < other  # more seeds only add runs


def test_without_noise_nothing_depends_on_the_noise():
    def clean(**changed):
        return {key(run) for run in runs_of(Settings(**changed)) if run.settings["labels"] == "clean"}

    assert clean() == clean(noise=0.3) == clean(noise_from="seed") != clean(epochs=7)


def test_labels_drawn_by_each_seed_are_in_its_recipe():
    cell = claim.cells(Settings(noise_from="seed"))[0]
    assert [run.data["seed"] for run in cell.runs] == list(range(10))
    assert len({str(run.data) for run in claim.cells(Settings())[0].runs}) == 1


def test_short_and_faithful_forms_are_settings():
    names = {field.name for field in fields(Settings)}
    for form in (claim.quick, claim.faithful):
        changed = form(Settings())
        assert set(changed) <= names
        claim.cells(replace(Settings(), **changed))
    every = replace(Settings(), **claim.faithful(Settings()))
    cells = claim.cells(every)
    places = [(c.runs[0].settings["net"], c.runs[0].settings["labels"]) for c in cells if len(c.runs) >= 10]
    assert [places.count(place) for place in protocol.PUBLISHED][:2] >= [19, 19] and places.count(
        ("cnn", "noisy")
    ) == 29
    assert claim.quick(Settings(runs=1, epochs=1)) | {"runs": 1, "epochs": 1} == claim.quick(Settings(runs=1, epochs=1))


def test_what_is_named_twice_is_run_once():
    twice = Settings(widths="4, 9 4", channels="4 4", fewer_examples="1000 2000 1000")
    once = Settings(widths="4 9", channels="4", fewer_examples="1000 2000")
    assert [key(run) for run in runs_of(twice)] == [key(run) for run in runs_of(once)]


def test_the_full_form_of_a_protocol_that_is_not_there_is_refused():
    unknown = Settings(protocol="udl")
    with pytest.raises(ValueError, match="no protocol 'udl'; there are"):
        claim.cells(replace(unknown, **claim.faithful(unknown)))


def test_the_book_has_a_protocol_of_its_own():
    settings = Settings(protocol="udl-8.3", **{"widths": claim.faithful(Settings(protocol="udl-8.3"))["widths"]})
    cells = claim.cells(settings)
    assert len(cells) == 28 and {cell.runs[0].settings["net"] for cell in cells} == {"mlp"}
    assert cells[0].runs[0].data["stream"] == "python"
    assert cells[0].runs[0].data["of"]["num_samples"] == 8000
    assert claim.cost(cells[0].runs[0]) == pytest.approx(2 * claim.cost(claim.cells(Settings(widths="2"))[0].runs[0]))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"protocol": "udl"}, "no protocol 'udl'; there are mnist1d, udl-8.3"),
        ({"epochs": -1}, "epochs -1 must be at least 1, or 0"),
        ({"noise": 0.0}, "noise 0.0 must be above 0"),
        ({"noise_from": "seeds"}, "neither 'published' nor 'seed'"),
        ({"widths": "4 -9"}, "widths '4 -9' is not a list of positive whole numbers"),
        ({"channels": "many"}, "channels 'many' is not a list"),
        ({"far_channels": 18}, "far_channels 18 must lie beyond the published peak"),
        ({"fewer_examples": "4000"}, "each must be below 4000"),
        ({"batch": 2000}, "fill a batch"),
        ({"batch": 5000, "fewer_examples": ""}, "a batch of 5000 cannot be taken from 4000"),
        ({"learning_rate": 0.0}, "learning_rate 0.0"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_cost_grows_with_size_and_epochs():
    def total(**changed) -> float:
        return sum(map(claim.cost, runs_of(Settings(**changed))))

    assert 0 < total(epochs=10) < total(epochs=100) < total() < total(widths="4 9 27 36 61 80 400")


# The networks and the data


@pytest.mark.parametrize(("net", "size"), [("mlp", 2), ("mlp", 47), ("cnn", 3), ("cnn", 24)])
def test_counted_parameters_are_those_of_the_network(net: str, size: int):
    made = protocol.network(net, size, jax.random.key(0), "mnist1d")
    assert sum(leaf.size for leaf in jax.tree.leaves(made)) == protocol.parameters(net, size)


def test_published_sizes_and_figures():
    assert protocol.parameters("mlp", 47) == 4663 and protocol.parameters("cnn", 24) == 4858
    assert protocol.PUBLISHED["mlp", "noisy"][16] == 47.2 and protocol.PUBLISHED["mlp", "noisy"][300] == 45.5
    assert protocol.PUBLISHED["mlp", "clean"][61] == 41.2
    assert protocol.PUBLISHED["cnn", "noisy"][18] == 33.8 and protocol.PUBLISHED["cnn", "noisy"][95] == 27.4


def test_he_uniform_weights_fill_their_interval_and_biases_are_zero():
    made = protocol.network("mlp", 200, jax.random.key(0), "udl-8.3")
    plain = protocol.network("mlp", 200, jax.random.key(0), "mnist1d")
    assert isinstance(made, MLP) and isinstance(plain, MLP)
    for layer, fan_in in zip(made.layers, (40, 200, 200), strict=True):
        weights, bound = np.asarray(layer.weight), (6 / fan_in) ** 0.5
        assert 0.99 * bound < np.abs(weights).max() <= bound * (1 + 1e-6)
        assert weights.std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
        assert not np.asarray(layer.bias).any()
    assert np.asarray(plain.layers[0].bias).any()


def test_the_data_of_each_setting():
    noisy = protocol.data("mnist1d", 0.15, "published", 0, 4000)
    clean = protocol.data("mnist1d", 0.0, "published", 0, 4000)
    few = protocol.data("mnist1d", 0.15, "published", 0, 1000)
    assert noisy.x_train.shape == (4000, 40) and noisy.x_test.shape == (12_000, 40)
    assert int((noisy.y_train != clean.y_train).sum()) == 577
    assert few.x_train.shape == (1000, 40) and few.x_test.shape == (12_000, 40)
    rows = {row.tobytes(): label for row, label in zip(noisy.x_train, noisy.y_train, strict=True)}
    assert all(rows[row.tobytes()] == label for row, label in zip(few.x_train, few.y_train, strict=True))
    own = [protocol.data("mnist1d", 0.15, "seed", seed, 4000).y_train for seed in (0, 1)]
    assert (own[0] != own[1]).any()
    fewer = [protocol.data("mnist1d", 0.15, "seed", seed, 1000) for seed in (0, 1)]
    np.testing.assert_array_equal(fewer[0].x_train, fewer[1].x_train)  # the same examples for all seeds
    assert (fewer[0].y_train != fewer[1].y_train).any()


# How it is judged

HEADLINES = (
    *("mlp-descends", "mlp-rises", "mlp-falls", "mlp-ends"),
    *("cnn-descends", "cnn-rises", "cnn-falls", "cnn-ends"),
    *("mlp-at-threshold", "cnn-at-threshold"),
)


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported
    assert tuple(name for name, one in statements.items() if one.headline) == HEADLINES
    assert statements["mlp-rises"].value == pytest.approx(0.065, abs=0.004)
    assert statements["mlp-falls"].published == "8.5 %"
    assert statements["cnn-ends"].published == "9.1 %"
    assert statements["mlp-ends"].p == pytest.approx(8 * 2 / 2**10)  # exact, Holm over eight
    assert statements["mlp-descends"].published == "15.4 %" and statements["mlp-descends"].n == 10  # 62.6 - 47.2
    assert statements["cnn-descends"].published == "16.2 %" and statements["cnn-descends"].n == 8  # common seeds
    assert statements["cnn-descends"].value == pytest.approx(0.16, abs=0.005)
    assert "falls, rises to a peak and falls again; both peaks" in judgement.sentence
    assert judgement.runs == len(results())
    expected = {
        "mlp-clean-no-peak": Verdict.supported,
        "mlp-clean-falls": Verdict.supported,
        "epochs-rises": Verdict.supported,
        "epochs-falls": Verdict.supported,
        "moves-1000": Verdict.supported,
        "moves-2000": Verdict.supported,
        "p-n-1000": Verdict.supported,
        "p-n-2000": Verdict.supported,
    }
    assert {name: statements[name].verdict for name in expected} == expected


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({("mlp", "noisy", 4000): BY_WIDTH | {16: 0.56}}, "mlp-rises"),
        ({("mlp", "noisy", 4000): BY_WIDTH | {300: 0.57}}, "mlp-falls"),
        ({("mlp", "noisy", 4000): BY_WIDTH | {300: 0.50}}, "mlp-ends"),
        ({("cnn", "noisy", 4000): BY_CHANNELS | {10: 0.35}}, "cnn-rises"),
        ({("cnn", "noisy", 4000): BY_CHANNELS | {50: 0.36}}, "cnn-falls"),
        ({("cnn", "noisy", 4000): BY_CHANNELS | {50: 0.18}}, "cnn-ends"),
        ({("mlp", "noisy", 4000): BY_WIDTH | {27: 0.6}}, "mlp-at-threshold"),
        ({("mlp", "noisy", 4000): BY_WIDTH | {4: 0.45}}, "mlp-descends"),
        ({("cnn", "noisy", 4000): BY_CHANNELS | {4: 0.15}}, "cnn-descends"),
        ({("cnn", "noisy", 4000): BY_CHANNELS | {14: 0.4}}, "cnn-at-threshold"),
    ],
)
def test_one_refuted_headline_refutes_the_claim(changed, refuted):
    judgement, statements = judged(results(changed))
    assert judgement.verdict == Verdict.refuted
    assert statements[refuted].verdict == Verdict.refuted
    assert statements[refuted].sentence in judgement.sentence


def test_where_no_smaller_size_is_run_no_descent_is_judged():
    small = {("mlp", "noisy", 4000): {16: 0.48, 47: 0.545, 61: 0.54, 300: 0.455}}
    for channels, falls in (({4: 0.36}, False), ({}, False)):
        cnn = {("cnn", "noisy", 4000): {**channels, 10: 0.20, 18: 0.335, 24: 0.32, 50: 0.285}}
        named = " ".join(map(str, [*channels, 24]))
        judgement, statements = judged(
            results({**small, **cnn}),
            Settings(widths="61", channels=named, fewer_examples=""),
        )
        assert "mlp-descends" not in statements and ("cnn-descends" in statements) is bool(channels)
        assert judgement.verdict == Verdict.supported and ("falls, rises" in judgement.sentence) is falls


def test_channels_beyond_the_end_are_shown_and_not_compared():
    further = {("cnn", "noisy", 4000): BY_CHANNELS | {60: 0.19}}
    judgement, statements = judged(results(further), Settings(channels="4 14 24 60"))
    assert statements["cnn-falls"].sentence.startswith("CNN, noise: c = 50") and statements["cnn-falls"].n == 10
    assert statements["cnn-ends"].value == pytest.approx(0.085, abs=0.004)
    assert judgement.verdict == Verdict.supported


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results({("mlp", "noisy", 4000): BY_WIDTH | {300: 0.478}}, spread=0.01))
    assert judgement.verdict == Verdict.undecided
    assert {name for name in HEADLINES if statements[name].verdict != Verdict.supported} == {"mlp-ends"}


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_few_seeds_decide_nothing(runs: int):
    judgement, statements = judged(results(runs=runs, sweep_runs=runs))
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_a_network_that_never_fits_leaves_the_threshold_open():
    judgement, statements = judged(results(fitted={("mlp", 4000): 999}))
    assert statements["mlp-at-threshold"].verdict == Verdict.undecided and statements["mlp-at-threshold"].headline
    assert "not all seeds reach it" in statements["mlp-at-threshold"].sentence
    assert judgement.verdict == Verdict.undecided


def test_pairs_are_of_one_seed():
    """All errors of a seed move together by far more than the differences: pairing sees them all the same."""
    _, statements = judged(results(shared=0.1))
    assert statements["mlp-ends"].verdict == Verdict.supported
    assert interval(statements["mlp-ends"])[1] < 0.04


def test_statements_that_inform_can_fail_and_decide_nothing():
    same = {("mlp", "noisy", 1000): BY_WIDTH, ("mlp", "clean", 4000): CLEAN | {47: 0.5, 300: 0.52}}
    judgement, statements = judged(results(same, in_training=(0.8, 0.6, 0.5, 0.455)))
    assert statements["moves-1000"].verdict == Verdict.undecided  # the peaks are at the same width
    assert statements["p-n-1000"].verdict == Verdict.refuted
    assert statements["mlp-clean-no-peak"].verdict == Verdict.refuted
    assert statements["mlp-clean-falls"].verdict == Verdict.refuted
    assert statements["epochs-rises"].verdict == Verdict.refuted
    assert statements["epochs-falls"].verdict == Verdict.refuted
    assert judgement.verdict == Verdict.supported


def test_published_figures_are_compared_with_one_run():
    _, statements = judged(results({("cnn", "noisy", 4000): BY_CHANNELS | {10: 0.25}}))
    assert statements["published-cnn-noisy-10"].verdict == Verdict.excluded
    assert statements["published-cnn-noisy-10"].published == "19.6 %"
    assert statements["published-mlp-noisy-300"].verdict == Verdict.compatible
    assert not any(one.headline for name, one in statements.items() if name.startswith("published"))


def test_published_figures_stand_beside_their_own_noise_only():
    made = results(noise=0.3)
    judgement, statements = judged(made, Settings(noise=0.3))
    compared = {name for name in statements if name.startswith("published")}
    assert compared and all(name.startswith("published-mlp-clean") for name in compared)  # nothing is noisy there
    noisy = [one for one in statements.values() if one.id.startswith(("mlp-", "cnn-")) and "clean" not in one.id]
    assert noisy and all(one.published is None for one in noisy)
    assert [row[0] for row in judgement.table[1:] if row[4]] == ["MLP, no noise"] * len(CLEAN)
    over_size = str(claim.figure(made, judgement)["Error against the number of parameters; " + DIAMONDS])
    assert "0.472" not in over_size and "0.446" in over_size


def test_the_books_protocol_is_judged_on_the_mlp_alone():
    by_size = {4: 0.6, 14: 0.48, 35: 0.53, 45: 0.56, 60: 0.54, 400: 0.45}
    made = results({("mlp", "noisy", 4000): by_size}, fitted={("mlp", 4000): 60})
    made = [one for one in made if one.run.settings["net"] == "mlp" and one.run.settings["labels"] == "noisy"]
    made = [replace(one, run=replace(one.run, settings={**one.run.settings, "protocol": "udl-8.3"})) for one in made]
    made = [one for one in made if one.run.settings["examples"] == 4000]
    judgement, statements = judged(made, Settings(protocol="udl-8.3", widths="4 35 60"))
    assert judgement.verdict == Verdict.supported and "CNN" not in judgement.sentence
    assert "of the MLP falls, rises to a peak and falls again; the peak lies" in judgement.sentence
    assert {name for name, one in statements.items() if one.headline} == {n for n in HEADLINES if n.startswith("mlp")}
    assert all(row[4] == "" for row in judgement.table[1:])
    assert all(one.published is None for one in statements.values())
    assert next(iter(claim.figure(made, judgement))) == "Error against the number of parameters"
    assert len(claim.figure(made, judgement)) == 2


def test_a_missing_size_is_named():
    part = [one for one in results() if one.run.settings["size"] != 47]
    with pytest.raises(ValueError, match="no run of net mlp, size 47, labels noisy, examples 4000 is stored"):
        judged(part)


# Where peaks, thresholds and rises are found


def test_peaks_and_thresholds_by_seed():
    made = results(spread=0.0)
    main = sweeps.Sweep("mlp", "noisy", 4000, tuple(BY_WIDTH))
    np.testing.assert_array_equal(sweeps.at_peak(made, main, 16), np.full(10, 4663.0))
    np.testing.assert_array_equal(sweeps.at_peak(made, main, 4), np.full(10, 16 + 208 + 10.0))  # hence "from 16 on"
    np.testing.assert_array_equal(sweeps.thresholds(made, main, 16), np.full(10, 6903.0))
    few, many = sweeps.paired_peaks(
        made, sweeps.Sweep("mlp", "noisy", 1000, tuple(ONE_THOUSAND)), main, (9, 16, 27, 47, 80)
    )
    assert few.tolist() == [1098.0] * 8 and many.tolist() == [4663.0] * 8


def test_the_largest_rise_is_that_of_all_pairs():
    draw = np.random.default_rng(1)
    for _ in range(200):
        curve = draw.standard_normal(int(draw.integers(2, 9)))
        pairs = [(i, j) for j in range(len(curve)) for i in range(j)]
        best = max(pairs, key=lambda pair: curve[pair[1]] - curve[pair[0]])
        assert sweeps.largest_rise(curve) == best


def test_a_rise_is_not_found_in_noise():
    """Curves that are flat but for noise: located and measured on the same seeds, a rise would always show."""
    draw = np.random.default_rng(2)
    place = {"net": "mlp", "size": 300, "labels": "noisy", "examples": 4000}
    noise = 0.4 + 0.01 * draw.standard_normal((60, 15))
    made = [Result(Run("x", 1, place, s, {}), {}, {"test_accuracy": (1 - row).tolist()}) for s, row in enumerate(noise)]
    rise, fall = sweeps.epoch_wise(made, sweeps.Sweep("mlp", "noisy", 4000, (300,)), 300)
    assert abs(rise.value) < 0.004
    naive = [curve[j] - curve[i] for curve in noise for i, j in [sweeps.largest_rise(curve)]]
    assert interval(stats.mean_interval(naive))[0] > 0.02
    assert abs(fall.value) < 0.004


def test_a_geometric_mean():
    found = sweeps.mean_ratio(np.array([0.5, 2.0, 0.5, 2.0, 0.5, 2.0, 1.0, 1.0]))
    assert found.value == pytest.approx(1.0) and interval(found)[0] * interval(found)[1] == pytest.approx(1.0, rel=0.2)


# What is shown


def test_the_figures_can_be_drawn():
    made = results()
    drawn = claim.figure(made, claim.judge(made, Settings()))
    assert len(drawn) == 3
    for spec in drawn.values():
        assert plot.render(spec, "svg").startswith(b"<svg")
    first = str(next(iter(drawn.values())))
    assert all(name in first for name in ("MLP, noise", "MLP, no noise", "CNN, noise", "threshold", "published"))


def test_one_seed_has_no_band():
    made = results(runs=1, sweep_runs=1)
    one = sweeps.Sweep("mlp", "noisy", 4000, (16, 47))
    assert [set(row) for row in figures._points(made, one, "test")] == [{"size", "mean"}] * 2
    assert len(claim.judge(made, Settings()).table) == 1 + sum(map(len, TRUE.values()))


def test_the_table_says_what_diverged():
    made = results()
    made[0] = replace(made[0], values={**made[0].values, "diverged_at_step": 7.0})
    head, *rows = judged(made)[0].table
    assert head[-1] == "runs" and rows[0][-1] == "10 (1 diverged)" and rows[1][-1] == "10"
    assert len(rows) == sum(map(len, TRUE.values()))
    assert rows[2][:3] == ("MLP, noise", "16", "1,098") and rows[2][4] == "47.2"


# A small run of everything


SMALL = Settings(runs=2, sweep_runs=2, epochs=1, widths="", clean_widths="", channels="", fewer_examples="")


@pytest.mark.parametrize("size", [16, pytest.param(10, marks=pytest.mark.slow)])
def test_a_small_run(size: int, tmp_path):
    """The smallest compared MLP, on noisy and on clean labels, and the smallest CNN."""
    wanted = [cell for cell in claim.cells(SMALL) if cell.runs[0].settings["size"] == size]
    assert len(wanted) == (2 if size == 16 else 1)
    with open_store(tmp_path) as store:
        for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), wanted):
            assert not isinstance(outcome, Exception), outcome
            store.add(outcome, machine.provenance("by hand"))
        back = store.results([run for cell in wanted for run in cell.runs])
    for one in back:
        assert one.values["test_error"] == pytest.approx(1 - one.curves["test_accuracy"][-1])
        assert one.curves["epoch"][0] == 0 and one.curves["epoch"][-1] == 1
        assert one.curves["train_loss"][-1] < one.curves["train_loss"][0]
    assert back[0].curves["train_loss"] != back[1].curves["train_loss"]


@pytest.mark.slow
def test_a_run_does_not_depend_on_its_cell_and_labels_of_its_own_are_learned():
    settings = replace(SMALL, noise_from="seed", noise=1.0)
    cell = claim.cells(settings)[0]
    assert cell.runs[0].settings["size"] == 16
    together = claim.run(cell, settings)
    (alone,) = claim.run(replace(cell, runs=cell.runs[1:]), settings)
    assert together[1].values == alone.values
    data = claim._data(settings, "noisy", 4000, 1)
    made = protocol.network("mlp", 16, jax.random.key(1), "mnist1d")
    right = train.both_parts(data)[1][:4000] == np.asarray(made(jax.numpy.asarray(data.x_train, np.float32))).argmax(
        axis=1
    )
    assert alone.curves["train_accuracy"][0] == pytest.approx(float(right.mean()))


@pytest.mark.slow
def test_the_short_form_from_beginning_to_end(tmp_path):
    settings = replace(Settings(), **claim.quick(Settings()))
    cells = claim.cells(settings)
    with open_store(tmp_path) as store:
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, settings, cells, left, store, machine.provenance("by hand"))
    assert account.judgement.verdict == Verdict.undecided and account.judgement.runs == 18
    assert len(account.figures) == 2
    for spec in account.figures.values():
        assert plot.render(spec, "svg").startswith(b"<svg")
