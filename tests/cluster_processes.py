"""A scheduler and workers as they run on other machines: processes of their own, on ports that the system chooses."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import flyroom

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(flyroom.__file__).parents[1])}  # flyroom, and nothing of the tests
ENDS_S = 60.0


def start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A Python process in `folder` that leads a process group of its own."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env=ENVIRONMENT,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process with all its group: a whole machine that is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(ENDS_S)


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, Callable[..., subprocess.Popen[bytes]], subprocess.Popen[bytes]]]:
    """`file:PATH`, a function that starts a worker (its words are options of `dask worker`), and the process."""
    file, started = folder / "scheduler.json", []
    here = ["--host", "127.0.0.1", "--scheduler-file", str(file)]

    def worker(*words: str) -> subprocess.Popen[bytes]:
        options = [*here, "--local-directory", str(folder), "--no-dashboard"]
        if "--nthreads" not in words:
            options += ["--nthreads", "1"]
        started.append(start(["-m", "distributed.cli.dask_worker", *options, *words], folder))
        return started[-1]

    started.append(
        start(
            ["-m", "distributed.cli.dask_scheduler", *here, "--port", "0", "--dashboard-address", "127.0.0.1:0"], folder
        )
    )
    try:
        yield f"file:{file}", worker, started[0]
    finally:
        for process in reversed(started):
            kill(process)


def until(there: Callable[[], Any], what: str) -> Any:
    """Wait for something that another process does."""
    deadline = time.monotonic() + ENDS_S
    while not (found := there()):
        assert time.monotonic() < deadline, f"waited {ENDS_S:.0f} s for {what}"
        time.sleep(0.02)
    return found
