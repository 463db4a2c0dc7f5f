"""A cluster: the numbers of this process from real workers, whatever a cell does, and what is sent, cut and refused."""

import importlib
import importlib.util
import json
import pickle
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import cluster_cells
import cluster_driver
import numpy as np
import pytest
import toy_claim
from cluster_processes import ENVIRONMENT

from flyroom import cluster, engine
from flyroom.claims import spatial_prior
from flyroom.cluster import _parcel, _worker
from flyroom.cluster._likeness import description, unlike
from flyroom.records import Cell, Result
from flyroom.store import open_store

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def two():
    """Two worker processes of this machine."""
    with cluster.connect("local:2") as there:
        yield there


def by_number(found) -> dict[int, Any]:
    return {cell.runs[0].settings["number"]: outcome for cell, outcome in found}


@pytest.mark.slow
def test_results_are_those_of_this_process_bit_for_bit(two):
    work = partial(cluster_cells.train_nets, settings=cluster_cells.Settings())
    cells = cluster_cells.training()
    found = {cells.index(cell): outcome for cell, outcome in two(work, cells)}
    for i, (_, expected) in enumerate(engine.here(work, cells)):
        assert isinstance(expected, list)
        for ours, theirs in zip(expected, found.pop(i), strict=True):
            assert theirs.run == ours.run
            assert theirs.values == {**ours.values, "devices": 1}  # one core a worker
            assert theirs.curves == ours.curves
            np.testing.assert_array_equal(theirs.arrays["losses"], ours.arrays["losses"])
            assert theirs.wall_s > 0 and theirs.cpu_s > 0
    assert not found


@pytest.mark.slow
def test_a_poisonous_cell_takes_nothing_with_it(two, tmp_path: Path):
    words = ["work"] * 100
    words[7], words[9] = "die", "raise"
    found = by_number(two(cluster_cells.do, cluster_cells.deeds(tmp_path, words)))
    assert sorted(found) == list(range(100))
    died, raised = found.pop(7), found.pop(9)
    assert isinstance(died, RuntimeError) and "killed its worker 4 times, the last 2 times with nothing" in str(died)
    assert type(raised) is FloatingPointError and str(raised) == "cell 9 broke"
    assert all(isinstance(one, list) and one[0].values["number"] == i for i, one in found.items())
    begun = cluster_cells.executions(tmp_path)
    assert len(begun.pop(7)) == 4 and len(begun.pop(9)) == 1
    assert sum(map(len, begun.values())) - len(begun) <= 4


@pytest.mark.slow
def test_whatever_a_cell_leaves_comes_back_in_words(two, tmp_path: Path):
    found = by_number(two(cluster_cells.do, cluster_cells.deeds(tmp_path, ["odd", "exit", "lock", "work"])))
    odd, left, lock, worked = (found[i] for i in range(4))
    assert (type(odd).__name__, str(odd)) == ("Odd", "one and two")
    assert isinstance(left, RuntimeError) and "SystemExit: 3" in str(left)
    assert isinstance(lock, TypeError) and "cannot pickle '_thread.lock' object" in str(lock)
    assert isinstance(worked, list)
    assert [len(begun) for begun in cluster_cells.executions(tmp_path).values()] == [1] * 4


@pytest.mark.slow
def test_time_is_measured_on_the_worker_and_shared_among_the_runs(two):
    (cell, *_) = toy_claim.cells(toy_claim.Settings())

    def sleep(cell):
        time.sleep(0.3)
        return toy_claim.run(cell, toy_claim.Settings())

    ((back, results),) = two(sleep, [cell])
    assert back is cell
    assert len({one.wall_s for one in results}) == 1
    assert 0.3 <= sum(one.wall_s for one in results) < 3
    assert 0 <= results[0].cpu_s < results[0].wall_s  # it slept


@pytest.mark.slow
def test_cells_are_taken_as_there_is_room(two, tmp_path: Path):
    taken = []

    def cells():
        for cell in cluster_cells.deeds(tmp_path, ["work"] * 50):
            taken.append(cell)
            yield cell

    stream = two(cluster_cells.do, cells())
    next(stream)
    assert len(taken) <= 4  # two workers, two cells each
    assert len(list(stream)) == 49
    assert sum(map(len, cluster_cells.executions(tmp_path).values())) == 50


@pytest.mark.slow
def test_who_stops_listening_stops_the_sweep(two, tmp_path: Path):
    stream = two(cluster_cells.do, cluster_cells.deeds(tmp_path, ["work"] * 50, seconds=0.2))
    next(stream)
    stream.close()
    time.sleep(1)
    assert len(cluster_cells.executions(tmp_path)) <= 5


@pytest.mark.slow
def test_local_workers_listen_on_the_loopback_only(two):
    import psutil

    own = psutil.Process()
    ours = [one for process in (own, *own.children(recursive=True)) for one in process.net_connections("inet")]
    listening = {one.laddr.ip for one in ours if one.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    assert len(cluster.workers(two)) == 2


@pytest.mark.slow
def test_a_worker_that_is_not_like_this_process_gets_nothing(two, tmp_path: Path):
    there = cluster.workers(two)
    other, good = sorted(there)

    def change(dask_worker):
        from flyroom.cluster import _likeness

        if dask_worker.address == other:
            _likeness.machine.source_digest = lambda: "f" * 64

    client = two.args[0]
    client.run(change)
    with pytest.warns(RuntimeWarning, match=rf"{other} has other source files of flyroom \(digest ffffff.* without it"):
        found = by_number(two(cluster_cells.do, cluster_cells.deeds(tmp_path, ["work"] * 20)))
    assert sorted(found) == list(range(20)) and all(isinstance(one, list) for one in found.values())
    client.retire_workers([good])
    with pytest.raises(cluster.Refused, match=f"{other} has other source"), pytest.warns(RuntimeWarning):
        list(two(cluster_cells.do, cluster_cells.deeds(tmp_path, ["work"])))


# What needs no cluster.


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"jax": "0.9.1"}, r"worker tcp://w has jax 0.9.1, this process has \d+\.\d+.*; install the same version"),
        ({"python": "3.12"}, r"worker tcp://w has python 3.12, this process has 3\.\d+;"),
        ({"numpy": "none"}, r"worker tcp://w has numpy none, this process has"),
        ({"source": "f" * 64}, r"worker tcp://w has other source files of flyroom \(digest f{12}\) than this process"),
        ({"threads": 16}, r"worker tcp://w has 16 threads, .* --nthreads 1"),
        ({"error": "No module named 'flyroom'"}, r"worker tcp://w cannot import .*No module named 'flyroom'"),
    ],
)
def test_a_difference_is_one_sentence(changed, sentence):
    assert unlike("tcp://w", description(), description()) is None
    said = unlike("tcp://w", description(), {**description(), **changed})
    assert said is not None and re.match(sentence, said)
    assert "\n" not in said


def test_another_processor_is_no_difference():
    assert unlike("tcp://w", description(), {**description(), "processor": "abacus"}) is None


@pytest.mark.parametrize("address", ["", "local", "local:0", "local:two", "file:", "host:8786", "tcp://", "8786"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(ValueError, match=r"names no cluster; give tcp://HOST:8786, file:PATH .* local:N"):
        cluster.connect(address).__enter__()


def test_a_scheduler_that_is_not_there_is_named(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # something answers, but is no scheduler
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at {address}; start one with"):
            cluster.connect(address).__enter__()
    with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at {address}; start one with"):
        cluster.connect(address).__enter__()
    file = tmp_path / "scheduler.json"
    with pytest.raises(ConnectionError, match=rf"there is no file {file}; dask scheduler --scheduler-file"):
        cluster.connect(f"file:{file}").__enter__()
    file.write_text("{}")
    with pytest.raises(ConnectionError, match=rf"no scheduler's address is in {file}"):
        cluster.connect(f"file:{file}").__enter__()
    file.write_text(json.dumps({"address": address}))
    with pytest.raises(ConnectionError, match=f"no Dask scheduler answers at file:{file}"):
        cluster.connect(f"file:{file}").__enter__()


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'flyroom\[cluster\]'"):
        cluster.connect("local:1").__enter__()


def load(path: Path) -> ModuleType:
    """A module from a file, under its own name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_installed_is_sent_by_name(monkeypatch, tmp_path: Path):
    for module in (sys, json, np, pytest, cluster, spatial_prior):
        assert _parcel.installed(module)
    (tmp_path / "json_of_mine.py").write_text("")
    monkeypatch.setitem(sys.modules, "json_of_mine", None)
    assert not _parcel.installed(load(tmp_path / "json_of_mine.py"))
    assert not _parcel.installed(ModuleType("made_by_hand"))
    settings = spatial_prior.Settings()
    _, sent = pickle.loads(zlib.decompress(_parcel.packed(lambda cell: spatial_prior.run(cell, settings))))
    assert len(sent) < 2000


PARCEL = """
import pickle, sys
from flyroom.cluster import _parcel
first, second = pickle.load(sys.stdin.buffer)
function = _parcel.opened(first)
print(function(3), sys.modules["mine.claim"].__file__, _parcel.opened(first)(3), sys.modules["mine.claim"].loads)
print(_parcel.opened(second)(3), function(3), function.__module__ == "mine.claim")
"""


def test_a_module_of_the_users_travels_as_source(monkeypatch, tmp_path: Path):
    claim = tmp_path / "mine" / "claim.py"
    claim.parent.mkdir()  # a folder without __init__.py
    (claim.parent / "beside_mine.py").write_text("factor = 2\n")
    text = "import threading, beside_mine as h\nloads = 1\nlock = threading.Lock()\ndef run(x): return h.factor * x"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(claim.parent))
    parcels = []
    for end in ("\n", " + 1\n"):  # edited, and run again on the same workers
        claim.write_text(text + end)
        for name in ("mine.claim", "beside_mine"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        parcels.append(_parcel.packed(importlib.import_module("mine.claim").run))
    given = pickle.dumps(parcels)
    ran = subprocess.run([sys.executable, "-c", PARCEL], input=given, capture_output=True, cwd="/", env=ENVIRONMENT)
    assert ran.stdout.decode().splitlines() == [f"6 {claim} 6 1", "7 6 True"], ran.stderr.decode()


def test_what_cannot_be_sent_is_named():
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"function cannot be sent \(TypeError: cannot pickle '_thread.lock' object\)"):
        _parcel.packed(lambda cell: lock)


def test_an_error_that_survives_keeps_its_type_and_where_it_was_raised():
    try:
        raise FloatingPointError("broke")
    except FloatingPointError as error:
        name, text, sent = _worker.told(error, "tcp://w")
    assert (name, text) == ("FloatingPointError", "broke") and sent is not None
    assert _worker.told(cluster_cells.Odd("one", "two"), "tcp://w") == ("Odd", "one and two", None)
    (note,) = pickle.loads(sent).__notes__
    assert note.startswith("on worker tcp://w:\nTraceback") and "test_cluster.py" in note


@pytest.mark.parametrize(
    ("costs", "workers", "width"),
    [
        ([2.0] * 400, 10, 10),  # 800 s / 40 cells = 20 s
        ([2.0] * 400, 1, 15),  # not above 30 s
        ([0.1] * 10, 100, 10),  # not below 1 s
        ([0.1] * 90 + [4.0] * 10, 4, 1),  # 49 s / 16 = 3 s, below one run of the dearest kind
        ([100.0] * 4, 2, 1),
        ([], 2, 1),
    ],
)
def test_cells_are_cut_to_seconds(costs, workers, width):
    cells = [Cell(tuple(toy_claim.cells(toy_claim.Settings(runs=1))[0].runs * len(costs)))]
    left = iter(costs)
    claim = ModuleType("claim")
    claim.cost = lambda run: next(left)  # pyright: ignore[reportAttributeAccessIssue]
    assert cluster.width(claim, cells, workers) == width


def test_a_width_needs_a_worker():
    with pytest.raises(ValueError, match="0 workers; there must be at least 1"):
        cluster.width(ModuleType("claim"), [], 0)


def test_an_estimate_gives_the_longest_cell_to_whom_is_free_first(tmp_path: Path):
    benchmark = load(Path(__file__).parents[1] / "benchmarks" / "cluster.py")
    found = [benchmark.Stored("toy", str(seconds % 2), float(seconds)) for seconds in (3, 5, 3, 4, 3)]
    assert benchmark.schedule(found, 1, 0.0, 0.0) == 18
    assert benchmark.schedule(found, 2, 0.0, 0.0) == 10  # 5 + 3 beside 4 + 3 + 3
    assert benchmark.schedule(found, 9, 0.5, 0.0) == 5.5
    assert benchmark.schedule(found, 1, 1.0, 2.0) == 18 + 5 * 1 + 2 * 2  # two kinds are compiled once each
    runs = [cell.runs[0] for cell in toy_claim.cells(toy_claim.Settings(runs=1))]
    with open_store(tmp_path) as store:  # one cell of two runs, one of one
        store.add([Result(runs[0], {}, wall_s=1.0, cpu_s=2.0)], cluster_driver.MADE)
        store.add([Result(replace(runs[0], seed=1), {}, wall_s=1.0, cpu_s=2.0)], cluster_driver.MADE)
        store.add([Result(runs[1], {}, wall_s=1.0, cpu_s=2.0)], cluster_driver.MADE)
    assert sorted(one.seconds for one in benchmark.stored_cells(tmp_path)) == [2.0, 4.0]
    page = tmp_path / "page.md"
    page.write_text("before <!-- cost -->old<!-- /cost --> after")
    benchmark.write(benchmark.table(benchmark.stored_cells(tmp_path), 0.0, 0.0), page)
    assert "| toy | 2 | 0.00 | 0.1 min | 0.1 min | 0.1 min |" in page.read_text()
    assert page.read_text().startswith("before") and page.read_text().endswith("<!-- /cost --> after")
    with pytest.raises(ValueError, match="has no <!-- cost -->"):
        benchmark.write("", Path(__file__).parents[1] / "pyproject.toml")
