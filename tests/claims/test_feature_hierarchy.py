"""Feature hierarchy: measures against closed forms, what is run, how it is judged, a small run of everything."""

from dataclasses import fields, replace

import altair
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from flyroom import engine, plot, stats
from flyroom.claims import _hierarchy
from flyroom.claims import feature_hierarchy as claim
from flyroom.claims.feature_hierarchy import LABELS, Settings
from flyroom.nets.conv import CNN
from flyroom.nets.spec import parameters
from flyroom.records import Cell, Result, Verdict
from flyroom.store import key

SMALL = Settings(runs=2, steps=60, image_steps=60, test=1000)
DRAW = np.random.default_rng(7)

# Edges at first weights, trained, shuffled; information and tolerance by layer, trained and at first weights.
EDGES = {"signals": (0.20, 0.25, 0.20), "images": (0.22, 0.27, 0.22)}
LAYERS = {
    "information": {"signals": ((0.02, 0.06, 0.12, 0.25), (0.02, 0.05, 0.07, 0.09)),
                    "images": ((0.3, 0.25, 0.4, 0.6), (0.3, 0.2, 0.25, 0.3))},
    "tolerance": {"signals": ((0.3, 0.35, 0.4, 0.55), (0.3, 0.35, 0.4, 0.45)),
                  "images": ((0.3, 0.2, 0.35, 0.6), (0.3, 0.2, 0.3, 0.4))},
}  # fmt: skip


def results(settings=Settings(), spread=0.008, edges=None, layers=None) -> list[Result]:  # noqa: B008
    """Stored results as they would be, made by hand; `layers` has entries such as ("information", "images")."""
    draw = np.random.default_rng(0)
    given = EDGES | (edges or {})
    made = []
    for cell in claim.cells(settings):
        for run in cell.runs:
            data, mixed = run.settings["data"], run.settings["shuffled"]
            first, trained, shuffled = given[data]
            noise = spread * draw.standard_normal(2)
            values = {"test_accuracy": 0.9, "edge": float((shuffled if mixed else trained) + noise[0])}
            values["edge_first"] = float(first + noise[1])
            for name in ("constant", "bar"):
                values |= {name: 0.25, f"{name}_first": 0.2 + 0.001 * run.seed}
            curves = {"layer": [0.0, 1.0, 2.0, 3.0]}
            for what, by_data in LAYERS.items() if not mixed else ():
                for end, points in zip(("", "_first"), (layers or {}).get((what, data), by_data[data]), strict=True):
                    curves[what + end] = (np.array(points) + spread * draw.standard_normal(4)).tolist()
            if run.seed == 0 and not mixed:
                axes, count = (1, 25) if data == "signals" else (2, 16)
                sizes = [size for size, _, _ in claim.fields(data)]
                curves |= {f"filters{end}": [0.1] * (count * sizes[0] ** axes) for end in ("", "_first")}
                curves |= {f"stimuli_{i}": [0.2] * (8 * size**axes) for i, size in enumerate(sizes, 1)}
            made.append(Result(run, values, curves))
    return made


def judged(made, settings=Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


@pytest.fixture(autouse=True)
def _quick_intervals(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)


# The shape of filters


@pytest.mark.parametrize("kernel", [(3,), (5,), (3, 3), (5, 3)])
def test_spaces_are_orthonormal_and_hold_what_they_are_named_for(kernel):
    found = _hierarchy.spaces(kernel)
    every = np.concatenate(list(found.values()))
    np.testing.assert_allclose(every @ every.T, np.eye(len(every)), atol=1e-12)
    assert [len(found[name]) for name in _hierarchy.SPACES] == ([1, 1, 1] if len(kernel) == 1 else [1, 2, 3])


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        ([[2.0, 2, 2, 2, 2]], "constant"),
        ([[-2.0, -1, 0, 1, 2], [4.0, 2, 0, -2, -4]], "edge"),
        ([[2.0, -1, -2, -1, 2]], "bar"),
        ([[[-1.0, 0, 1]] * 3, [[1.0] * 3, [0.0] * 3, [-1.0] * 3], [[-2.0, -1, 0], [-1, 0, 1], [0, 1, 2]]], "edge"),
        ([[[1.0, -2, 1]] * 3, [[-1.0, 0, 1], [0, 0, 0], [1, 0, -1]]], "bar"),
    ],
)
def test_filters_of_one_kind_have_all_their_energy_there(filters, name):
    found = _hierarchy.shares(np.array(filters))
    for other, share in found.items():
        np.testing.assert_allclose(share, 1.0 if other == name else 0.0, atol=1e-12)


def test_a_step_is_mostly_an_edge_and_random_filters_have_their_dimensions():
    step = _hierarchy.shares(np.array([[-1.0, -1, 0, 1, 1]]))
    assert step["edge"][0] == pytest.approx(36 / 40)  # (2 + 1 + 1 + 2)^2 / (10 x 4)
    assert _hierarchy.shares(np.zeros((1, 5)))["edge"][0] == 0
    assert _hierarchy.shares(np.array([[0.0, -1, 1, 0, 0]]))["edge"][0] == pytest.approx(1 / 20)
    assert _hierarchy.shares(np.array([[-1.0, 1, 0]]))["edge"][0] == pytest.approx(1 / 4)
    for kernel, expected in (((5,), (0.2, 0.2, 0.2)), ((3, 3), (1 / 9, 2 / 9, 3 / 9))):
        found = _hierarchy.shares(DRAW.uniform(-1, 1, (20_000, *kernel)))
        assert [found[name].mean() for name in _hierarchy.SPACES] == pytest.approx(expected, abs=0.006)


# Information


def test_information_of_responses_that_say_all_half_and_nothing():
    labels = np.arange(10_000) % 4
    two = labels // 2 + 0.01 * DRAW.standard_normal(10_000)
    responses = np.stack([labels + 0.0, two, DRAW.standard_normal(10_000), np.zeros(10_000)])
    found = _hierarchy.information(responses, labels)
    assert found[0] == pytest.approx(2, abs=1e-3) and found[1] == pytest.approx(1, abs=2e-3)
    assert abs(found[2]) < 1.5e-3 and found[3] == 0


def test_information_is_scikit_learns_but_for_the_bias():
    labels = DRAW.integers(0, 10, 900)
    response = np.maximum(0, labels - 5 + 2 * DRAW.standard_normal(900))
    edges = np.quantile(response, [0.25, 0.5, 0.75])
    place = (response[:, None] > edges).sum(1)
    plain = mutual_info_score(labels, place) / np.log(2)
    cells = len({*zip(labels.tolist(), place.tolist(), strict=True)})
    bias = (cells - 10 - len(set(place.tolist())) + 1) / (2 * 900 * np.log(2))
    assert _hierarchy.information(response[None], labels)[0] == pytest.approx(plain - bias)


def test_noise_tells_nothing_on_average():
    labels = DRAW.integers(0, 10, 900)
    found = _hierarchy.information(DRAW.standard_normal((400, 900)), labels)
    assert abs(found.mean()) < 0.002  # 0.022 without the correction


# Tolerance


def test_tolerance_is_a_mean_of_correlations():
    a, b, c = DRAW.standard_normal((3, 5, 200))
    expected = [np.corrcoef(x, y)[0, 1] for other in (b, c) for x, y in zip(a, other, strict=True)]
    assert _hierarchy.tolerance(a, [b, c]) == pytest.approx(np.mean(expected))
    assert _hierarchy.tolerance(a, [2 * a + 3]) == pytest.approx(1) and _hierarchy.tolerance(a, [-a]) == pytest.approx(
        -1
    )


def test_units_that_always_answer_the_same_are_left_out():
    a = DRAW.standard_normal((1, 50))
    dead = np.concatenate([a, np.ones((3, 50))])
    assert _hierarchy.tolerance(dead, [dead]) == pytest.approx(1)
    assert _hierarchy.tolerance(np.ones((2, 50)), [np.ones((2, 50))]) == 0


def test_shifts_lose_what_leaves():
    x = np.arange(1.0, 13).reshape(1, 3, 4)
    assert _hierarchy.shifted(x, 1, 1)[0].tolist() == [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11]]
    assert _hierarchy.shifted(x, 0, -2)[0].tolist() == [[9, 10, 11, 12], [0] * 4, [0] * 4]
    assert x[0, 0].tolist() == [1, 2, 3, 4]  # the input is left alone


# What units answer to most


@pytest.mark.parametrize("data", LABELS)
def test_the_strongest_stimulus_is_what_the_unit_saw(data):
    """The response of a first-layer unit is computed from its stimulus alone, whatever lies around it."""
    net = claim.network(data, 4)
    x = DRAW.standard_normal((30, *claim.SPACE[data])).astype(np.float32)
    first = np.asarray(net.responses(jnp.asarray(x))[0])
    stimuli = _hierarchy.strongest(first, x, claim.fields(data)[0], 1)
    layer = net.layers[0]
    assert layer.bias is not None
    for channel, stimulus in enumerate(stimuli):
        answer = float((np.asarray(layer.weight)[channel, 0] * stimulus).sum() + layer.bias[channel])
        assert answer == pytest.approx(float(first[channel].max()), rel=1e-4)


@pytest.mark.parametrize("data", LABELS)
def test_the_strongest_stimulus_of_a_later_layer_gives_the_response_again(data):
    """The stimulus put back where it was, on zeros: everything that the unit sees is in it."""
    net, (size, jump, start) = claim.network(data, 4), claim.fields(data)[2]
    x = DRAW.standard_normal((12, *claim.SPACE[data])).astype(np.float32)
    third = np.asarray(net.responses(jnp.asarray(x))[2])
    stimuli = _hierarchy.strongest(third, x, (size, jump, start), 1)
    for channel in range(3):
        place = np.unravel_index(third[channel].argmax(), third[channel].shape)[:-1]
        canvas = np.zeros([3 * size + 60] * len(place), np.float32)
        corner = [size + start + jump * int(i) for i in place]
        canvas[tuple(slice(i, i + size) for i in corner)] = stimuli[channel]
        inside = canvas[tuple(slice(size, size + n) for n in claim.SPACE[data])]
        again = np.asarray(net.responses(jnp.asarray(inside[None]))[2])
        assert float(again[(channel, *place, 0)]) == pytest.approx(float(third[channel].max()), rel=1e-4)


def test_several_stimuli_are_averaged():
    x = np.zeros((3, 6))
    x[0, 2], x[1, 4], x[2, 1] = 3.0, 2.0, 1.0
    responses = x.T[None]  # one channel whose units see their own position
    assert _hierarchy.strongest(responses, x, (3, 1, -1), 2).tolist() == [[0, 2.5, 0]]


# What is run


def test_the_networks():
    assert parameters(claim.network("signals", 1)) == 5210
    x = jax.random.normal(jax.random.key(0), (3, 40))
    np.testing.assert_allclose(claim.network("signals", 1)(x), CNN.init(jax.random.key(1))(x), rtol=1e-6, atol=1e-6)
    assert [one.shape[1:-1] for one in claim.network("images", 1).responses(jnp.zeros((2, 8, 8)))] == [
        (8, 8), (4, 4), (2, 2)
    ]  # fmt: skip
    assert [size for size, _, _ in claim.fields("signals")] == [5, 9, 17]
    assert claim.fields("images") == ((3, 1, -1), (5, 2, -2), (9, 4, -4))


def test_shuffling_moves_all_examples_alike():
    plain, mixed = (claim.examples("images", 3, 1000, mixed=which) for which in (False, True))
    assert (plain[1] == mixed[1]).all() and (plain[3] == mixed[3]).all()
    flat = [one.reshape(len(one), -1) for one in (plain[0], mixed[0], plain[2], mixed[2])]
    order = [int(np.flatnonzero((flat[0] == column[:, None]).all(0))[0]) for column in flat[1].T if column.any()]
    held = [column for column, seen in zip(flat[3].T, flat[1].T, strict=True) if seen.any()]
    assert (flat[2][:, order] == np.array(held).T).all() and order != sorted(order)
    assert len(plain[0]) == len(claim.examples("images", 4, 1000, mixed=False)[0])
    assert (plain[0][:50] != claim.examples("images", 4, 1000, mixed=False)[0][:50]).any()  # another split


def test_the_prediction_is_in_the_file():
    assert "0.25 +- 0.05 trained" in claim.ABOUT.prediction
    assert "signals 0.20 at first weights, 0.25 +- 0.05 trained" in str(claim.__doc__)


def test_the_default_run():
    cells = claim.cells(Settings())
    assert [(c.runs[0].settings["data"], c.runs[0].settings["shuffled"], c.ahead) for c in cells] == [
        ("signals", False, True), ("signals", True, False), ("images", False, True), ("images", True, False)
    ]  # fmt: skip
    runs = [run for cell in cells for run in cell.runs]
    assert len({key(run) for run in runs}) == len(runs) == 40


def keys(**changed) -> set[str]:
    return {key(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs}


def test_a_key_holds_what_decides_the_numbers_and_nothing_else():
    assert keys() < keys(runs=12)
    assert len(keys() & keys(steps=10)) == len(keys() & keys(image_steps=10)) == 20
    assert not keys() & keys(steps=10, image_steps=10)
    assert len(keys() & keys(test=1000)) == 20  # images have their own


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"steps": 0}, "steps 0, .*each must be at least 1"), ({"test": 1500}, "test 1500: choose a multiple of 1000")],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(Settings(**wrong))


def test_costs_and_short_form():
    def total(**changed) -> float:
        return sum(claim.cost(run) for cell in claim.cells(Settings(**changed)) for run in cell.runs)

    assert 0 < total(steps=600) < total() < 300
    quick = claim.quick(Settings(steps=5))
    assert quick["steps"] == 5 and set(quick) <= {one.name for one in fields(Settings)}
    assert claim.cells(replace(Settings(), **quick))


# How it is judged

HEADLINES = {
    f"{what}-{data}"
    for what in ("edges", "edges-shuffled", "information", "tolerance")
    for data in ("signals", "images")
}


def test_supported():
    judgement, statements = judged(results())
    assert judgement.verdict == Verdict.supported, judgement.sentence
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert statements["edges-signals"].value == pytest.approx(0.05, abs=0.01)
    assert statements["edges-images"].p == pytest.approx(4 * 2 / 2**10)
    assert statements["information-images"].value == pytest.approx(0.35, abs=0.01)
    assert statements["information-signals"].unit == "bits" and statements["edges-images"].unit == "share"
    assert statements["tolerance-images-2"].value == pytest.approx(0.25, abs=0.01)
    assert statements["information-first-signals"].value == pytest.approx(0.04, abs=0.01)
    assert statements["information-learned-signals"].value == pytest.approx(0.15, abs=0.012)
    assert statements["smooth-signals"].value == pytest.approx(0.15 - 0.009, abs=0.01)
    assert all(len(one.sentence) <= 45 for one in statements.values())
    assert judgement.runs == 40


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({"edges": {"signals": (0.20, 0.15, 0.10)}}, {"edges-signals"}),
        ({"edges": {"images": (0.10, 0.20, 0.30)}}, {"edges-shuffled-images"}),
        ({"layers": {("information", "signals"): ((0.1, 0.3, 0.3, 0.2), (0.1,) * 4)}}, {"information-signals"}),
        ({"layers": {("tolerance", "images"): ((0.1, 0.5, 0.3, 0.2), (0.1,) * 4)}}, {"tolerance-images"}),
    ],
)  # fmt: skip
def test_what_is_refuted(changed, refuted):
    judgement, statements = judged(results(**changed))
    assert {n for n, one in statements.items() if one.headline and one.verdict == Verdict.refuted} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_is_undecided():
    judgement, statements = judged(results(edges={"images": (0.22, 0.2201, 0.1)}, spread=0.02))
    assert statements["edges-images"].verdict == Verdict.undecided == judgement.verdict


@pytest.mark.parametrize("runs", [1, 5])
def test_few_seeds_decide_nothing(runs):
    few = Settings(runs=runs)
    judgement, statements = judged(results(few), few)
    assert judgement.verdict == Verdict.undecided
    assert not {"supported", "refuted"} & {one.verdict.value for one in statements.values()}


def test_the_table():
    head, *rows = judged(results())[0].table
    assert head == ("measured", "first weights", "trained", "trained, shuffled")
    assert len(rows) == 12 and all(len(row) == 4 for row in rows)
    assert rows[1][0] == "MNIST-1D: edge, % of a filter" and rows[3][2].count(",") == 2


def test_missing_data_are_an_error():
    with pytest.raises(ValueError, match="no run of data images, shuffled False is stored"):
        judged([one for one in results() if one.run.settings["data"] == "signals"])


@pytest.mark.parametrize("runs", [1, 10])
def test_the_figures_can_be_drawn(runs):
    settings = Settings(runs=runs)
    made = results(settings)
    figures = claim.figure(made, claim.judge(made, settings))
    assert len(figures) == 6
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")


# A small run


def run(cells):
    found = []
    for _, outcome in engine.here(lambda cell: claim.run(cell, SMALL), cells):
        assert not isinstance(outcome, Exception), outcome
        found.append(outcome)
    return found


def test_a_small_run():
    """Whatever else is in the cell: the second of two networks alone gives the same numbers."""
    images = claim.cells(SMALL)[2]
    both, alone = run([images, Cell(images.runs[1:])])
    assert both[1].values == alone[0].values and both[1].curves == alone[0].curves
    assert both[0].values != both[1].values
    assert "filters" in both[0].curves and "filters" not in both[1].curves
    assert len(both[0].curves["stimuli_3"]) == 8 * 81 and len(both[0].curves["information_first"]) == 4
    assert both[0].values["test_accuracy"] > 0.3
    assert both[0].values["edge"] != both[0].values["edge_first"]


@pytest.mark.slow
def test_a_small_run_of_everything():
    made = [one for outcome in run(claim.cells(SMALL)) for one in outcome]
    judgement = claim.judge(made, SMALL)
    assert judgement.verdict == Verdict.undecided and judgement.runs == 8
    for spec in claim.figure(made, judgement).values():
        assert plot.render(spec, "svg").startswith(b"<svg")
