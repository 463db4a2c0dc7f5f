"""The shelf of claims, and the forms of statement that they share."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from flyroom import claims, stats
from flyroom.claims import _code, statements
from flyroom.records import Evidence, Measurement, Verdict


@pytest.mark.parametrize("name", claims.NAMES)
def test_every_claim_has_what_a_claim_has(name):
    claim: Any = claims.load(name)
    assert claim.ABOUT.id == name
    assert claim.ABOUT.version >= 1 and claim.ABOUT.cost_s > 0
    assert claim.ABOUT.sentence.endswith(".") and claim.ABOUT.prediction and claim.ABOUT.source
    for part in ("cells", "run", "judge", "figure", "cost", "quick"):
        assert callable(getattr(claim, part))
    settings = claim.Settings()
    assert set(claim.quick(settings)) <= {field.name for field in fields(claim.Settings)}
    assert is_dataclass(settings)


def test_the_default_is_on_the_shelf():
    assert claims.DEFAULT in claims.NAMES


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("spatial_prior", "there is no claim 'spatial_prior'; did you mean spatial-prior?"),
        ("xyzzy", "there is no claim 'xyzzy'; there are spatial-prior"),
        ("", "there is no claim ''; there are"),
    ],
)
def test_an_unknown_claim_is_answered_with_what_there_is(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        claims.load(given)


def test_the_shelf_itself_is_light():
    code = "import sys, flyroom.claims; assert not {'jax', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


VALUES = [0.60, 0.62, 0.61, 0.63, 0.60, 0.62, 0.61, 0.60, 0.63, 0.61]


def test_published_figures_meet_the_prediction_interval_or_not():
    low, high = stats.prediction_interval(VALUES)
    for mean, plus_minus, verdict in [
        (0.615, 0.0, Verdict.compatible),
        (high + 0.02, 0.0201, Verdict.compatible),  # its lower end reaches in
        (high + 0.02, 0.0199, Verdict.excluded),
        (low - 0.02, 0.0201, Verdict.compatible),
        (low - 0.02, 0.0199, Verdict.excluded),
    ]:
        statement = statements.against_published("p", "as published", VALUES, mean, plus_minus)
        assert statement.verdict == verdict
        assert statement.interval == (low, high)  # of one run, wider than that of the mean
        assert not statement.headline
    mean = stats.mean_interval(VALUES).interval
    assert mean and high > mean[1]


def test_a_prediction_interval_is_shown_within_the_possible():
    wild = statements.against_published("p", "as published", [0.7, 0.95], 0.94, 0.02)
    assert wild.interval == (0.0, 1.0)
    single = statements.against_published("p", "as published", [0.7], 0.94, 0.02)
    assert single.interval is None and single.verdict == Verdict.undecided


def test_accuracies_as_text():
    assert statements.percent(0.68, 0.02) == "68 ± 2"
    assert statements.percent_with_interval([0.5]) == "50.0"
    assert statements.percent_with_interval([0.641, 0.641]) == "64.1 [64.1, 64.1]"
    assert statements.percent_with_interval([0.7, 1.0]).endswith(", 100.0]")


def test_a_mean_accuracy_stays_within_0_and_1():
    assert statements.mean_accuracy([0.0, 1.0]).interval == (0.0, 1.0)
    assert statements.mean_accuracy([0.4]) == Measurement(0.4, None, Evidence.single, 1)
    assert statements.mean_accuracy(VALUES) == stats.mean_interval(VALUES)


def test_the_file_of_a_network_of_ones_own_is_part_of_its_identity(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "net_for_code.py"
    file.write_text("def make(key): return 1\n")
    first = _code.code("python:net_for_code:make")
    assert len(first["net_file"]) == 64
    file.write_text("def make(key): return 2\n")
    assert _code.code("python:net_for_code:make") == first  # imported before the edit
    _code._digest.cache_clear()
    assert _code.code("python:net_for_code:make") != first
    assert _code.code("mlp:40-10") == {}


def test_a_band_has_a_row_for_every_step():
    from flyroom.records import Result, Run

    run = Run("c", 1, {}, 0, {})
    results = [Result(run, {}, {"step": [0.0, 10.0], "test_accuracy": curve}) for curve in ([0.1, 0.9], [0.1, 1.0])]
    rows = statements.band(results, "test_accuracy", {"net": "a"})
    assert [row["step"] for row in rows] == [0.0, 10.0]
    assert rows[0] == {"net": "a", "step": 0.0, "mean": 0.1, "low": 0.1, "high": 0.1}
    np.testing.assert_allclose(rows[1]["mean"], 0.95)
    assert rows[1]["high"] == 1.0
