"""What a worker process of this machine does at its start: Dask runs this file in each, a restarted one as well."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which the terminal sends to every process, to the one that started the workers: it ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
