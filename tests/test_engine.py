"""The engine: what is missing is run, cell by cell; a failing cell takes nothing with it."""

import pytest
import toy_claim

from flyroom import engine
from flyroom.records import Cell, Provenance, Run
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
