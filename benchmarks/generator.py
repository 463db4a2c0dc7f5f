"""How fast MNIST-1D is made: the reference package, both streams here, and the draws alone that bound them.

    python benchmarks/generator.py            a table
    python benchmarks/generator.py --json     the same as JSON

Everything is timed in one process, and nothing in it uses a second thread; the reference and the canonical stream
take turns at the same arguments. A limit is the time of drawing the normals alone (two for each point and sample)
with the generator that the stream uses: no implementation that draws from it can be faster.
"""

import argparse
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from flyroom.data import mnist1d

NORMALS = 2 * 72  # of one sample


def seconds(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def against_reference(samples: int, turns: int) -> tuple[float, float]:
    """Microseconds a sample of the reference and of the canonical stream: the best of some turns, taken in turn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    vars(arguments)["num_samples"] = samples
    theirs, ours = [], []
    made: dict[str, Any] = {}
    mnist1d.make(num_samples=10)
    for _ in range(turns):
        theirs.append(seconds(lambda: made.update(theirs=make_dataset(arguments))))
        ours.append(seconds(lambda: made.update(ours=mnist1d.make(num_samples=samples))))
        if not np.array_equal(made["theirs"]["x"], made["ours"].x_train):
            raise SystemExit("the canonical stream differs from the reference; no timing means anything")
    return min(theirs) / samples * 1e6, min(ours) / samples * 1e6


def indexed(samples: int) -> tuple[float, float]:
    """Microseconds a sample of a stream in batches of 1000, and by how many megabytes peak memory grew meanwhile."""
    stream = mnist1d.stream("benchmark")
    stream[:5000]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = seconds(lambda: [batch.y[0] for batch in stream.batches(1000, stop=samples)])
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / 1e6
    return taken / samples * 1e6, growth


def limits(samples: int) -> tuple[float, float]:
    """Microseconds for the normals of a sample, best of five: NumPy's legacy generator, and Philox."""
    legacy, philox = np.random.RandomState(0), np.random.Generator(np.random.Philox(0))
    block = np.empty((500, NORMALS))
    old = min(seconds(lambda: [legacy.standard_normal(NORMALS) for _ in range(samples)]) for _ in range(5))
    new = min(seconds(lambda: [philox.standard_normal(out=block) for _ in range(samples // 500)]) for _ in range(5))
    return old / samples * 1e6, new / (samples // 500 * 500) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5000, help="of the set that the reference makes as well")
    parser.add_argument("--indexed", type=int, default=1_000_000, help="samples of the indexed stream")
    parser.add_argument("--turns", type=int, default=3, help="turns of reference and canonical stream")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()

    streamed, growth = indexed(asked.indexed)  # first: the others' peaks would hide its own
    reference, canonical = against_reference(asked.samples, asked.turns)
    legacy, philox = limits(5000)
    figures = {
        "samples": asked.samples,
        "indexed_samples": asked.indexed,
        "reference_us": reference,
        "canonical_us": canonical,
        "canonical_ratio": reference / canonical,
        "indexed_us": streamed,
        "indexed_ratio": reference / streamed,
        "indexed_peak_memory_growth_mb": growth,
        "legacy_normals_us": legacy,
        "philox_normals_us": philox,
    }
    if asked.json:
        print(json.dumps(figures))
        return
    rows = [
        ("reference package", asked.samples, reference),
        ("canonical stream", asked.samples, canonical),
        ("  its normals alone (legacy generator)", 5000, legacy),
        ("indexed stream, float32", asked.indexed, streamed),
        ("  its normals alone (Philox)", 5000, philox),
    ]
    print(f"{'one thread':<40}{'samples':>10}{'us a sample':>13}{'reference / this':>18}")
    for name, samples, microseconds in rows:
        print(f"{name:<40}{samples:>10,}{microseconds:>13.2f}{reference / microseconds:>17.1f}x")
    print(f"peak memory grew by {growth:.1f} MB over the {asked.indexed:,} samples of the indexed stream")


if __name__ == "__main__":
    main()
