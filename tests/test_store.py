"""The store in peace: keys, results, arrays, accounts, schemas, exports. What goes wrong is in test_store_faults."""

import csv
import enum
import hashlib
import json
import math
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyroom.records import About, Account, Evidence, Judgement, Provenance, Result, Run, Statement, Verdict
from flyroom.store import FILE, _database, _form, export, health, key, open_store

RUN = Run("spatial-prior", 1, {"net": "mlp", "rate": 0.01}, 3, {"name": "mnist1d", "seed": 42})
MADE = Provenance("0.1.0", "ab12", {"jax": "0.10"}, {"cores": 2}, "flyroom run", "2026-11-21T06:00:00+00:00")


def result_of(seed: int, **settings) -> Result:
    run = replace(RUN, seed=seed, settings={**RUN.settings, **settings})
    return Result(run, {"accuracy": 0.5 + seed / 100}, {"loss": [2.3, 1.0 / 3]}, {}, 1.5, 3.0)


# Keys


def test_the_key_is_this_digest_for_ever():
    # Made with sha256sum from the JSON written out by hand: a change here orphans every stored result.
    assert key(RUN) == "db34eebb3a795ee81237fbc028d79dcaa8b1689042ebf5aad8003b621e67ba4c"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, 1.0),
        (1, np.int64(1)),
        (1, np.float32(1)),
        (0.1, np.float64(0.1)),
        (0.0, -0.0),
        (2.0**60, 2**60),
        ((1, 2), [1.0, np.uint8(2)]),
        (True, np.True_),
        ("a", enum.StrEnum("Name", {"a": "a"}).a),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (0.5, np.float32(0.5)),
    ],
)
def test_values_that_mean_the_same_have_the_same_key(left, right):
    assert key(replace(RUN, settings={"x": left})) == key(replace(RUN, settings={"x": right}))
    assert key(replace(RUN, data={"x": left})) == key(replace(RUN, data={"x": right}))


@pytest.mark.parametrize(
    ("left", "right"), [(1, True), (1, "1"), (0, None), (0, False), ([], None), ([1, 2], [2, 1]), (0.1, 0.1 + 2e-17)]
)
def test_values_that_differ_have_different_keys(left, right):
    same = left == right and type(left) is type(right)
    assert (key(replace(RUN, settings={"x": left})) == key(replace(RUN, settings={"x": right}))) == same


def test_every_part_of_a_run_is_in_its_key():
    others = [
        replace(RUN, claim="pooling"),
        replace(RUN, version=2),
        replace(RUN, settings={"net": "mlp"}),
        replace(RUN, seed=4),
        replace(RUN, data={"name": "mnist1d", "seed": 43}),
        replace(RUN, settings=RUN.data, data=RUN.settings),
    ]
    assert len({key(run) for run in [RUN, *others]}) == 7


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc."), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(plain)
def test_a_key_survives_json(value):
    again = json.loads(json.dumps(value))
    assert key(replace(RUN, settings={"x": value})) == key(replace(RUN, settings={"x": again}))


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (math.nan, ValueError, r"settings.x is nan; a run is identified by finite numbers only"),
        (np.float32(np.inf), ValueError, "finite numbers only"),
        (np.float32(0.1), ValueError, r"float32\(0.1\), which is 0.1000000.* say which is meant"),
        (2**64, ValueError, "more than 64 bits; give it as text"),
        ({1, 2}, TypeError, "of type set; a run is identified by numbers, text"),
        (np.ones(2), TypeError, r"an array: use .tolist\(\)"),
        ({1: 2}, TypeError, r"settings.x has the name 1; names must be text"),
        ([1, [object()]], TypeError, r"settings.x\[1\]\[0\] is <object"),
    ],
)
def test_a_setting_without_one_meaning_is_refused(value, error, match):
    with pytest.raises(error, match=match):
        key(replace(RUN, settings={"x": value}))


# Results


def test_results_come_back_as_they_were_added(tmp_path):
    results = [result_of(seed) for seed in (5, 1, 3)]
    with open_store(tmp_path / "new" / "store") as store:
        assert store.add(results, MADE) == 3
        assert store.results() == results
    with open_store(tmp_path / "new" / "store", create=False) as store:
        assert store.results() == results
        assert store.results([results[2].run, results[0].run]) == [results[2], results[0]]
        assert store.results([replace(RUN, seed=99)]) == []


def test_what_is_missing_keeps_its_order_and_comes_once(tmp_path):
    runs = [result_of(seed).run for seed in (9, 2, 7, 2, 4)]
    with open_store(tmp_path) as store:
        store.add([result_of(7)], MADE)
        assert [run.seed for run in store.missing(runs)] == [9, 2, 4]


def test_adding_again_is_nothing(tmp_path):
    with open_store(tmp_path) as store:
        assert store.add([result_of(1), result_of(1)], MADE) == 1
        changed = replace(result_of(1), values={"accuracy": 0.0})
        assert store.add([changed, result_of(2)], replace(MADE, started="later")) == 1
        assert store.results() == [result_of(1), result_of(2)]
        assert [record.provenance.started for record in store.records()] == [MADE.started, "later"]
        assert store.provenance() == [MADE, replace(MADE, started="later")]
        assert store.provenance([result_of(1).run]) == [MADE]


def test_a_cell_is_added_whole_or_not_at_all(tmp_path):
    bad = replace(result_of(2), values={"loss": 1.0, "accuracy": "high"})
    with open_store(tmp_path) as store:
        with pytest.raises(TypeError, match=r"value 'accuracy' of a result is 'high' of type str; it must be a num"):
            store.add([result_of(1), bad], MADE)
        assert store.results() == []


def test_claims_and_versions_are_told_apart(tmp_path):
    old, other = (replace(result_of(1), run=run) for run in (replace(RUN, version=0), replace(RUN, claim="pooling")))
    with open_store(tmp_path) as store:
        store.add([old, result_of(1), other], MADE)
        assert store.results(claim="spatial-prior") == [old, result_of(1)]
        assert store.results(claim="spatial-prior", version=1) == [result_of(1)]
        assert store.results(claim="unknown") == []
        assert store.counts() == {"pooling": 1, "spatial-prior": 2}


def test_a_diverged_training_is_kept_as_it_was(tmp_path):
    values = {"loss": math.inf, "slope": -math.inf, "accuracy": np.float32(0.25), "ratio": math.nan}
    with open_store(tmp_path) as store:
        store.add([Result(RUN, values, {"loss": [1.0, math.inf, math.nan]})], MADE)
        stored = store.results()[0]
    assert math.isnan(stored.values.pop("ratio"))  # pyright: ignore[reportAttributeAccessIssue]
    assert stored.values == {"loss": math.inf, "slope": -math.inf, "accuracy": 0.25}
    assert stored.curves["loss"][:2] == [1.0, math.inf]
    assert math.isnan(stored.curves["loss"][2])


def test_the_store_waits_for_another_writer_and_says_so_at_last(tmp_path, monkeypatch):
    monkeypatch.setattr("flyroom.store._database.WAIT_S", 0.1)
    with open_store(tmp_path) as first, open_store(tmp_path) as second:
        first._connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError, match=r"held by another process for 0.1 seconds; wait for it or end it"):
            second.add([result_of(1)], MADE)
        first._connection.execute("ROLLBACK")
        assert second.add([result_of(1)], MADE) == 1


# Arrays


def test_arrays_come_back_bit_for_bit_when_asked_for(tmp_path):
    arrays = {
        "file": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "mask/1": np.array([True, False]),
        "scalar": np.array(2.5),
        "empty": np.zeros((0, 3), np.int8),
    }
    with open_store(tmp_path) as store:
        store.add([replace(result_of(1), arrays=arrays), result_of(2)], MADE)
        assert store.results()[0].arrays == {}
        first, second = store.results(arrays=True)
    assert second.arrays == {}
    assert first.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert first.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(first.arrays[name], array, strict=True)


def test_the_same_arrays_are_one_file_named_by_its_digest(tmp_path):
    one, two = {"a": np.ones(3), "b": np.zeros(2)}, {"b": np.zeros(2), "a": np.ones(3)}
    with open_store(tmp_path) as store:
        store.add([replace(result_of(1), arrays=one), replace(result_of(2), arrays=two)], MADE)
    (file,) = (tmp_path / "arrays").iterdir()
    assert file.name == hashlib.sha256(file.read_bytes()).hexdigest() + ".npz"


@pytest.mark.parametrize("array", [np.array([{}], object), np.zeros(2, [("a", "f4")])])
def test_arrays_of_anything_but_numbers_and_text_are_refused(tmp_path, array):
    with open_store(tmp_path) as store:
        with pytest.raises(TypeError, match=r"array 'w' has the type .*numbers, truth values or text: convert it"):
            store.add([replace(result_of(1), arrays={"w": array})], MADE)
        assert store.results() == []
    assert list(tmp_path.glob("arrays/*")) == []


# Accounts


def account_of(claim: str, value: float, **figures) -> Account:
    about = About(claim, 1, "Title", "Sentence.", "Paper", "Prediction.", 60.0)
    statements = (
        Statement("order", "It is so.", Verdict.supported, value, (-math.inf, 0.5), None, Evidence.exact, 10, 0.01),
    )
    judgement = Judgement(claim, 1, Verdict.refuted, "So.", statements, 80, (("net", "accuracy"), ("mlp", "68")))
    return Account(about, judgement, figures, MADE, {"runs": 10}, ("k1", "k2"))


def under(settings: dict, runs: int, version: int = 1, claim: str = "pooling") -> Account:
    one = account_of(claim, runs / 100)
    judgement = replace(one.judgement, runs=runs, version=version)
    return replace(one, judgement=judgement, settings=settings)


def test_the_latest_account_of_each_claim_is_kept(tmp_path):
    with open_store(tmp_path) as store:
        assert store.account("pooling") is None
        store.keep(account_of("pooling", 0.1))
        latest = account_of("pooling", np.float64(0.25), curve={"data": [{"x": 1, "y": None}, {"x": math.nan}]})
        store.keep(latest)
        store.keep(account_of("length", 2.0))
    with open_store(tmp_path, create=False) as store:
        stored = store.account("pooling")
        assert stored is not None
        assert math.isnan(stored.figures["curve"]["data"][1].pop("x"))
        latest.figures["curve"]["data"][1].pop("x")
        assert stored == latest
        assert isinstance(stored.judgement.statements[0].verdict, Verdict)
        assert isinstance(stored.judgement.statements[0].evidence, Evidence)
        assert [account.about.id for account in store.accounts()] == ["length", "pooling"]


def test_figures_keep_their_order(tmp_path):
    with open_store(tmp_path) as store:
        store.keep(account_of("pooling", 0.1, second={"b": 1}, first="<svg/>", third={}))
        stored = store.account("pooling")
    assert stored is not None and list(stored.figures.items()) == [
        ("second", {"b": 1}),
        ("first", "<svg/>"),
        ("third", {}),
    ]


def test_a_short_run_does_not_take_the_place_of_a_long_one(tmp_path):
    full, short, other = under({"runs": 10}, 80), under({"runs": 2}, 16), under({"runs": 3}, 24, claim="length")
    with open_store(tmp_path) as store:
        for one in (full, other, short):
            store.keep(one)
        assert store.account("pooling") == full
        assert store.accounts() == [other, full]
        assert store.accounts(every=True) == [other, full, short]
        again = under({"runs": 2}, 17)
        store.keep(again)  # the same settings: in place of the one before
        assert store.accounts(every=True) == [other, full, again]


def test_of_a_claims_accounts_the_newest_version_counts_then_the_runs_then_what_was_kept_last(tmp_path):
    first, second, third = (under({"lr": lr}, 80) for lr in (0.1, 0.2, 0.3))
    newer = under({"lr": 0.4}, 8, version=2)
    with open_store(tmp_path) as store:
        for one in (first, second, third):
            store.keep(one)
            assert store.account("pooling") == one
        store.keep(first)
        assert store.accounts(every=True) == [first, third, second]
        store.keep(newer)
        assert store.account("pooling") == newer
        assert store.accounts(every=True) == [newer, first, third, second]


@pytest.mark.parametrize("settings", [{}, {"b": [1, {"ü": None}], "a": 'q"\\\n'}, {"x": 1e-300, "y": math.inf}])
def test_settings_that_are_alike_are_one_pair_whatever_their_order(tmp_path, settings):
    with open_store(tmp_path) as store:
        store.keep(under(settings, 1))
        store.keep(under(dict(reversed(settings.items())), 2))
        store.keep(under({**settings, "more": 1}, 1))
        assert [one.judgement.runs for one in store.accounts(every=True)] == [2, 1]


def test_an_account_of_another_form_hides_no_good_one(tmp_path):
    with open_store(tmp_path) as store:
        store.keep(under({"runs": 1}, 5))
        strange = _form.sealed({"settings": {}, "judgement": "none"}, "pooling")
        store._connection.execute("INSERT INTO accounts (claim, record, digest) VALUES ('pooling', ?, ?)", strange)
        assert store.account("pooling") == under({"runs": 1}, 5)
        with pytest.raises(ValueError, match=r"the account of 'pooling' in .* has another form .* flyroom run pooling"):
            store.accounts(every=True)


def test_a_figure_that_is_not_json_is_refused_and_the_old_account_stays(tmp_path):
    with open_store(tmp_path) as store:
        store.keep(account_of("pooling", 0.1))
        with pytest.raises(TypeError, match="which is not plain JSON"):
            store.keep(account_of("pooling", 0.2, curve=object()))
        assert store.account("pooling") == account_of("pooling", 0.1)


# Schemas


def as_of_schema_1(directory, *accounts: Account) -> None:
    """A store as the first version made it: one account a claim, whatever the settings."""
    with sqlite3.connect(directory / FILE) as made:
        for statement in _database.STEPS[0]:
            made.execute(statement)
        made.execute(f"PRAGMA application_id = {_database.APPLICATION}")
        made.execute("PRAGMA user_version = 1")
        for one in accounts:
            tree = {**_form.account_to_json(one), "figures": dict(one.figures)}
            row = (one.about.id, *_form.sealed(tree, one.about.id))
            made.execute("INSERT INTO accounts VALUES (?, ?, ?)", row)
    made.close()


def test_the_accounts_of_schema_1_are_kept_under_their_settings(tmp_path):
    old, length = under({"runs": 10}, 80), under({"runs": 3}, 24, claim="length")
    old = replace(old, figures={"curve": {"data": [1]}})
    as_of_schema_1(tmp_path, old, length)
    with open_store(tmp_path) as store:
        assert store.accounts(every=True) == [length, old]
        again, short = under({"runs": 10}, 81), under({"runs": 2}, 16)
        store.keep(again)
        store.keep(short)
        assert store.accounts(every=True) == [length, again, short]
    state = health(tmp_path)
    assert (state["schema"], state["integrity"], state["accounts"]) == (2, "ok", 3)


@pytest.mark.parametrize(
    "change", ["record = replace(record, '80', '99')", "record = '{'", "claim = 'length'", "digest = ''"]
)
def test_an_account_that_was_changed_is_not_migrated(tmp_path, change):
    as_of_schema_1(tmp_path, under({"runs": 10}, 80))
    with sqlite3.connect(tmp_path / FILE) as changer:
        changer.execute(f"UPDATE accounts SET {change}")
    changer.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(_database.Damaged, match="is not what was written"):
        open_store(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before
    with open_store(tmp_path, set_aside=True) as store:
        assert store.accounts() == []
    assert list(tmp_path.glob(f"{FILE}.set-aside-*"))


def test_an_older_schema_is_migrated_with_all_that_is_in_it(tmp_path, monkeypatch):
    with open_store(tmp_path) as store:
        store.add([result_of(1)], MADE)
    newest = len(_database.STEPS)
    steps = (*_database.STEPS, ("ALTER TABLE results ADD COLUMN note TEXT", "UPDATE results SET note = 'old'"))
    monkeypatch.setattr(_database, "STEPS", steps)
    with open_store(tmp_path) as store:
        assert store.results() == [result_of(1)]
        assert store._rows("SELECT note FROM results") == [("old",)]
    assert health(tmp_path)["schema"] == newest + 1
    monkeypatch.undo()
    with pytest.raises(ValueError, match=rf"schema {newest + 1}, made by a newer .* knows up to {newest}. Update"):
        open_store(tmp_path)


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    with open_store(tmp_path) as store:
        store.add([result_of(1)], MADE)
    steps = (*_database.STEPS, ("ALTER TABLE results ADD COLUMN note TEXT", "UPDATE absent SET note = 1"))
    monkeypatch.setattr(_database, "STEPS", steps)
    with pytest.raises(sqlite3.OperationalError, match="no such table: absent"):
        open_store(tmp_path)
    monkeypatch.undo()
    with open_store(tmp_path) as store:
        assert store.results() == [result_of(1)]
        assert "note" not in str(store._rows("SELECT sql FROM sqlite_master WHERE name = 'results'"))


# Health


def test_health_of_a_good_store(tmp_path):
    with open_store(tmp_path) as store:
        store.add([replace(result_of(1), arrays={"w": np.ones(3)}), result_of(2)], MADE)
        store.keep(account_of("pooling", 0.1))
        open_one = health(tmp_path)
    report = health(tmp_path)
    assert (
        report["ok"] and report["integrity"] == "ok" and report["exists"] and report["schema"] == len(_database.STEPS)
    )
    assert report["results"] == open_one["results"] == {"spatial-prior": 2}
    assert (report["accounts"], report["arrays"]) == (1, 1)
    assert report["missing"] == report["damaged"] == report["unreferenced"] == report["temporary"] == []
    assert report["bytes"] == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    json.dumps(report)


def test_health_creates_nothing(tmp_path):
    assert not health(tmp_path / "nowhere")["exists"]
    assert list(tmp_path.iterdir()) == []
    with open_store(tmp_path) as store:
        store.add([result_of(1)], MADE)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert health(tmp_path)["ok"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# Exports


@pytest.fixture
def filled(tmp_path):
    """A store with an integer beside a float, two types in one setting, gaps, NaN, commas and quotes."""
    results = [
        replace(result_of(1, batch=100, rate=1), arrays={"w": np.ones(2)}),
        Result(replace(RUN, seed=2, settings={"batch": "full", "widths": [3, 4]}), {"loss": math.nan}, {"loss": []}),
        Result(replace(RUN, seed=2**63, settings={"net": 'a "b", c\nd', "bias": True}), {"loss": 2.0, "accuracy": 1}),
    ]
    with open_store(tmp_path / "store") as store:
        store.add(results, MADE)
        yield store


COLUMNS = [
    *("key", "claim", "version", "seed"),
    *("settings.batch", "settings.bias", "settings.net", "settings.rate", "settings.widths"),
    *("data.name", "data.seed", "values.accuracy", "values.loss", "curves.loss"),
    *("wall_s", "cpu_s", "flyroom", "source", "machine", "packages", "command", "started"),
]


def test_csv(filled, tmp_path):
    assert export(filled, tmp_path / "out.csv", "csv") == 3
    with (tmp_path / "out.csv").open(newline="") as file:
        first, second, third = csv.DictReader(file)
    assert list(first) == COLUMNS
    assert first["key"] == key(filled.results()[0].run)
    assert (first["settings.batch"], second["settings.batch"], third["settings.batch"]) == ("100", '"full"', "")
    assert (first["settings.rate"], second["settings.rate"], second["settings.widths"]) == ("1", "", "[3,4]")
    assert (third["settings.net"], third["settings.bias"], third["seed"]) == ('a "b", c\nd', "true", str(2**63))
    assert (first["values.accuracy"], first["values.loss"], second["values.loss"]) == ("0.51", "", "nan")
    assert json.loads(first["curves.loss"]) == [2.3, 1.0 / 3]
    assert json.loads(first["machine"]) == {"cores": 2}
    assert (first["wall_s"], first["cpu_s"], first["command"]) == ("1.5", "3.0", "flyroom run")


def test_json(filled, tmp_path):
    export(filled, tmp_path / "out.json", "json")
    first, second, third = json.loads((tmp_path / "out.json").read_text())
    assert list(first) == list(third) == COLUMNS
    assert first["curves.loss"] == [2.3, 1.0 / 3] and second["curves.loss"] == [] and third["curves.loss"] is None
    assert second["values.loss"] is None and first["machine"] == {"cores": 2}


def test_parquet(filled, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    export(filled, tmp_path / "out.parquet", "parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == COLUMNS
    assert [str(table.schema.field(name).type) for name in ("seed", "settings.bias", "values.loss", "data.seed")] == [
        "uint64", "bool", "double", "int64"
    ]  # fmt: skip
    assert table["curves.loss"].to_pylist() == [[2.3, 1.0 / 3], [], None]
    lost = table["values.loss"].to_pylist()
    assert lost[0] is None and math.isnan(lost[1]) and lost[2] == 2.0


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_an_empty_store_exports_its_columns(tmp_path, format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    with open_store(tmp_path) as store:
        assert export(store, tmp_path / "out", format) == 0
    if format == "csv":
        assert (tmp_path / "out").read_text().startswith("key,claim,version,seed,wall_s")


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("reader", ["pandas", "polars", "duckdb"])
def test_exports_open_elsewhere(filled, tmp_path, format, reader):
    module = pytest.importorskip(reader)
    if format == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"out.{format}"
    export(filled, path, format)
    if reader == "duckdb":
        rows = module.sql(f'SELECT "values.accuracy", "key", "settings.net" FROM \'{path}\'').fetchall()
        accuracy, keys, nets = (list(column) for column in zip(*rows, strict=True))
    else:
        frame = getattr(module, f"read_{format}")(path)
        accuracy, keys, nets = (list(frame[name]) for name in ("values.accuracy", "key", "settings.net"))
    assert accuracy[0] == 0.51 and accuracy[2] == 1.0 and (accuracy[1] is None or math.isnan(accuracy[1]))
    assert keys == [record.key for record in filled.records()]
    assert nets[2] == 'a "b", c\nd'


def test_an_export_replaces_whole_or_not_at_all(filled, tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    path.write_text("before")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        export(filled, path, "csv")
    assert path.read_text() == "before"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["out.csv", "store"]


def test_exports_say_what_is_wrong(filled, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="the format is 'xlsx'; it must be one of csv, parquet, json"):
        export(filled, tmp_path / "a", "xlsx")
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*none; make it first"):
        export(filled, tmp_path / "none" / "a.csv", "csv")
    with pytest.raises(IsADirectoryError, match="is a directory; give the name of a file"):
        export(filled, tmp_path, "csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'flyroom\[lab\]', or export CSV or JSON"):
        export(filled, tmp_path / "a.parquet", "parquet")


def test_importing_the_store_imports_no_engine():
    code = "import flyroom.store, sys; print({'jax', 'pyarrow', 'scipy', 'altair', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_file_says_whose_it_is(tmp_path):
    open_store(tmp_path).close()
    assert (tmp_path / FILE).read_bytes()[68:72] == b"FlyR"
