"""Where cells run when one machine is too small: on the workers of a Dask cluster that this process connects to.

    with connect("tcp://host:8786") as there:
        for cell, outcome in there(work, cells): ...

`there` is to its caller what running cells in this process is: cells go in, results come out as they are finished, and
nobody else writes to the store. A cell is one task. Whatever dies, what came back is kept by the caller, and the same
command runs what is missing. A scheduler executes whatever it is sent: it is for networks whose users trust each other.
"""

import asyncio
import json
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from flyroom.cluster._likeness import Refused, ask, complaints
from flyroom.cluster._parcel import first_line
from flyroom.cluster._stream import stream
from flyroom.records import Cell, Json, Result

__all__ = ["Refused", "There", "connect", "width", "workers"]


class There(partial[Iterator[tuple[Cell, list[Result] | Exception]]]):
    """Where cells run: `there(work, cells)` gives each cell with its results, or with what it raised.

    `width` is how many networks a cell should hold where nothing is known of what they cost.
    """

    width = 4


CONNECT_S = 10.0  # to find a scheduler
FIRST_WORKER_S = 60.0  # for the first worker to appear


@contextmanager
def connect(address: str, first_worker_s: float = FIRST_WORKER_S) -> Iterator[There]:
    """Connect to a scheduler, compare every worker with this process, and give the place where cells run.

    `address` is `tcp://host:8786` (or `tls://`), `file:PATH` of a scheduler file, or `local:N`: N worker processes of
    this machine, one core each, that listen on 127.0.0.1 only and end with the block.

    Raises:
        ImportError: Dask is not installed.
        ValueError: an address of another form.
        Refused: a worker has other versions, other source files, or more than one thread.
        ConnectionError: no scheduler answers within ten seconds; later, from `there`: it is gone.
        TimeoutError: no worker came within `first_worker_s` seconds.
    """
    try:
        import distributed
    except ImportError as error:
        raise ImportError("a cluster needs Dask; install it with: pip install 'flyroom[cluster]'") from error
    with _quiet(), _scheduler(address) as found:
        try:
            if isinstance(found, str):
                # In a thread, because a notebook has a running event loop already.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(asyncio.run, _identify(found)).result()
            client = distributed.Client(found, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {address}; start one with: dask scheduler ({first_line(error)})"
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=first_worker_s)
            except TimeoutError as error:
                raise TimeoutError(
                    f"the scheduler at {address} has had no worker for {first_worker_s:g} s; "
                    "start one on each machine with: dask worker ADDRESS --nworkers CORES --nthreads 1"
                ) from error
            if found := list(complaints(ask(client)).values()):
                raise Refused(found[0] + (f" (and {len(found) - 1} more workers)" if found[1:] else ""))
            yield There(stream, client, address)


async def _identify(address: str) -> None:
    """Hear from the scheduler within ten seconds. A client would wait for ever for what answers and is none."""
    from distributed import Security, rpc

    async with asyncio.timeout(CONNECT_S):
        async with rpc(address, connection_args=Security().get_connection_args("client")) as scheduler:
            await scheduler.identity()


@contextmanager
def _scheduler(address: str) -> Iterator[Any]:
    """What a client connects to: the address that was meant, or a cluster of local processes while it is needed."""
    kind, _, rest = address.partition(":")
    if kind == "local" and rest.isdecimal() and int(rest) > 0:
        from distributed import LocalCluster

        # No limit on memory, as in this process. Two deaths are enough to suspect a cell: it is tried again, alone.
        with LocalCluster(
            n_workers=int(rest),
            threads_per_worker=1,
            host="127.0.0.1",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            preload=["flyroom.cluster._local"],
            scheduler_kwargs={"allowed_failures": 1, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as cluster:
            yield cluster
    elif kind == "file" and rest:
        yield _read_scheduler_file(Path(rest))
    elif rest.startswith("//") and len(rest) > 2:
        yield address
    else:
        raise ValueError(
            f"{address!r} names no cluster; give tcp://HOST:8786, file:PATH of a scheduler file, or local:N for N "
            "processes of this machine"
        )


def _read_scheduler_file(path: Path) -> str:
    """The address in a file that `dask scheduler --scheduler-file` writes, perhaps a moment from now."""
    deadline = time.monotonic() + CONNECT_S
    while True:
        try:
            return json.loads(path.read_text(encoding="utf-8"))["address"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > deadline:
                what = "there is no file" if isinstance(error, FileNotFoundError) else "no scheduler's address is in"
                raise ConnectionError(
                    f"{what} {path}; dask scheduler --scheduler-file {path} writes it ({first_line(error)})"
                ) from error
        time.sleep(0.1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log from the terminal: what it reports comes out as outcomes and errors here."""
    names = ("distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed.")))
    handlers = {one: one.level for name in names for one in logging.getLogger(name).handlers}
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in handlers.items():
            handler.setLevel(level)


def workers(there: There) -> dict[str, dict[str, Json]]:
    """What every worker of a connected cluster says of itself, by address: versions, processor, threads.

    A worker that cannot say it, because it has no flyroom, has the one entry `error`.
    """
    return ask(there.args[0])


def width(claim: ModuleType, cells: Sequence[Cell], workers: int) -> int:
    """How many networks a cell should hold, for `engine.pending`: cells of 1 to 30 s of the one core of a worker.

    Shorter ones cost more than they need, and longer ones lose more when a worker dies. Within these limits there are
    at least four cells a worker, so that all end together. Costs are the claim's own estimate. Raises ValueError for
    fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers; there must be at least 1")
    costs = [claim.cost(run) for cell in cells for run in cell.runs]
    if not costs:
        return 1
    seconds = min(max(sum(costs) / (4 * workers), 1.0), 30.0)
    return max(1, int(seconds / max(costs)))
