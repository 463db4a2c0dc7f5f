"""What a cluster costs: the overhead of a cell, the use of two workers, memory; and what a sweep would take on one.

    python benchmarks/cluster.py [--json]                          two workers of this machine, about two minutes
    python benchmarks/cluster.py --estimate STORE [--write PAGE]   hours on 10 and 100 machines, from measured cells

An estimate schedules the stored cells longest first, each on the worker that is free first. A worker is one core, so a
cell takes the processor time that it took when it was measured; the first cell of each kind on a worker is compiled
there, and every cell pays the overhead of its journey. Waiting for machines and their start is not in it.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from heapq import heapreplace
from pathlib import Path
from typing import NamedTuple

from flyroom import cluster, engine
from flyroom.records import Cell, Result, Run
from flyroom.store import open_store

NULL_CELLS, WORKERS = 300, 2
CORES_A_MACHINE = 2
OVERHEAD_S, COMPILE_S = 0.02, 2.0  # of a cell; of a kind of cell on a worker
PLACE = ("<!-- cost -->", "<!-- /cost -->")


def cells(count: int, **settings: float) -> list[Cell]:
    return [Cell((Run("benchmark", 1, {"cell": i, **settings}, 0, {}),)) for i in range(count)]


def nothing(cell: Cell) -> list[Result]:
    return [Result(cell.runs[0], {})]


def training(cell: Cell) -> list[Result]:
    """A cell of real work: MLPs of the published size on MNIST-1D, as many steps as it says."""
    import jax

    from flyroom import train
    from flyroom.data import mnist1d
    from flyroom.losses import cross_entropy
    from flyroom.nets.spec import parse

    run = cell.runs[0]
    x, y = train.examples(mnist1d.make())
    order = train.contiguous(len(x), 100, 1000)
    for _ in range(int(run.settings["rounds"])):
        train.train_many(
            [parse("mnist1d-mlp").init(jax.random.key(0))],
            x,
            y,
            order,
            train.Protocol(cross_entropy),
            learning_rate=0.01,
        )
    return [Result(run, {})]


def memory_mb() -> list[float]:
    """Of each process below this one, and of this one: what it alone holds, in MB."""
    import psutil

    own = psutil.Process()
    return [one.memory_full_info().uss / 1e6 for one in (own, *own.children(recursive=True))]


def measure() -> dict[str, float]:
    """Two workers of this machine, compared with what they themselves say that their cells took."""
    start = time.perf_counter()
    with cluster.connect(f"local:{WORKERS}") as there:
        found = {"start_s": time.perf_counter() - start}
        list(there(nothing, cells(50)))
        rounds = []
        for _ in range(3):
            start = time.perf_counter()
            list(there(nothing, cells(NULL_CELLS)))
            rounds.append(time.perf_counter() - start)
        found["null_cell_ms"] = 1e3 * min(rounds) / NULL_CELLS
        found["null_cell_median_ms"] = 1e3 * statistics.median(rounds) / NULL_CELLS
        # So many rounds that a cell takes a second of one core, and each worker has compiled before it counts.
        list(there(training, cells(2 * WORKERS, rounds=1)))
        (_, one), *_ = there(training, cells(2, rounds=4))
        a_round = one[0].cpu_s / 4 if isinstance(one, list) else 0.25
        work = cells(30, rounds=max(1, round(1 / a_round)))
        cpu, start = time.process_time(), time.perf_counter()
        done = [outcome[0] for _, outcome in there(training, work) if isinstance(outcome, list)]
        wall = time.perf_counter() - start
        found["cells"], found["wall_s"], found["driver_cpu_s"] = len(done), wall, time.process_time() - cpu
        found["cell_wall_s"] = statistics.median(one.wall_s for one in done)
        found["cell_cpu_s"] = statistics.median(one.cpu_s for one in done)
        found["busy"] = sum(one.wall_s for one in done) / (WORKERS * wall)
        memory = memory_mb()
        found["driver_mb"], found["worker_mb"] = memory[0], statistics.mean(sorted(memory[1:])[-WORKERS:])
    list(engine.here(training, work[:1]))  # compiles
    start = time.perf_counter()
    list(engine.here(training, work[:5]))
    found["here_cell_s"] = (time.perf_counter() - start) / 5
    return found


class Stored(NamedTuple):
    """A cell as a store remembers it."""

    claim: str
    kind: str
    seconds: float  # of one core


def stored_cells(store: Path) -> list[Stored]:
    """The runs of one cell share its time equally, so they are those of a setting with the same time."""
    found: dict[tuple[str, str, float, float], int] = defaultdict(int)
    with open_store(store, create=False) as opened:
        for one in opened.results():
            kind = json.dumps([one.run.settings, one.run.data], sort_keys=True)
            found[one.run.claim, kind, one.wall_s, one.cpu_s] += 1
    # Where another program had the cores, a cell's wall time says little; a cell that slept has it all there.
    return [Stored(claim, kind, count * cpu) for (claim, kind, _, cpu), count in found.items()]


def schedule(found: Sequence[Stored], workers: int, overhead_s: float, compile_s: float) -> float:
    """Seconds until the last worker is done: longest cell first, to the worker that is free first (Graham 1969)."""
    free = [(0.0, number) for number in range(workers)]
    compiled: set[tuple[int, str, str]] = set()
    for cell in sorted(found, key=lambda cell: -cell.seconds):
        at, number = free[0]
        first = (number, cell.claim, cell.kind) not in compiled
        compiled.add((number, cell.claim, cell.kind))
        heapreplace(free, (at + cell.seconds + overhead_s + compile_s * first, number))
    return max(at for at, _ in free)


def table(found: Sequence[Stored], overhead_s: float, compile_s: float) -> str:
    """Per claim and for all together: cells, core hours, and minutes on one, 10 and 100 machines of two cores."""
    machines = (1, 10, 100)
    head = ["claim", "cells", "core hours", *(f"{n} machine{'s' * (n > 1)}" for n in machines)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    groups = {claim: [cell for cell in found if cell.claim == claim] for claim in sorted({one.claim for one in found})}
    for name, group in {**groups, "all together": list(found)}.items():
        times = [schedule(group, CORES_A_MACHINE * n, overhead_s, compile_s) for n in machines]
        hours = sum(cell.seconds for cell in group) / 3600
        lines.append([name, str(len(group)), f"{hours:.2f}", *(f"{at / 60:.1f} min" for at in times)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(text: str, page: Path) -> None:
    """Put a text between the marks of a page; ValueError where they are not there."""
    before, opened, rest = page.read_text(encoding="utf-8").partition(PLACE[0])
    _, closed, after = rest.partition(PLACE[1])
    if not (opened and closed):
        raise ValueError(f"{page} has no {PLACE[0]} and {PLACE[1]}")
    page.write_text(f"{before}{opened}\n\n{text}\n\n{closed}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a cluster costs, and what a sweep would take on one.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--estimate", type=Path, metavar="STORE", help="a store whose measured cells are scheduled")
    parser.add_argument("--write", type=Path, metavar="PAGE", help=f"put the estimate between {' and '.join(PLACE)}")
    parser.add_argument("--overhead", type=float, default=OVERHEAD_S, help="seconds a cell costs besides its work")
    parser.add_argument(
        "--compile", type=float, default=COMPILE_S, help="seconds a worker's first cell of a kind costs"
    )
    given = parser.parse_args()
    if given.estimate:
        text = table(stored_cells(given.estimate), given.overhead, given.compile)
        if given.write:
            write(text, given.write)
        print(text)
        return
    found = measure()
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}, {WORKERS} workers")
    print(f"start and end of a connection {found['start_s']:8.1f} s")
    print(f"a cell of nothing             {found['null_cell_ms']:8.1f} ms (median {found['null_cell_median_ms']:.1f})")
    print(f"a cell of work                {found['cell_wall_s']:8.2f} s ({found['cell_cpu_s']:.2f} s of its core)")
    print(f"the same in this process      {found['here_cell_s']:8.2f} s")
    print(
        f"workers busy                  {100 * found['busy']:8.1f} % of {found['wall_s']:.1f} s, {found['cells']} cells"
    )
    print(
        f"memory                        {found['worker_mb']:8.0f} MB a worker, {found['driver_mb']:.0f} MB the driver"
    )


if __name__ == "__main__":
    main()
