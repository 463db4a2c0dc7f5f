"""The engine: what is missing is run, cell by cell; a failing cell takes nothing with it."""

import subprocess
import sys

import pytest
import toy_claim

from flyroom import engine
from flyroom.records import Cell, Provenance, Result, Run
from flyroom.store import key, open_store

MADE = Provenance("0", "", {}, {}, "flyroom run", "2026-01-01T00:00:00+00:00")


def runs(count: int, net: str = "a") -> list[Run]:
    return [Run("toy", 1, {"net": net}, seed, {}) for seed in range(count)]


def cells_of(claim=toy_claim) -> list[Cell]:
    return claim.cells(claim.Settings())


def conduct(store, settings=None, finished=lambda cell, outcome: None):
    settings = settings or toy_claim.Settings()
    cells = toy_claim.cells(settings)
    left = engine.pending(cells, store.missing, 1)
    return engine.conduct(toy_claim, settings, cells, left, store, MADE, finished)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("width", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (99, [5])])
def test_pending_splits_by_width_and_keeps_the_order(width, sizes):
    left = engine.pending([Cell(tuple(runs(5)))], list, width)
    assert [len(cell.runs) for cell in left] == sizes
    assert [run.seed for cell in left for run in cell.runs] == [0, 1, 2, 3, 4]


def test_pending_leaves_out_what_is_stored_and_never_mixes_cells():
    cells = [Cell(tuple(runs(3, "a"))), Cell(tuple(runs(2, "b"))), Cell(tuple(runs(3, "c")))]
    there = {key(runs(3, "a")[1]), *(key(run) for run in runs(2, "b"))}
    left = engine.pending(cells, lambda given: [run for run in given if key(run) not in there], 2)
    assert [[(run.settings["net"], run.seed) for run in cell.runs] for cell in left] == [
        [("a", 0), ("a", 2)],
        [("c", 0), ("c", 1)],
        [("c", 2)],
    ]


def test_time_is_shared_among_the_runs_of_a_cell(monkeypatch):
    monkeypatch.setattr(toy_claim, "seconds", 0.05)
    cell = cells_of()[0]
    ((back, results),) = engine.here(lambda cell: toy_claim.run(cell, toy_claim.Settings()), [cell])
    assert back == cell and not isinstance(results, Exception)
    assert len({one.wall_s for one in results}) == 1
    assert 0.05 <= sum(one.wall_s for one in results) < 1
    assert 0 <= results[0].cpu_s < results[0].wall_s  # it slept


def test_a_claim_is_conducted_and_its_account_kept(tmp_path):
    with open_store(tmp_path) as store:
        account = conduct(store)
        assert store.account("toy") == account
        assert account.keys == tuple(key(run) for cell in cells_of() for run in cell.runs)
        assert account.judgement.runs == 12
        assert account.settings == {"runs": 2, "unjudged": False}
        assert account.provenance == MADE
        assert store.missing([run for cell in cells_of() for run in cell.runs]) == []


def test_every_cell_is_stored_before_the_next_one_runs(tmp_path):
    with open_store(tmp_path) as store:
        stored = []
        conduct(store, finished=lambda cell, outcome: stored.append(sum(store.counts().values())))
        assert stored == list(range(1, 13))


def test_only_what_is_missing_is_run(tmp_path):
    with open_store(tmp_path) as store:
        conduct(store)
        ran = []
        account = conduct(store, toy_claim.Settings(runs=3), lambda cell, outcome: ran.extend(cell.runs))
        assert [run.seed for run in ran] == [2] * 6
        assert account.judgement.runs == 18


def test_a_failing_cell_does_not_lose_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_claim, "broken", {"b", "e"})
    with open_store(tmp_path) as store:
        outcomes = []
        with pytest.raises(RuntimeError, match=r"4 of 12 cells failed, so it is not judged \(FloatingPointError: b br"):
            conduct(store, finished=lambda cell, outcome: outcomes.append(outcome))
        assert sum(isinstance(outcome, FloatingPointError) for outcome in outcomes) == 4
        assert {one.run.settings["net"] for one in store.results()} == {"a", "c", "d", "f"}
        assert store.account("toy") is None

        monkeypatch.setattr(toy_claim, "broken", set())
        ran = []
        conduct(store, finished=lambda cell, outcome: ran.append(cell.runs[0].settings["net"]))
        assert ran == ["b", "b", "e", "e"]


def test_a_claim_is_not_judged_on_a_part(tmp_path, monkeypatch):
    run = toy_claim.run
    monkeypatch.setattr(toy_claim, "run", lambda cell, settings: run(cell, settings)[1:])
    with open_store(tmp_path) as store:
        with pytest.raises(RuntimeError, match="left no result for 12 of 12 runs, so it is not judged"):
            conduct(store)
        assert store.account("toy") is None


def test_a_claim_that_cannot_judge_keeps_its_runs(tmp_path):
    with open_store(tmp_path) as store:
        with pytest.raises(
            RuntimeError, match=r"all runs are stored, but it cannot be judged \(ZeroDivisionError: noth"
        ):
            conduct(store, toy_claim.Settings(unjudged=True))
        assert store.counts() == {"toy": 12}


def test_a_stop_is_not_taken_for_a_failing_cell(tmp_path, monkeypatch):
    def stop(cell, settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(toy_claim, "run", stop)
    with open_store(tmp_path) as store, pytest.raises(KeyboardInterrupt):
        conduct(store)


COMPILED = """
import sys, threading
import jax, numpy as np
from flyroom import engine, train
from flyroom.losses import cross_entropy
from flyroom.nets.mlp import MLP
from flyroom.records import Cell, Result, Run

jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
found, main = [], threading.main_thread()

def listen(event, **_):
    if event.endswith("cache_misses"):
        found.append(threading.current_thread() is main)

jax.monitoring.register_event_listener(listen)
protocol = train.Protocol(cross_entropy)
x, y = np.ones((4, 3), np.float32), np.array([0, 1, 1, 0], np.int32)

def work(cell):
    width = cell.runs[0].settings["width"]
    nets = [MLP.init(jax.random.key(run.seed), (3, width, 2)) for run in cell.runs]
    trained = train.train_many(nets, x, y, train.contiguous(4, 2, 5), protocol, learning_rate=0.1)
    return [Result(run, {"loss": float(one.losses[-1])}) for run, one in zip(cell.runs, trained, strict=True)]

cells = [Cell((Run("c", 1, {"width": width}, 0, {}),), ahead=True) for width in (4, 5, 6)]
for cell, outcome in engine.here(work, cells, ahead=sys.argv[2] == "ahead"):
    print(outcome[0].values["loss"])
print(sum(found))
"""


def test_the_next_cell_is_compiled_ahead_and_gives_the_same_numbers(tmp_path):
    def told(mode: str) -> list[str]:
        words = [sys.executable, "-c", COMPILED, str(tmp_path / mode), mode]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    *losses, compiled = told("ahead")
    *as_usual, compiled_as_usual = told("usual")
    assert losses == as_usual and len(losses) == 3
    assert int(compiled) <= int(compiled_as_usual) - 2  # the second and the third program were there when wanted


def test_no_cells_are_run_at_once():
    assert list(engine.here(lambda cell: [], [])) == []


def test_a_cell_that_fails_while_it_is_compiled_fails_in_its_turn():
    def work(cell):
        if cell.runs[0].settings["net"] == "b":
            raise FloatingPointError("b broke")
        return [Result(run, {}) for run in cell.runs]

    cells = [Cell(tuple(runs(1, net)), ahead=True) for net in ("a", "b", "c")]
    kinds = [type(outcome).__name__ for _, outcome in engine.here(work, cells, ahead=True)]
    assert kinds == ["list", "FloatingPointError", "list"]
