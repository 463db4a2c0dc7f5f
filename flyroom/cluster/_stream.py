"""Cells go to the scheduler, a bounded number at a time, and their outcomes come back as they are finished."""

import pickle
import time
import uuid
import warnings
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError as FutureCancelled
from contextlib import suppress
from importlib import import_module
from itertools import count
from typing import Any, NamedTuple

from flyroom.cluster._likeness import Refused, ask, complaints, description
from flyroom.cluster._parcel import first_line, packed
from flyroom.records import Cell, Result

IN_FLIGHT = 2  # cells a worker: one that runs, and one that is there when it ends


class Flight(NamedTuple):
    """A cell on its way."""

    future: Any
    cell: Cell
    deaths: int  # of workers that had the cell, in an earlier try


def stream(
    client: Any, address: str, work: Callable[[Cell], list[Result]], cells: Iterable[Cell]
) -> Iterator[tuple[Cell, list[Result] | Exception]]:
    """Send cells, a bounded number at a time, and give each one's outcome as soon as it is there."""
    from distributed import KilledWorker, as_completed

    # A lambda is sent by value, so a worker without this file says so.
    task = lambda *given: import_module("flyroom.cluster._worker").run_cell(*given)  # noqa: E731
    sent, wanted = packed(work), description()
    sweep, numbers, fresh = uuid.uuid4().hex, count(), iter(cells)
    done = as_completed(loop=client.loop, with_results=True, raise_errors=False)
    flying: dict[str, Flight] = {}
    suspects: deque[tuple[Cell, int]] = deque()
    refused: set[str] = set()

    def launch(cell: Cell, deaths: int = 0) -> None:
        key = f"flyroom-{sweep}-{next(numbers)}"
        given = (sent, pickle.dumps(cell), wanted)
        future = client.submit(task, *given, key=key, pure=False, **_away_from(client, refused))
        flying[key] = Flight(future, cell, deaths)
        done.add(future)

    try:
        room, look = 0, 0.0
        while True:
            if time.monotonic() >= look:
                room, look = max(1, IN_FLIGHT * len(_present(client)) or room), time.monotonic() + 1
            while len(flying) < room and (cell := next(fresh, None)) is not None:
                launch(cell)
            if not flying and suspects:
                launch(*suspects.popleft())
            if not flying:
                return
            for future, reply in _finished(done):
                _, cell, deaths = flying.pop(future.key)
                future.release()
                if isinstance(reply, CancelledError | FutureCancelled):
                    raise ConnectionError(f"the scheduler at {address} is gone; what came back from it is kept")
                if unlike := _unlike(client, reply):
                    _refuse(client, unlike, refused)
                    launch(cell, deaths)
                elif isinstance(reply, tuple) and isinstance(reply[1], KilledWorker) and not deaths:
                    # Dask suspects every cell that waited on a worker that died: the last word is spoken alone.
                    suspects.append((cell, reply[1].allowed_failures + 1))
                else:
                    yield cell, _outcome(reply, deaths)
    finally:
        with suppress(Exception):  # a scheduler that is gone has nothing to cancel
            client.cancel([one.future for one in flying.values()], force=True)


def _finished(done: Any, at_most_s: float = 1.0) -> list[tuple[Any, Any]]:
    """The futures that have ended, with their results; waits for one, but returns to see who has joined."""
    deadline = time.monotonic() + at_most_s
    while not (batch := done.next_batch(block=False)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return batch


def _present(client: Any) -> list[str]:
    """The addresses of the workers; none where the scheduler does not say so soon."""
    try:
        return list(client.sync(client.scheduler.ncores, callback_timeout=5)) if client.status == "running" else []
    except OSError:
        return []


def _away_from(client: Any, refused: set[str]) -> dict[str, Any]:
    if not refused:
        return {}
    return {"workers": [one for one in _present(client) if one not in refused] or None, "allow_other_workers": True}


def _unlike(client: Any, reply: Any) -> dict[str, str]:
    """The workers that must not be used, if that is what this reply says, and why."""
    if isinstance(reply, dict):
        return reply.get("refused", {})
    return complaints(ask(client)) if isinstance(reply[1], ImportError) else {}


def _refuse(client: Any, unlike: dict[str, str], refused: set[str]) -> None:
    """Go on without workers that joined later and are not like this process; Refused where there is no other."""
    for worker in unlike.keys() - refused:
        warnings.warn(f"{unlike[worker]}; going on without it", RuntimeWarning, stacklevel=3)
    refused.update(unlike)
    if not set(_present(client)) - refused:
        raise Refused(next(iter(unlike.values())))


def _outcome(reply: Any, deaths: int) -> list[Result] | Exception:
    """What a cell came to, in this process's objects."""
    from distributed import KilledWorker

    if isinstance(reply, dict) and "done" in reply:
        try:
            return pickle.loads(reply["done"])
        except Exception as error:  # of a type that only the worker has
            return RuntimeError(f"the results cannot be read here ({type(error).__name__}: {first_line(error)})")
    if isinstance(reply, dict):
        return _error(*reply["failed"])
    error = reply[1]
    if isinstance(error, KilledWorker):
        alone = error.allowed_failures + 1
        return RuntimeError(
            f"the cell killed its worker {deaths + alone} times, the last {alone} times with nothing beside it; "
            "memory that runs out is the usual cause"
        )
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


def _error(name: str, text: str, sent: bytes | None) -> Exception:
    with suppress(Exception):  # a type that only the worker has
        found = pickle.loads(sent or b"")
        if isinstance(found, Exception):
            return found
        return RuntimeError(f"the cell ended its worker's work ({name}: {text})")
    return type(name, (RuntimeError,), {})(text)
