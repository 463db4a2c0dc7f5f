"""Every run, the mean with its interval, and the published figure, each once and apart."""

import pytest

from flyroom import plot

RUNS = [{"net": "cnn", "data": "plain", "seed": i, "value": 0.9 + i / 100} for i in range(5)]
MEANS = [
    {"net": "cnn", "data": "plain", "value": 0.92, "low": 0.91, "high": 0.93},
    {"net": "knn", "data": "plain", "value": 0.596},
]
PUBLISHED = [{"net": "cnn", "data": "plain", "value": 0.94, "plus_minus": 0.02}]


def rows(spec, part):
    return [row for row in spec["data"]["values"] if row["part"] == part]


def test_finals_show_runs_means_and_published_figures():
    spec = plot.finals(RUNS, MEANS, PUBLISHED)
    assert [row["value"] for row in rows(spec, "one run")] == [row["value"] for row in RUNS]
    (published,) = rows(spec, "published")
    assert (published["low"], published["high"]) == pytest.approx((0.92, 0.96))
    of_cnn, of_knn = rows(spec, "mean, 95 % interval")
    assert (of_cnn["low"], of_cnn["high"]) == (0.91, 0.93) and of_knn["low"] is None
    assert of_knn["lane"] == 0.0  # alone in its line
    lanes = [row["lane"] for row in rows(spec, "one run")]
    assert len(set(lanes)) == 5 and max(lanes) < published["lane"] and min(lanes) > of_cnn["lane"]


def test_a_group_that_is_only_published_has_a_line_of_its_own_in_the_order_of_appearance():
    human = {"net": "human", "data": "plain", "value": 0.96}
    spec = plot.finals(RUNS, MEANS, [*PUBLISHED, human])
    assert [row["lane"] for row in rows(spec, "published")] == [0.66, 0.0]
    assert spec["spec"]["layer"][0]["encoding"]["y"]["sort"] == ["cnn", "knn", "human"]


def test_many_panels_keep_their_order():
    names = [f"noise {share}" for share in (4, 3, 2, 1, 0)]
    spec = plot.finals([{**run, "data": name} for name in names for run in RUNS], [])
    assert spec["facet"]["sort"] == names


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="there is nothing to draw"):
        plot.finals([], [])
    with pytest.raises(ValueError, match="value = inf cannot be drawn"):
        plot.finals([{**RUNS[0], "value": float("inf")}], [])
