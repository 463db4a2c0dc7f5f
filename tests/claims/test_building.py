"""How MNIST-1D is built: exact facts, each of which can be false."""

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from flyroom import engine, plot
from flyroom.claims import building as claim
from flyroom.claims.building import Settings
from flyroom.data import mnist1d
from flyroom.data.mnist1d import stages
from flyroom.records import Evidence, Result, Verdict
from flyroom.store import key

HEADLINES = {
    "templates",
    "mirror",
    "wrap",
    "digit-free-of-noise",
    "noise-on-background",
    "same-bits",
    "same-labels",
    "file-signals",
    "file-labels",
}


@pytest.fixture(scope="module")
def done() -> list[Result]:
    ((_, outcome),) = engine.here(lambda cell: claim.run(cell, Settings()), claim.cells(Settings()))
    assert not isinstance(outcome, Exception), outcome
    return outcome


def test_the_prediction_is_in_the_file():
    assert "0 of 200,000 values" in claim.ABOUT.prediction
    assert "0 of" not in claim.ABOUT.sentence


def test_cells_and_keys():
    (cell,) = claim.cells(Settings())
    assert [run.seed for run in cell.runs] == [0]
    (other,) = claim.cells(Settings(seed=1))
    assert key(cell.runs[0]) != key(other.runs[0])
    assert claim.quick(Settings()) == {}
    assert claim.cost(cell.runs[0]) > 0
    with pytest.raises(ValueError, match="seed=-1"):
        claim.cells(Settings(seed=-1))


def test_all_headlines_hold(done):
    judgement = claim.judge(done, Settings())
    statements = {one.id: one for one in judgement.statements}
    assert {name for name, one in statements.items() if one.headline} == HEADLINES
    assert {one.evidence for one in judgement.statements} == {Evidence.exact}
    assert judgement.verdict == Verdict.supported
    assert statements["same-bits"].n == 200_000 and statements["wrap"].n == 1200
    assert statements["digit-free-of-noise"].n > 70_000
    assert "none of 200,000 values" in judgement.sentence


@pytest.mark.parametrize(
    ("value", "broken", "refuted"),
    [
        ("templates_as_published", 0.0, "templates"),
        ("mirror_difference", 0.1, "mirror"),
        ("wrapped_placements", 1.0, "wrap"),
        ("digit_points_changed", 1.0, "digit-free-of-noise"),
        ("background_points_not_noise", 3.0, "noise-on-background"),
        ("values_that_differ", 1.0, "same-bits"),
        ("labels_that_differ", 2.0, "same-labels"),
        ("signals_of_the_file", 0.0, "file-signals"),
        ("labels_of_the_file", 0.0, "file-labels"),
    ],
)
def test_each_headline_can_be_false(done, value, broken, refuted):
    wrong = [replace(one, values={**one.values, value: broken}) for one in done]
    judgement = claim.judge(wrong, Settings())
    assert judgement.verdict == Verdict.refuted
    assert [one.id for one in judgement.statements if one.headline and one.verdict == "refuted"] == [refuted]


def test_another_template_is_noticed(monkeypatch):
    changed = [list(row) for row in stages._POINTS]
    changed[4][3] += 0.25
    monkeypatch.setattr(stages, "_POINTS", changed)
    assert claim._template_facts()["templates_as_published"] == 0.0
    changed[0][1] += 0.25
    assert claim._template_facts()["mirror_difference"] > 0.01


def test_a_stage_that_is_wrong_is_noticed(monkeypatch):
    """Noise on the digit as well: the mask is what the statement is about."""
    whole = stages.smooth
    monkeypatch.setattr(stages, "correlated_noise", lambda x, normals, deviation: x + whole(deviation * normals))
    facts = claim._published_facts()
    assert facts["digit_points_changed"] > 70_000
    assert facts["values_that_differ"] > 190_000


@pytest.fixture
def published_anew():
    """The set that is compared with is made again, before and after."""
    claim._published.cache_clear()
    yield
    claim._published.cache_clear()


def test_a_stage_that_is_wrong_in_both_ways_refutes(published_anew, monkeypatch):
    """`mnist1d.make()` takes the same stages, so only the published file can tell."""
    whole = stages.shear
    monkeypatch.setattr(stages, "shear", lambda x, uniforms, coefficient: whole(x, uniforms, -coefficient))
    facts = {**claim._template_facts(), **claim._digit_facts(), **claim._published_facts()}
    assert facts["values_that_differ"] == 0 and facts["labels_that_differ"] == 0
    (cell,) = claim.cells(Settings())
    judgement = claim.judge([Result(cell.runs[0], facts)], Settings())
    assert judgement.verdict == Verdict.refuted
    assert [one.id for one in judgement.statements if one.headline and one.verdict == "refuted"] == ["file-signals"]


def test_labels_in_another_order_are_noticed(monkeypatch):
    whole = claim.drawn

    def moved(count, seed):
        labels, draws, order = whole(count, seed)
        return labels, draws, np.roll(order, 1)

    monkeypatch.setattr(claim, "drawn", moved)
    facts = claim._published_facts()
    assert facts["labels_of_the_file"] == facts["signals_of_the_file"] == 0.0


def test_a_digest_is_of_the_numbers_and_not_of_their_memory():
    values = np.arange(6.0).reshape(2, 3)
    assert claim.digest(values, "<f4") == claim.digest(np.asfortranarray(values), "<f4")
    assert claim.digest(values, "<f4") == hashlib.sha256(struct.pack("<6f", *range(6))).hexdigest()


def test_a_digit_that_wraps_is_noticed(monkeypatch):
    roomy = mnist1d.stream(max_translation=72)
    monkeypatch.setattr(claim.mnist1d, "stream", lambda *_, **__: roomy)
    assert claim._digit_facts()["wrapped_placements"] > 0


def test_the_draws_are_those_of_the_published_set():
    labels, draws, order = claim.drawn(5000, 42)
    published = mnist1d.make()
    assert (labels[order][:4000] == published.y_train).all()
    assert draws.paddings.min() == 36 and draws.paddings.max() == 60 and draws.shifts.max() == 47


def test_the_digits_of_the_figure_change_by_one_transformation_a_row(done):
    rows = {name: np.array(values).reshape(10, -1) for name, values in done[0].curves.items()}
    assert rows["template"].shape == (10, 12) and rows["shear"].shape == (10, 40)
    last = mnist1d.stream(seed=0)
    example = next(i for i in range(10) if last[i].y == 3)
    np.testing.assert_allclose(rows["shear"][3], last.build(example)["subsample"], atol=1e-5)
    flat = np.flatnonzero(np.abs(rows["shift"][3]) < 1e-6)
    there = rows["range"][3] > 0.01
    assert np.ptp(rows["scale"][3][there] / rows["range"][3][there]) < 1e-3  # one factor
    assert len(flat) > 25  # nothing but the digit, before there is noise
    assert np.ptp(rows["corr."][3][flat]) > 0.05
    slope = rows["shear"][3] - rows["iid"][3]
    np.testing.assert_allclose(np.diff(slope, 2), 0, atol=5e-5)


def test_the_figures_can_be_drawn(done):
    figures = claim.figure(done, claim.judge(done, Settings()))
    assert len(figures) == 4
    for figure in figures.values():
        drawn = figure.encode() if isinstance(figure, str) else plot.render(figure, "svg")
        assert drawn.startswith(b"<svg") and len(drawn) < 400_000
    moving = [one for one in figures.values() if isinstance(one, str)]
    assert len(moving) == 1 and "<animate" in moving[0] and "sheared" in moving[0]
