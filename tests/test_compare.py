"""Two stores beside each other: what is the same, what was moved on purpose, and what cannot be said."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from flyroom import report, stats
from flyroom.cli import _compare, main  # importing the command puts it into the table
from flyroom.compare import Agreement, Comparison, Number, Side, compare, largest
from flyroom.records import About, Account, Evidence, Judgement, Provenance, Result, Run, Statement, Verdict
from flyroom.store import Record, key, open_store

MADE = Provenance("0.1.0", "ab12", {}, {}, "flyroom run", "2026-11-21T06:00:00Z")
NETS = ("mlp", "gru")


def results(seeds, version=1, claim="pooling", change: Callable[[str, int, float], float] = lambda net, seed, x: x):
    """Runs with values drawn once for each net and seed; `change` moves some accuracies."""
    made = []
    for place, net in enumerate(NETS):
        drawn = 0.6 + 0.2 * place + 0.01 * np.random.default_rng(place).normal(size=200)
        for seed in seeds:
            run = Run(claim, version, {"net": net}, seed, {"name": "mnist1d"})
            accuracy = change(net, seed, float(drawn[seed]))
            made.append(Result(run, {"accuracy": accuracy, "loss": 1.5}, {"curve": [0.1, 0.5]}, cpu_s=2.0))
    return made


def account(
    verdict=Verdict.supported, settings=None, value: float | None = 0.2, interval=(0.1, 0.3), version=1, runs=20,
    evidence=Evidence.estimate, claim="pooling",
):  # fmt: skip
    statement = Statement("order", "It is [so].", verdict, value, interval, None, evidence, 10, 0.01, "", True)
    judgement = Judgement(claim, version, verdict, "So.", (statement,), runs)
    return Account(About(claim, version, "T", "S.", "Paper", "P.", 1.0), judgement, {}, MADE, settings or {}, ())


def side(name="A", made=(), accounts=(), **given) -> Side:
    found = made or results(range(10), **given)
    return Side(name, accounts, [Record(key(one.run), one, MADE) for one in found])


def number(found: Comparison, net="mlp", value="accuracy") -> Number:
    (one,) = [n for n in found.claims[0].numbers if n.settings == {"net": net} and n.value == value]
    return one


def agreements(found: Comparison) -> list[Agreement]:
    return [one.agreement for one in found.claims[0].numbers]


def test_a_store_and_itself_are_identical():
    one = side(accounts=[account()])
    found = compare(one, one._replace(name="B"))
    (claim,) = found.claims
    assert not found.differs and claim.verdict == Agreement.identical
    assert set(agreements(found)) == {Agreement.identical} and len(claim.numbers) == 4
    assert all(run.identical and run.differences == {} for run in claim.shared) and len(claim.shared) == 20
    assert [pair.agreement for pair in claim.statements] == [Agreement.identical]
    assert claim.cpu_s == (40.0, 40.0) and claim.runs == (20, 20) and largest(claim) == {}
    assert found.sentence == (
        "Nothing differs; 1 claim in both; 20 runs in both, 20 of them bit-identical; 4 numbers: 4 identical."
    )


def test_a_value_that_was_moved_is_found_and_the_others_are_not():
    moved = side("B", change=lambda net, seed, x: x + 0.02 + 0.001 * seed if net == "mlp" else x)
    found = compare(side(), moved)
    one = number(found)
    assert found.differs and one.agreement == Agreement.differs and one.test == "paired"
    expected = stats.mean_interval([0.02 + 0.001 * seed for seed in range(10)])
    assert one.difference is not None and one.difference.value == pytest.approx(0.0245)
    assert one.difference.interval == pytest.approx(expected.interval, rel=0.01)  # to the last bits, resampled
    assert one.p == 2.0**-9  # all ten differences on one side, and no other number was tested
    assert agreements(found).count(Agreement.identical) == 3
    assert largest(found.claims[0]) == {"accuracy": pytest.approx(0.029)}
    assert [run.identical for run in found.claims[0].shared] == [False] * 10 + [True] * 10
    assert found.sentence.startswith("pooling differs; 1 claim in both; 20 runs in both, 10 of them bit-identical;")


def test_p_is_adjusted_over_the_tested_numbers_of_a_claim():
    moved = side("B", change=lambda net, seed, x: x + 0.02)
    found = compare(side(), moved)
    assert number(found, "mlp").p == number(found, "gru").p == 2 * 2.0**-9
    assert number(found, value="loss").p is None


def test_noise_that_has_no_direction_agrees():
    found = compare(side(), side("B", change=lambda net, seed, x: x + 1e-6 * (-1) ** seed))
    assert not found.differs and number(found).agreement == Agreement.agrees and number(found).p == 1.0
    assert not any(run.identical for run in found.claims[0].shared)


def test_few_pairs_decide_nothing():
    made = results(range(4)), results(range(4), change=lambda net, seed, x: x + 0.02 + 1e-5 * seed)
    one = number(compare(side(made=made[0]), side("B", made=made[1])))
    assert one.p == 0.25 and one.agreement == Agreement.undecided  # the interval leaves 0 out, and the test cannot


def test_a_sign_of_zero_and_a_last_bit_are_not_identical():
    made = results(range(2), change=lambda net, seed, x: 0.0)
    for other in (-0.0, 5e-324):
        changed = results(range(2), change=lambda net, seed, x, other=other: other)
        found = compare(side(made=made), side("B", made=changed))
        assert not any(run.identical for run in found.claims[0].shared)
        assert number(found).agreement != Agreement.identical


def test_a_curve_that_changed_is_seen_in_the_run():
    made = results(range(3))
    changed = [replace(made[0], curves={"curve": [0.1, 0.75]}), replace(made[1], curves={"curve": [0.1]}), *made[2:]]
    first, second, *others = compare(side(made=made), side("B", made=changed)).claims[0].shared
    assert first.differences == {"curve curve": 0.25} and math.isnan(second.differences["curve curve"])
    assert all(run.identical for run in others)


# Seeds


def test_other_seeds_are_compared_by_welch():
    for shift, agreement in ((0.0, Agreement.agrees), (0.05, Agreement.differs)):
        other = results(range(50, 58), change=lambda net, seed, x, shift=shift: x + shift if net == "mlp" else x)
        found = compare(side(), side("B", made=other))
        one = number(found)
        a, b = (
            [r.values["accuracy"] for r in made if r.run.settings["net"] == "mlp"]
            for made in (results(range(10)), other)
        )
        va, vb = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)  # Welch (1947), written out
        freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
        half = scipy_stats.t.ppf(0.975, freedom) * math.sqrt(va + vb)
        expected = np.mean(b) - np.mean(a)
        assert one.difference is not None and one.test == "Welch" and one.difference.n == 8
        assert one.difference.value == pytest.approx(expected)
        assert one.difference.interval == pytest.approx((expected - half, expected + half))
        assert one.agreement == agreement
        assert found.claims[0].shared == () and found.claims[0].runs == (20, 16)
        assert number(found, value="loss").agreement == Agreement.agrees  # one constant on both sides


def test_more_seeds_of_the_same_runs_are_identical_where_both_have_them():
    found = compare(side(), side("B", made=results(range(30))))
    assert set(agreements(found)) == {Agreement.identical} and len(found.claims[0].shared) == 20
    a, b = number(found).a, number(found).b
    assert a is not None and b is not None and (a.n, b.n) == (10, 30)


def test_a_few_common_seeds_are_no_ground_for_pairs():
    found = compare(side(), side("B", made=results(range(8, 30), change=lambda net, seed, x: x + 0.05)))
    assert number(found).test == "Welch" and number(found).agreement == Agreement.differs


@pytest.mark.parametrize(("n", "agreement"), [(4, Agreement.undecided), (5, Agreement.differs)])
def test_two_constants_differ_by_how_seldom_labels_part_them_so(n, agreement):
    constant = [results(range(50 * i, 50 * i + n), change=lambda net, seed, x, i=i: float(i)) for i in range(2)]
    one = number(compare(side(made=constant[0]), side("B", made=constant[1])))
    assert one.p == pytest.approx(4 * 2 / math.comb(2 * n, n))  # a family of four: two nets with two values
    assert one.agreement == agreement


def test_one_seed_twice_with_other_data_is_paired_by_both():
    made = [
        Result(Run("pooling", 1, {"net": "mlp"}, seed, {"draw": draw}), {"accuracy": 0.1 * seed + draw})
        for seed in range(6) for draw in range(2)
    ]  # fmt: skip
    changed = [replace(one, values={"accuracy": one.values["accuracy"] + 0.01}) for one in made]
    one = number(compare(side(made=made), side("B", made=changed)))
    assert one.difference is not None and one.difference.n == 12 and one.difference.value == pytest.approx(0.01)


# What is missing


def test_claims_settings_values_and_statements_of_one_side_only():
    length = replace(results([0])[0], run=Run("length", 1, {}, 0, {}))
    a = side(made=[*results(range(6)), length], accounts=[account()])
    b = side("B", made=[one for one in results(range(6)) if one.run.settings["net"] == "mlp"])
    b.records[0].result.values["margin"] = 2.0  # pyright: ignore[reportIndexIssue]
    found = compare(a, b)
    assert (found.only_a, found.only_b, found.differs) == (("length",), (), False)
    assert "1 claim in both, 1 only in A" in found.sentence
    assert number(found, "gru").agreement == Agreement.only_a and number(found, "gru").b is None
    assert number(found, value="margin").agreement == Agreement.only_b
    (claim,) = found.claims
    assert claim.verdict == Agreement.only_a and claim.verdicts == (Verdict.supported, None)
    assert [pair.agreement for pair in claim.statements] == [Agreement.only_a]
    turned = compare(b, a)
    assert turned.only_b == ("length",) and turned.claims[0].verdict == Agreement.only_b
    assert compare(a, b, ["length"]).claims == () and compare(a, b, ["length"]).only_a == ("length",)
    with pytest.raises(ValueError, match="neither store has the claim 'depth'; there are: length, pooling"):
        compare(a, b, ["depth"])


def test_two_empty_stores_do_not_differ():
    found = compare(Side("A", [], []), Side("B", [], []))
    assert not found.differs and found.claims == () and "0 claims in both" in found.sentence


def test_nan_is_nan_and_a_loss_of_values_is_no_agreement():
    broken = side("B", change=lambda net, seed, x: math.nan if seed == 3 else x)
    assert set(agreements(compare(broken, broken))) == {Agreement.identical}
    one = number(compare(side(), broken))
    assert one.lost == (0, 1) and one.agreement == Agreement.undecided
    assert one.difference is not None and one.difference.interval == (0.0, 0.0) and one.difference.n == 9
    assert one.b is not None and one.b.n == 9
    (run,) = [r for r in compare(side(), broken).claims[0].shared if r.seed == 3 and r.settings["net"] == "mlp"]
    assert math.isnan(run.differences["accuracy"])


def test_values_that_are_all_lost_differ():
    lost = side("B", change=lambda net, seed, x: math.inf if net == "mlp" else x)
    one = number(compare(side(), lost))
    assert one.b is None and one.difference is None and one.lost == (0, 10)
    fisher = 2 / math.comb(20, 10)  # both tails of Fisher's exact test of ten against none
    assert one.p == pytest.approx(2 * fisher) and one.agreement == Agreement.differs


# Accounts


@pytest.mark.parametrize(
    ("other", "agreement"),
    [
        (account(), Agreement.identical),
        (account(value=0.25, interval=(0.15, 0.35)), Agreement.agrees),
        (account(value=0.5, interval=(0.31, 0.7)), Agreement.differs),
        (account(Verdict.undecided, value=0.25), Agreement.agrees),
        (account(value=None, interval=None), Agreement.undecided),
        (account(value=0.3, interval=None, evidence=Evidence.single), Agreement.undecided),
        (account(value=0.2, interval=None, evidence=Evidence.exact), Agreement.agrees),
        (account(value=0.4, interval=None, evidence=Evidence.exact), Agreement.differs),
        (account(value=math.nan, interval=(math.nan, 0.3)), Agreement.undecided),
    ],
)
def test_statements_agree_if_their_intervals_meet(other, agreement):
    for one, two in ((account(), other), (other, account())):
        (claim,) = compare(side(accounts=[one]), side("B", accounts=[two])).claims
        (pair,) = claim.statements
        assert pair.agreement == agreement


def test_another_verdict_differs_whatever_the_values():
    found = compare(side(accounts=[account()]), side("B", accounts=[account(Verdict.undecided)]))
    assert found.differs and found.claims[0].verdict == Agreement.differs
    unmeasured = [account(verdict, value=None, interval=None) for verdict in (Verdict.supported, Verdict.undecided)]
    (pair,) = compare(side(accounts=unmeasured[:1]), side("B", accounts=unmeasured[1:])).claims[0].statements
    assert pair.agreement == Agreement.differs


def test_a_short_run_beside_a_long_one_is_no_contradiction():
    full, short = (
        account(settings={"steps": 6000, "net": 1}),
        account(Verdict.undecided, {"steps": 30, "net": 1}, 0.9, (0.8, 1.0)),
    )
    found = compare(side(accounts=[full]), side("B", accounts=[short]))
    (claim,) = found.claims
    assert not found.differs and claim.verdict == Agreement.incomparable
    assert [pair.agreement for pair in claim.statements] == [Agreement.incomparable]
    assert claim.settings == {"steps": (6000, 30)}


def test_accounts_of_the_same_settings_stand_beside_each_other():
    full, short = account(settings={"runs": 10}), account(Verdict.undecided, {"runs": 2}, runs=4)
    (claim,) = compare(side(accounts=[full, short]), side("B", accounts=[short])).claims
    assert claim.verdicts == (Verdict.undecided, Verdict.undecided) and claim.settings == {}
    assert claim.verdict == Agreement.identical


def test_versions_are_not_compared_with_each_other():
    a = side(accounts=[account()])
    b = side("B", made=results(range(10), version=2), accounts=[account(Verdict.refuted, version=2)])
    found = compare(a, b)
    (claim,) = found.claims
    assert not found.differs and claim.versions == (1, 2) and claim.verdict == Agreement.incomparable
    assert [pair.agreement for pair in claim.statements] == [Agreement.incomparable]
    assert set(agreements(found)) == {Agreement.only_a, Agreement.only_b} and claim.shared == ()


# The command


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Path, Path]:
    """Two stores in which the MLP differs, and the claim was judged otherwise."""
    moved = results(range(10), change=lambda net, seed, x: math.nan if net == "gru" else x + 0.02)
    for name, made, judged in (("a", results(range(10)), account()), ("b", moved, account(Verdict.refuted))):
        with open_store(tmp_path / name) as store:
            store.add(made, MADE)
            store.keep(judged)
    return tmp_path / "a", tmp_path / "b"


def call(capsys, *words) -> tuple[int, str, str]:
    status = main(["compare", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_command_says_what_differs(capsys, stores):
    status, out, _ = call(capsys, *stores)
    assert status == 1
    for words in (
        "pooling  A supported, B refuted: differs",
        "net mlp, accuracy",
        "0.02 [0.02, 0.02]",
        "paired, p",
        "2 identical",
    ):
        assert words in out, words
    assert "20 in A, 20 in B; 20 in both, 0 of them bit-identical" in out
    status, out, _ = call(capsys, stores[0], stores[0])
    assert status == 0 and "Nothing differs" in out and "numbers: 4 identical" in out


def test_json_keeps_its_names(capsys, stores):
    status, out, err = call(capsys, *stores, "--json")
    found = json.loads(out)
    assert (status, err) == (1, "")
    assert set(found) == {"a", "b", "differs", "sentence", "only_a", "only_b", "claims"}
    (claim,) = found["claims"]
    assert set(claim) == {
        "id", "versions", "verdicts", "verdict", "settings", "runs", "cpu_s", "statements", "numbers", "shared"
    }  # fmt: skip
    assert claim["verdicts"] == ["supported", "refuted"] and claim["verdict"] == "differs"
    statement, number, run = claim["statements"][0], claim["numbers"][0], claim["shared"][0]
    assert set(statement) == {"id", "a", "b", "agreement"}
    assert set(statement["a"]) == {"sentence", "verdict", "value", "interval", "unit", "n"}
    assert set(number) == {
        "version", "settings", "value", "a", "b", "lost", "difference", "test", "p", "agreement"
    }  # fmt: skip
    assert set(number["difference"]) == {"value", "interval", "n"}
    assert set(run) == {"key", "settings", "seed", "identical", "differences"}
    assert number["agreement"] == "differs" and number["difference"]["value"] == pytest.approx(0.02)
    (gone,) = [one for one in claim["numbers"] if one["value"] == "accuracy" and one["settings"] == {"net": "gru"}]
    assert gone["b"] is None and gone["lost"] == [0, 10]
    assert claim["shared"][-1]["differences"] == {"accuracy": None}  # JSON has no NaN


def test_one_claim_and_none(capsys, stores, tmp_path):
    assert call(capsys, *stores, "--claim", "pooling")[0] == 1
    status, _, err = call(capsys, *stores, "--claim", "depth")
    assert status == 2 and "neither store has the claim 'depth'; there are: pooling" in err
    status, _, err = call(capsys, stores[0], tmp_path / "none")
    assert status == 2 and "there is no store" in err and not (tmp_path / "none").exists()


def test_stores_that_may_not_be_written_are_compared(capsys, stores, monkeypatch):
    before = {path: path.stat().st_mtime_ns for store in stores for path in (store, *store.iterdir())}
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and may(path, mode))
    assert call(capsys, *stores)[0] == 1
    assert {path: path.stat().st_mtime_ns for store in stores for path in (store, *store.iterdir())} == before


def test_the_page_says_the_same_and_asks_for_nothing(capsys, stores, tmp_path):
    status, out, _ = call(capsys, *stores, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert status == 1 and f"page: {tmp_path / 'page.html'}" in out
    for words in ("It is [so].", "net mlp", "accuracy (0 and 10 not finite)", "20 in both, 0 bit-identical", "paired"):
        assert words in page, words
    assert "src=" not in page.replace('src="data:', "") and "default-src 'none'" in page and len(page) < 100_000
    order = [page.index(f">{word}</span></td></tr>", page.index("Numbers of")) for word in ("differs", "identical")]
    assert order == sorted(order)  # what a reader looks for stands first


def test_hostile_text_stays_text():
    evil = "<img src=x onerror=alert(1)>"
    made = [
        replace(one, run=replace(one.run, settings={evil: evil}), values={evil: 1.0}) for one in results(range(6))[:6]
    ]
    judged = account(settings={evil: evil})
    judged = replace(
        judged,
        judgement=replace(judged.judgement, statements=(replace(judged.judgement.statements[0], sentence=evil),)),
    )
    found = compare(side(evil, made, [judged]), side(evil, made, [account()]))
    page = report.comparison(found)
    assert evil not in page and page.count("&lt;img src=x") > 5


def test_the_command_is_in_the_table():
    assert _compare.compare.__doc__ is not None and "exit status is 1" in " ".join(_compare.compare.__doc__.split())
