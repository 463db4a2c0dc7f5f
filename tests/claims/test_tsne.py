"""Maps of pixels: what is run, how it is judged, and a small run of everything."""

import importlib.util
from dataclasses import replace

import altair
import numpy as np
import pytest

from flyroom import engine, machine, plot
from flyroom.claims import tsne as claim
from flyroom.claims.tsne import IMAGES, SIGNALS, Settings
from flyroom.data import digits, mnist1d
from flyroom.measure.embedding import Map
from flyroom.records import Result, Run, Verdict
from flyroom.store import key, open_store

SMALL = Settings(runs=2, samples=200, matched=150, published=False)
mapped = pytest.mark.skipif(
    importlib.util.find_spec("openTSNE") is None, reason="openTSNE is not installed (flyroom[lab])"
)

# As the claim has it: votes and silhouette, of pixels and of the map.
TRUE = {
    (IMAGES, 1500): (0.98, 0.98, 0.16, 0.56),
    (SIGNALS, 1500): (0.45, 0.41, -0.04, -0.08),
    (SIGNALS, 3000): (0.54, 0.45, -0.04, -0.09),
}


def results(changed=None, runs=10, spread=0.005, published=True, fragments=0.2) -> list[Result]:
    """Stored results with measures made up by hand."""
    draw = np.random.default_rng(0)

    def made(kind, points, seed, numbers, **more) -> Result:
        names = ("votes_pixels", "votes", "silhouette_pixels", "silhouette")
        values = {name: v + spread * draw.standard_normal() for name, v in zip(names, numbers, strict=True)}
        for c in range(10):
            ahead = (c in claim.FRAGMENTS) * (1 + 0.1 * draw.standard_normal())
            values |= {f"votes_{c}": 0.4 + fragments * ahead, f"distance_{c}": 1 + 2 * fragments * ahead}
        values["divergence"] = 2.5276 if points == 5000 else 2.2
        curves = {"digit": [1.0, 2.0, 0.0], "x": [1.0, 2.0, 3.0], "y": [0.0, 1.0, 0.0]}
        if more:
            values["split_votes"] = 0.596
        run = Run("tsne", 1, {"data": kind, "points": points, **more}, seed, {})
        return Result(run, values, curves if seed in (0, 42) else {})

    rows = {**TRUE, **(changed or {})}
    found = [made(kind, points, seed, row) for (kind, points), row in rows.items() for seed in range(runs)]
    if published:
        found.append(made(SIGNALS, 5000, 42, (0.59, 0.47, -0.04, -0.09), published=True))
    return found


def judged(made: list[Result], settings: Settings = Settings()):  # noqa: B008
    judgement = claim.judge(made, settings)
    return judgement, {statement.id: statement for statement in judgement.statements}


# What is run


def test_predictions_are_in_the_file():
    assert "silhouette 0.55" in claim.ABOUT.prediction and "45 +- 8" in claim.ABOUT.prediction
    assert claim.__doc__ is not None and "Predicted before the first map was measured" in claim.__doc__


def test_the_default_run():
    cells = claim.cells(Settings())
    kinds = [(c.runs[0].settings["data"], c.runs[0].settings["points"], len(c.runs)) for c in cells]
    assert kinds == [(IMAGES, 1500, 10), (SIGNALS, 1500, 10), (SIGNALS, 3000, 10), (SIGNALS, 5000, 1)]
    runs = [run for cell in cells for run in cell.runs]
    keys = {key(run) for run in runs}
    assert len(keys) == 31 and {run.seed for run in cells[0].runs} == set(range(10))
    more = {key(run) for cell in claim.cells(Settings(runs=12)) for run in cell.runs}
    assert keys < more and len(more) == 37
    assert [run.data["seed"] for run in cells[2].runs] == list(range(10))


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ({"neighbours": 5}, 0),
        ({"perplexity": 20}, 0),
        ({"samples": 2000}, 21),
        ({"matched": 1000}, 11),
        ({"published": False}, 30),
        ({"runs": 3}, 10),
    ],
)
def test_a_key_holds_what_decides_the_numbers_and_nothing_else(changed, kept):
    default = {key(run) for cell in claim.cells(Settings()) for run in cell.runs}
    other = {key(run) for cell in claim.cells(replace(Settings(), **changed)) for run in cell.runs}
    assert len(default & other) == kept


def test_one_size_for_all_is_run_once():
    cells = claim.cells(Settings(samples=1500, published=False))
    assert len(cells) == 2
    made = [one for one in results(published=False) if one.run.settings["points"] == 1500]
    assert judged(made, Settings(samples=1500))[0].verdict == Verdict.supported


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs 0, .* each must be at least 1"),
        ({"samples": 1005}, "samples 1005 must be a multiple of 10"),
        ({"samples": 90}, "samples 90 .* above 90"),
        ({"matched": 1800}, "matched 1800 .* at most 1797"),
        ({"matched": 600, "perplexity": 200}, "matched 600 .* above 600"),
        ({"matched": 600, "neighbours": 600}, "matched 600 .* above 601"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        claim.cells(replace(Settings(), **wrong))


def test_short_and_faithful_are_part_of_the_settings():
    short = replace(Settings(), **claim.quick(Settings()))
    assert sum(claim.cost(r) for c in claim.cells(short) for r in c.runs) < 24
    whole = replace(Settings(), **claim.faithful(Settings()))
    assert whole.samples == 5000 and whole.matched == 1500 and len(claim.cells(whole)) == 4
    assert replace(Settings(samples=9000), **claim.faithful(Settings(samples=9000))).samples == 9000


def test_examples_are_those_that_the_record_says():
    images, signals = claim.cells(SMALL)[:2]
    x, y = claim._examples(signals.runs[1])
    data = mnist1d.make(num_samples=150, seed=1)
    np.testing.assert_array_equal(x, np.concatenate([data.x_train, data.x_test]))
    np.testing.assert_array_equal(y, np.concatenate([data.y_train, data.y_test]))
    x, y = claim._examples(images.runs[0])
    assert x.shape == (150, 64) and not np.array_equal(x, claim._examples(images.runs[1])[0])
    whole = digits.make()
    every = {(tuple(row), int(label)) for row, label in zip(*claim._both(whole), strict=True)}
    drawn = {(tuple(row), int(label)) for row, label in zip(x, y, strict=True)}
    assert len(drawn) == 150 and drawn <= every


def test_measures_of_a_map_made_by_hand():
    """Ten heaps on a circle, class c at distance c + 1; the pixels say nothing of the classes."""
    draw = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 12)
    angle = 2 * np.pi * y / 10
    points = ((y + 1) * np.array([np.cos(angle), np.sin(angle)])).T + 0.01 * draw.normal(size=(120, 2))
    values = claim._values(draw.normal(size=(120, 40)), y, Map(points, 1.5), 10)
    assert values["votes"] == 1.0 and values["silhouette"] > 0.95 and values["divergence"] == 1.5
    assert values["votes_pixels"] < 0.4 and abs(values["silhouette_pixels"]) < 0.1
    assert {values[f"votes_{c}"] for c in range(10)} == {1.0}
    centre = points.mean(axis=0)
    radius = [np.linalg.norm(points[y == c] - centre, axis=1) for c in range(10)]
    scale = np.sqrt(np.mean(np.concatenate(radius) ** 2))
    for c in range(10):
        assert values[f"distance_{c}"] == pytest.approx(radius[c].mean() / scale)
    mixed = claim._values(points, y, Map(draw.permutation(points), 1.5), 10)
    assert mixed["votes"] < 0.4 and mixed["votes_pixels"] == 1.0


# How it is judged


def test_supported():
    judgement, statements = judged(results())
    headlines = {name for name, one in statements.items() if one.headline}
    assert headlines == {
        "digits-silhouette",
        "digits-votes",
        "mnist1d-silhouette",
        "mnist1d-votes",
        "matched-silhouette",
        "matched-votes",
    }
    assert judgement.verdict == Verdict.supported and judgement.runs == 31
    assert statements["matched-votes"].value == pytest.approx(0.57, abs=0.01)
    assert statements["matched-votes"].p == pytest.approx(2 * 2 / 2**10)  # exact, Holm over two
    assert statements["mnist1d-votes"].value == pytest.approx(0.45, abs=0.01)  # of the larger sets
    assert statements["map-loses"].verdict == Verdict.supported
    assert statements["fragments"].verdict == statements["rim"].verdict == Verdict.supported
    assert statements["rim"].unit == "times the r.m.s. radius"
    assert statements["published-votes"].verdict == Verdict.supported
    assert statements["published-kl"].verdict == Verdict.undecided and statements["published-kl"].value == 2.5276


@pytest.mark.parametrize(
    ("changed", "refuted"),
    [
        ({(IMAGES, 1500): (0.98, 0.98, 0.16, 0.4)}, {"digits-silhouette"}),
        ({(IMAGES, 1500): (0.98, 0.7, 0.16, 0.56)}, {"digits-votes"}),
        ({(SIGNALS, 3000): (0.54, 0.45, -0.04, 0.3)}, {"mnist1d-silhouette"}),
        ({(SIGNALS, 3000): (0.54, 0.85, -0.04, -0.09)}, {"mnist1d-votes"}),
        ({(SIGNALS, 1500): (0.45, 0.41, -0.04, 0.7)}, {"matched-silhouette"}),
        ({(SIGNALS, 1500): (0.45, 0.99, -0.04, -0.08)}, {"matched-votes"}),
    ],
)
def test_each_headline_can_refute_the_claim(changed, refuted):
    judgement, statements = judged(results(changed, spread=0.001))
    assert {name for name, one in statements.items() if one.headline and one.verdict == "refuted"} == refuted
    assert judgement.verdict == Verdict.refuted


def test_what_is_not_resolved_is_undecided():
    edge = {(IMAGES, 1500): (0.98, 0.98, 0.16, 0.5)}
    judgement, statements = judged(results(edge, spread=0.05))
    assert statements["digits-silhouette"].verdict == Verdict.undecided and judgement.verdict == Verdict.undecided
    for runs in (1, 2, 5):
        assert judged(results(runs=runs))[0].verdict == Verdict.undecided


def test_what_informs_decides_nothing():
    judgement, statements = judged(results(fragments=-0.2))
    assert statements["fragments"].verdict == statements["rim"].verdict == Verdict.refuted
    assert judgement.verdict == Verdict.supported
    judgement, statements = judged(results(published=False))
    assert statements["published-votes"].value is None and statements["published-kl"].verdict == Verdict.undecided
    assert judgement.verdict == Verdict.supported


def test_another_number_of_neighbours_is_not_compared_with_the_published_one():
    _, statements = judged(results(), Settings(neighbours=5))
    assert statements["published-votes"].value is None


def test_the_published_divergence_is_judged_by_several_maps_of_its_size():
    sizes = {(SIGNALS, 5000): (0.59, 0.47, -0.04, -0.09)}
    _, statements = judged(results(sizes), Settings(samples=5000))
    assert statements["published-kl"].verdict == Verdict.compatible and statements["published-kl"].n == 11


def test_a_missing_kind_is_an_error():
    with pytest.raises(ValueError, match="no run of data digits, points 1500"):
        judged([one for one in results() if one.run.settings["data"] != IMAGES])


def test_sentences_and_table_are_short():
    judgement, _ = judged(results())
    assert max(len(one.sentence) for one in judgement.statements) <= 45
    assert [row[0] for row in judgement.table[1:]] == [
        "digits, 1500",
        "MNIST-1D, 1500",
        "MNIST-1D, 3000",
        "MNIST-1D, as published",
    ]
    assert judgement.table[1][2].startswith("98.") and judgement.table[1][4] == "0.56" and judgement.table[4][5] == "1"


def test_the_published_set_is_not_one_of_the_sets_of_its_size():
    sizes = {(SIGNALS, 5000): (0.59, 0.47, -0.04, -0.09)}
    made = results(sizes)
    figures = claim.figure(made, claim.judge(made, Settings(samples=5000)))
    for caption in ("Votes of neighbours, in pixels and on the map", "Silhouettes, in pixels and on the map"):
        rows = [row for row in figures[caption]["data"]["values"] if row["part"] == "one run"]
        seeds = {label: {row["seed"] for row in rows if row["net"] == label} for label in {row["net"] for row in rows}}
        assert seeds["MNIST-1D, 5000"] == set(range(10)) and seeds["MNIST-1D, as published"] == {42}


@pytest.mark.parametrize(("runs", "published"), [(1, False), (10, True)])
def test_the_figures_are_valid_and_can_be_drawn(runs, published):
    made = results(runs=runs, published=published)
    figures = claim.figure(made, claim.judge(made, Settings()))
    assert len(figures) == 3 + published
    for spec in figures.values():
        altair.Chart.from_dict(spec)
        assert plot.render(spec, "svg").startswith(b"<svg")
    first = str(next(iter(figures.values())))
    assert "digits, 1500 examples" in first and "MNIST-1D, 1500 examples" in first


# A small run of everything


@mapped
def test_a_small_run_leaves_a_record_of_every_run(tmp_path):
    with open_store(tmp_path) as store:
        cells = claim.cells(SMALL)
        left = engine.pending(cells, store.missing, 2)
        account = engine.conduct(claim, SMALL, cells, left, store, machine.provenance("flyroom run"))
        found = store.results([run for cell in cells for run in cell.runs])
    assert len(found) == 6 and account.judgement.verdict == Verdict.undecided
    for one in found:
        assert 0 < one.values["votes"] <= 1 and -1 <= one.values["silhouette"] <= 1
        assert bool(one.curves) == (one.run.seed == 0)
        if one.curves:
            assert {len(curve) for curve in one.curves.values()} == {one.run.settings["points"]}
    votes = {(one.run.settings["data"], one.run.seed): one.values["votes"] for one in found[:4]}
    assert all(votes[IMAGES, seed] > votes[SIGNALS, seed] + 0.3 for seed in (0, 1))
    alone = claim.run(replace(cells[1], runs=cells[1].runs[1:]), SMALL)[0]
    assert alone.values == found[3].values
