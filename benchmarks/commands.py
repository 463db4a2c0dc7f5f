"""How long whole commands take, from a cold start: a new process, an empty store, nothing compiled before.

    python benchmarks/commands.py [--json]

About three minutes on two cores. `flyroom run` is the default run: 80 networks, a verdict, a page.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = (  # words, repetitions, what was asked for in seconds
    (("--help",), 15, 0.3),
    (("run", "--help"), 15, 0.3),
    (("run", "--quick"), 2, 20),
    (("run",), 1, 120),
)


def seconds(words: tuple[str, ...]) -> tuple[float, float]:
    """Wall and processor seconds of one command in an empty directory."""
    with tempfile.TemporaryDirectory() as directory:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-m", "flyroom", *words], cwd=directory, check=True, capture_output=True)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description="How long whole commands take, from a cold start.")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    as_json = parser.parse_args().json
    rows = []
    for words, repetitions, asked in COMMANDS:
        taken = [seconds(words) for _ in range(repetitions)]
        walls = [wall for wall, _ in taken]
        cpu = statistics.median(cpu for _, cpu in taken)
        row = {"command": " ".join(("flyroom", *words)), "minimum_s": min(walls), "median_s": statistics.median(walls)}
        rows.append({**row, "cpu_s": cpu, "asked_s": asked, "n": repetitions})
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}")
    print(f"{'command':22}{'minimum':>9}{'median':>9}{'cpu':>9}{'asked':>9}   seconds")
    for row in rows:
        times = "".join(f"{row[name]:9.2f}" for name in ("minimum_s", "median_s", "cpu_s", "asked_s"))
        print(f"{row['command']:22}{times}   n = {row['n']}")


if __name__ == "__main__":
    main()
