"""What happens to a cell on a worker: it is refused, or it runs and its outcome is made fit to travel."""

import pickle
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from flyroom.cluster._likeness import description, unlike
from flyroom.cluster._parcel import opened
from flyroom.records import Cell, Json, Result


def run_cell(work: bytes, cell: bytes, wanted: dict[str, Json]) -> dict[str, Any]:
    """On a worker: a cell's results with their times, or what was raised, as bytes that cannot fail on the way."""
    import cloudpickle
    from distributed import get_worker

    worker = get_worker()
    complaint = unlike(worker.address, wanted, description(worker.state.nthreads)) or settled(worker.address)
    if complaint:
        return {"refused": {worker.address: complaint}}
    try:
        function, runs = read_work(work), pickle.loads(cell)
        wall, cpu = time.perf_counter(), time.process_time()
        results = function(runs)
        count = max(1, len(results))
        wall, cpu = (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count
        return {"done": cloudpickle.dumps([replace(result, wall_s=wall, cpu_s=cpu) for result in results])}
    except (Exception, SystemExit) as error:
        return {"failed": told(error, worker.address)}


@cache
def settled(worker: str) -> str | None:
    """Once a worker process: one core is its device (a GPU stays), and its numbers are the usual ones."""
    import jax

    import flyroom.train  # noqa: F401  (it makes each core a device, which is to be undone, and not to come later)
    from flyroom import machine

    with suppress(RuntimeError):  # JAX is in use: its devices stay, and only speed depends on them
        jax.config.update("jax_num_cpu_devices", 1)
    try:
        machine.require_usual_numbers()
    except ValueError as error:
        return f"worker {worker}: {error}"
    return None


@lru_cache(maxsize=4)
def read_work(work: bytes) -> Callable[[Cell], list[Result]]:
    """Read once, so that what a claim compiled for one cell serves the next."""
    return opened(work)


def told(error: BaseException, worker: str) -> tuple[str, str, bytes | None]:
    """An error as its type's name, its message, and itself where it survives the journey."""
    import cloudpickle

    error.add_note(f"on worker {worker}:\n{''.join(traceback.format_exception(error))}")
    name, text = type(error).__name__, str(error)
    try:
        sent = cloudpickle.dumps(error)
        back = pickle.loads(sent)
        whole = type(back).__name__ == name and str(back) == text
    except Exception:  # an exception of the user's may refuse in any way
        return name, text, None
    return name, text, sent if whole else None
