"""Where cells run: here, in this process, which spreads the networks of a cell over all its devices.

The interface is narrow on purpose, so that a cluster fits behind it: cells go in, results come out as they are
finished, and only the caller writes to the store.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from types import ModuleType
from typing import Any

from flyroom import machine, train
from flyroom.records import Account, Cell, Provenance, Result, Run
from flyroom.store import Store, key

Work = Callable[[Cell], list[Result]]
Outcomes = Iterator[tuple[Cell, list[Result] | Exception]]
Place = Callable[[Work, Iterable[Cell]], Outcomes]  # `here`, or a cluster


def timed(work: Work, cell: Cell) -> list[Result]:
    """Do one cell's work; each result gets its share of the wall time and of the processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    results = work(cell)
    count = max(1, len(results))
    wall, cpu = (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count
    return [replace(result, wall_s=wall, cpu_s=cpu) for result in results]


def here(work: Work, cells: Iterable[Cell], *, ahead: bool = True) -> Outcomes:
    """Run cells one after another in this process; an error ends its cell and not the others.

    With `ahead`, what the next cell needs is compiled on another thread meanwhile, where that cell says it may be:
    compiling occupies one core, and leaves the others with nothing to do.
    """
    every = list(cells)
    with ThreadPoolExecutor(1) as aside:
        for cell, coming in zip(every, [*every[1:], None], strict=False):
            compiling = None
            if ahead and coming is not None and coming.ahead and _kind(coming) != _kind(cell):
                compiling = aside.submit(_compile, work, coming)
            try:
                outcome = timed(work, cell)
            except Exception as error:  # the claim's own code may raise anything
                outcome = error
            yield cell, outcome
            if compiling is not None:
                compiling.result()


def _kind(cell: Cell) -> tuple:
    """Cells of one kind share their programs."""
    return cell.runs[0].claim, cell.runs[0].settings, cell.runs[0].data, len(cell.runs)


def _compile(work: Work, cell: Cell) -> None:
    with train.only_compile(), suppress(Exception):  # whatever is wrong with the cell is said when its turn comes
        work(cell)


def pending(cells: Iterable[Cell], missing: Callable[[Sequence[Run]], list[Run]], width: int) -> list[Cell]:
    """What is still to be run: the missing runs of each cell, at most `width` together.

    `width` is the number of networks that train side by side. A cell of that size takes seconds, and a killed
    process loses no more than the cell in flight.
    """
    left = []
    for cell in cells:
        runs = missing(cell.runs)
        left += [replace(cell, runs=tuple(runs[i : i + width])) for i in range(0, len(runs), width)]
    return left


def conduct(
    claim: ModuleType,
    settings: Any,
    cells: Sequence[Cell],
    left: Sequence[Cell],
    store: Store,
    provenance: Provenance,
    finished: Callable[[Cell, list[Result] | Exception], None] = lambda cell, outcome: None,
    place: Place = here,
) -> Account:
    """Run what is left of a claim's cells, store each as it comes, judge all of them, and keep the account.

    `finished` is told each cell's outcome; `place` is where cells run. Raises RuntimeError, after everything else has
    run and is stored, if a cell failed (a claim is not judged on a part) or if the claim cannot judge what is there.
    """
    machine.require_usual_numbers()
    failures = []
    for cell, outcome in place(lambda cell: claim.run(cell, settings), left):
        if isinstance(outcome, Exception):
            failures.append(outcome)
        else:
            store.add(outcome, provenance)
        finished(cell, outcome)
    if failures:
        first = f"{type(failures[0]).__name__}: {failures[0]}"
        stored = "; the others are stored, the same command tries the failed ones again"
        raise RuntimeError(
            f"{len(failures)} of {len(left)} cells failed, so it is not judged ({first}){stored}"
        ) from failures[0]
    runs = [run for cell in cells for run in cell.runs]
    if lost := store.missing(runs):
        raise RuntimeError(
            f"run() left no result for {len(lost)} of {len(runs)} runs, so it is not judged; it returns one for each "
            "run of its cell, for a network that diverged too"
        )
    results = store.results(runs)
    try:
        judgement = claim.judge(results, settings)
        figures = claim.figure(results, judgement)
    except Exception as error:  # as in `here`
        raise RuntimeError(f"all runs are stored, but it cannot be judged ({type(error).__name__}: {error})") from error
    account = Account(
        about=claim.ABOUT,
        judgement=judgement,
        figures=figures,
        provenance=provenance,
        settings=asdict(settings),
        keys=tuple(key(run) for run in runs),
    )
    store.keep(account)
    return account
