"""What each claim's training takes, beside the way of the published notebooks in PyTorch, all cores used by both.

    python benchmarks/gallery.py [CLAIM ...] [--seconds 4] [--json]

Method. For each slice of a claim (`benchmarks/peers/`) one training step of one network in PyTorch (eager, one network
after another, as the notebook does it) is timed in as many processes at once as there are cores, one thread and one
core each; the notebooks' way with all cores used. The slice's share of a default run is then steps x seconds a step /
cores. Right after it, one chunk of the same runs (as many networks as there are cores) is trained here by the claim's
own `run`, evaluations and all, its program compiled before; times the number of runs. Both are extrapolated from what
was measured within the same minute; the ratio is of these two. What compiling took stands beside it, once a program.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks.peers


def peers() -> list[str]:
    """Claims that have a peer, in the order of the shelf."""
    from flyroom.claims import NAMES

    there = {path.stem for path in (ROOT / "benchmarks" / "peers").glob("*.py")}
    return [name for name in NAMES if name.replace("-", "_") in there]


def slices(claim: str) -> list:
    return importlib.import_module(f"benchmarks.peers.{claim.replace('-', '_')}").slices()


def peer_seconds(claim: str, index: int, seconds: float) -> float:
    """In a process of its own: the median time of one step of a slice, one thread."""
    import torch

    torch.set_num_threads(1)
    step = slices(claim)[index].build()
    for _ in range(3):
        step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def on_all_cores(claim: str, index: int, seconds: float, cores: list[int]) -> float:
    """Seconds a step with every core at it: the mean over processes of their medians."""
    started = []
    for core in cores:
        words = [sys.executable, __file__, "--peer", claim, str(index), str(seconds), str(core)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
    found = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"slice {index} of {claim} failed in PyTorch")
    return statistics.mean(float(text) for text in found)


def ours(claim: str, index: int) -> dict:
    """In a process of its own: a chunk of the slice's runs, compiled before, and how many runs there are."""
    from flyroom import train
    from flyroom.claims import load

    module = load(claim)
    settings = module.Settings()
    stands_for = slices(claim)[index].stands_for
    cells = [(cell, [run for run in cell.runs if stands_for(run)]) for cell in module.cells(settings)]
    cells = [(cell, runs) for cell, runs in cells if runs]
    if not cells:
        raise ValueError(f"slice {index} of {claim} stands for no run of the default settings")
    chunk = cells[0][0].__class__(tuple(cells[0][1][: len(train.devices())]))
    start = time.perf_counter()
    with train.only_compile(), suppress(train.Compiled):
        module.run(chunk, settings)
    compiling = time.perf_counter() - start
    start = time.perf_counter()
    module.run(chunk, settings)
    each = (time.perf_counter() - start) / len(chunk.runs)
    return {"compile_s": compiling, "run_s": each, "runs": sum(len(runs) for _, runs in cells)}


def measure(claim: str, index: int, seconds: float) -> dict:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    one = slices(claim)[index]
    step = on_all_cores(claim, index, seconds, cores)
    words = [sys.executable, __file__, "--ours", claim, str(index)]
    mine = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    peer, here = one.steps * step / len(cores), mine["runs"] * mine["run_s"]
    return {
        "claim": claim,
        "slice": one.name,
        "steps": one.steps,
        "peer_step_us": 1e6 * step,
        "peer_s": peer,
        "ours_s": here,
        "ratio": peer / here,
        "compile_s": mine["compile_s"],
    }


def table(rows: list[dict]) -> str:
    lines = [
        "| claim | slice | steps | PyTorch, us a step a core | PyTorch, s | Flyroom, s | ratio | compiling, s |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['claim']} | {row['slice']} | {row['steps']:,} | {row['peer_step_us']:.0f} | {row['peer_s']:.0f} "
            f"| {row['ours_s']:.1f} | {row['ratio']:.1f} | {row['compile_s']:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    if sys.argv[1:2] == ["--peer"]:
        claim, index, seconds, core = sys.argv[2:]
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {int(core)})
        print(peer_seconds(claim, int(index), float(seconds)))
        return 0
    if sys.argv[1:2] == ["--ours"]:
        print(json.dumps(ours(sys.argv[2], int(sys.argv[3]))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("claims", nargs="*", help="which claims; none means all that have a peer")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each step of PyTorch is timed")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args()
    rows = []
    for claim in given.claims or peers():
        for index in range(len(slices(claim))):
            rows.append(measure(claim, index, given.seconds))
            print(f"{claim}, {rows[-1]['slice']}: {rows[-1]['ratio']:.1f} x", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=1) if given.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
