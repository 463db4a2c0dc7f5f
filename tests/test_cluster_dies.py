"""What happens to a sweep when workers, machines, the scheduler or the driver die, with processes of their own."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import cluster_cells
import cluster_driver
import pytest
from cluster_processes import ENDS_S, ENVIRONMENT, kill, scheduler, until
from test_cluster import by_number, load

from flyroom import cluster
from flyroom.store import open_store

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


def when(there, then) -> threading.Thread:
    """Do something as soon as something is there, while a sweep goes on."""
    thread = threading.Thread(target=lambda: then(until(there, "the sweep to begin")))
    thread.start()
    return thread


def test_lost_workers_and_a_lost_machine_cost_only_what_they_were_doing(tmp_path: Path):
    traces = tmp_path / "traces"
    traces.mkdir()
    with scheduler(tmp_path) as (address, worker, _):
        nodes = [worker(), worker()]
        with cluster.connect(address) as there:
            until(lambda: len(cluster.workers(there)) == 2, "two workers")
            # One worker process in the middle of its cell; its nanny starts another.
            killer = when(
                lambda: next(iter(cluster_cells.executions(traces).values()), None),
                lambda pids: os.kill(pids[0], signal.SIGKILL),
            )
            found = by_number(there(cluster_cells.do, cluster_cells.deeds(traces, ["work"] * 8, seconds=0.5)))
            killer.join()
            assert sorted(found) == list(range(8)) and all(isinstance(one, list) for one in found.values())
            begun = cluster_cells.executions(traces)
            # Only the cell that it was doing, and at most one whose result had not been fetched from it yet.
            assert sorted(map(len, begun.values())) in ([1] * 7 + [2], [1] * 6 + [2, 2])
            # A machine with all that is on it.
            until(lambda: len(cluster.workers(there)) == 2, "the worker to come back")
            second = tmp_path / "second"
            second.mkdir()
            killer = when(lambda: len(list(second.iterdir())) > 2, lambda _: kill(nodes[0]))
            found = by_number(there(cluster_cells.do, cluster_cells.deeds(second, ["work"] * 8, seconds=0.5)))
            killer.join()
            assert sorted(found) == list(range(8)) and all(isinstance(one, list) for one in found.values())
            assert sum(map(len, cluster_cells.executions(second).values())) <= 9
            assert len(cluster.workers(there)) == 1


def test_a_scheduler_that_dies_is_a_sentence_and_keeps_what_came_back(tmp_path: Path):
    traces = tmp_path / "traces"
    traces.mkdir()
    with scheduler(tmp_path) as (address, worker, process):
        worker()
        with cluster.connect(address) as there:
            stream = there(cluster_cells.do, cluster_cells.deeds(traces, ["work"] * 20, seconds=0.2))
            found = by_number([next(stream), next(stream)])
            kill(process)
            began = time.monotonic()
            with pytest.raises(ConnectionError, match=rf"^the scheduler at {address} is gone; .* is kept"):
                found.update(by_number(stream))
            assert time.monotonic() - began < 20
    assert all(isinstance(one, list) for one in found.values())
    assert len(found) < 20


def test_a_driver_that_is_killed_goes_on_with_what_is_missing(tmp_path: Path):
    traces, store = tmp_path / "traces", tmp_path / "store"
    traces.mkdir()
    open_store(store).close()

    def numbers() -> set[int]:
        with open_store(store, create=False) as opened:
            return {int(one.run.settings["number"]) for one in opened.results()}

    with scheduler(tmp_path) as (address, worker, _):
        worker()
        words = [sys.executable, str(Path(cluster_driver.__file__)), address, str(store), str(traces)]
        first = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        until(lambda: len(numbers()) >= 3, "three cells to be stored")
        first.kill()
        first.wait(ENDS_S)
        there = numbers()
        assert 3 <= len(there) < cluster_driver.CELLS
        again = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=ENDS_S)
        assert again.returncode == 0, again.stderr
        assert sorted(map(int, again.stdout.split())) == sorted(set(range(cluster_driver.CELLS)) - there)
        assert numbers() == set(range(cluster_driver.CELLS))
        begun = cluster_cells.executions(traces)
        assert all(len(begun[number]) == 1 for number in there)


def test_workers_unlike_this_process_are_refused_at_once(tmp_path: Path):
    (tmp_path / "older.py").write_text("from flyroom import machine\nmachine.source_digest = lambda: 'f' * 64\n")
    with scheduler(tmp_path) as (address, worker, _):
        with pytest.raises(TimeoutError, match=rf"scheduler at {address} has had no worker for 0.2 s; start one"):
            cluster.connect(address, 0.2).__enter__()
        older = worker("--preload", str(tmp_path / "older.py"))
        with (
            pytest.raises(
                cluster.Refused,
                match=r"^worker tcp://127.0.0.1:\d+ has other source files of flyroom \(digest f{12}\)",
            ),
            cluster.connect(address),
        ):
            pass
        kill(older)
        worker("--nthreads", "2")
        with pytest.raises(cluster.Refused, match="has 2 threads"), cluster.connect(address):
            pass


def test_a_claim_in_a_file_of_the_users_is_sent_whole(tmp_path: Path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "helper_of_mine.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "mine" / "claim_of_mine.py").write_text(
        textwrap.dedent(
            """
            import os
            from dataclasses import dataclass

            import jax
            import helper_of_mine
            from flyroom.records import Result

            class Mine(Exception):
                pass

            @dataclass(frozen=True)
            class Settings:
                factor: float = 3.0

            compiled = []

            @jax.jit
            def times(x, y):
                compiled.append(1)  # when it is traced, not when it runs
                return x * y

            def run(cell, settings):
                if cell.runs[0].settings["number"] == 3:
                    raise Mine("not this one")
                worth = helper_of_mine.double(float(times(cell.runs[0].settings["number"], settings.factor)))
                return [Result(one, {"worth": worth, "compiled": float(len(compiled))}) for one in cell.runs]
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    monkeypatch.setitem(sys.modules, "claim_of_mine", None)
    claim = load(tmp_path / "mine" / "claim_of_mine.py")
    settings = claim.Settings()
    with scheduler(tmp_path) as (address, worker, _):
        worker()
        with cluster.connect(address) as there:
            cells = cluster_cells.deeds(tmp_path, ["work"] * 5)
            found = by_number(there(lambda cell: claim.run(cell, settings), cells))
    assert type(found[3]) is claim.Mine and str(found[3]) == "not this one"
    del found[3]
    assert [one for one in found.values() if isinstance(one, Exception)] == []
    assert {i: one[0].values["worth"] for i, one in found.items()} == {0: 0.0, 1: 6.0, 2: 12.0, 4: 24.0}
    assert {one[0].values["compiled"] for one in found.values()} == {1.0}  # once a worker, not once a cell
