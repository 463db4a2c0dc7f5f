"""What a worker must share with the process that sends it cells, so that its numbers are the same numbers."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import flyroom
from flyroom import machine
from flyroom.records import Json

COMPARED = ("python", "flyroom", "source", "jax", "jaxlib", "numpy", "equinox", "optax")


class Refused(ValueError):
    """A worker is not like this process, so that its numbers would not be comparable."""


@cache
def _packages() -> dict[str, str]:
    return machine.package_versions()


def description(threads: int = 1) -> dict[str, Json]:
    """What is compared (versions, and the digest of flyroom's source files), and the processor for the record."""
    packages = _packages()
    return {
        **{name: packages.get(name, "none") for name in COMPARED},
        "python": ".".join(packages["python"].split(".")[:2]),
        "flyroom": flyroom.__version__,
        "source": machine.source_digest(),
        "processor": machine.machine()["processor"],
        "threads": threads,
    }


def ask(client: Any) -> dict[str, dict[str, Json]]:
    """The description of every worker by address; `error` in place of it where flyroom is not installed."""
    # A lambda is sent by value, so a worker without this file can answer.
    found = client.run(
        lambda dask_worker: import_module("flyroom.cluster._likeness").description(dask_worker.state.nthreads),
        on_error="return",
    )
    # A worker that died while it was asked is none.
    told = {name: {"error": str(one)} if isinstance(one, ImportError) else one for name, one in found.items()}
    return {name: one for name, one in told.items() if isinstance(one, dict)}


def complaints(found: Mapping[str, Mapping[str, Json]]) -> dict[str, str]:
    """Of each worker that is not like this process a sentence that says in what."""
    said = {name: unlike(name, description(), one) for name, one in found.items()}
    return {name: sentence for name, sentence in said.items() if sentence}


def unlike(worker: str, wanted: Mapping[str, Json], found: Mapping[str, Json]) -> str | None:
    """One sentence on the first thing in which a worker differs; None where it is like this process."""
    if "error" in found:
        return f"worker {worker} cannot import flyroom.cluster ({found['error']}); install flyroom[cluster] there"
    for name in COMPARED:
        ours, theirs = wanted[name], found.get(name)
        if ours == theirs:
            continue
        if name == "source":
            return (
                f"worker {worker} has other source files of flyroom (digest {str(theirs)[:12]}) than this process "
                f"(digest {str(ours)[:12]}); install the same ones in both places"
            )
        return f"worker {worker} has {name} {theirs}, this process has {ours}; install the same version in both places"
    if found.get("threads") != 1:
        return (
            f"worker {worker} has {found.get('threads')} threads, and networks are trained one to a process; "
            "start it with --nthreads 1, and with --nworkers for more cores"
        )
    return None
