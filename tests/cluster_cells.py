"""Cells for tests of the cluster: some train small networks, the others do what their settings say and leave a trace.

Workers do not find this file under its name, as they would not find a claim in a file of the user's.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import jax

from flyroom import train
from flyroom.data import load
from flyroom.losses import both_parts, cross_entropy
from flyroom.nets.spec import parse
from flyroom.records import Cell, Result, Run

NETS = ("mlp:2-4-2", "mlp:2-2")
PROTOCOL = train.Protocol(cross_entropy, evaluate=both_parts, evaluate_after=(0, 30, 60))


@dataclass(frozen=True)
class Settings:
    learning_rate: float = 0.02


class Odd(Exception):
    """An error that cannot be sent."""

    def __init__(self, first: str, second: str):
        super().__init__(f"{first} and {second}")
        self.lock = threading.Lock()


def training(runs: int = 2) -> list[Cell]:
    data = {"name": "moons", "n": 100, "noise": 0.2}
    return [Cell(tuple(Run("toy", 1, {"net": net}, seed, data) for seed in range(runs))) for net in NETS]


def train_nets(cell: Cell, settings: Settings) -> list[Result]:
    data = load(**cell.runs[0].data)
    init = parse(cell.runs[0].settings["net"]).init
    x, y = train.examples(data)
    trained = train.train_many(
        [init(jax.random.key(one.seed)) for one in cell.runs],
        x,
        y,
        train.contiguous(len(x), 20, 60),
        PROTOCOL,
        learning_rate=settings.learning_rate,
        held=train.both_parts(data),
    )
    return [
        Result(
            one,
            {"devices": float(len(train.devices())), "loss": float(net.losses[-1])},
            train.accuracies(net, data),
            {"losses": net.losses},
        )
        for one, net in zip(cell.runs, trained, strict=True)
    ]


def deeds(folder: Path, words: list[str], seconds: float = 0.02) -> list[Cell]:
    """One cell a word: "work", "die", "raise", "odd", "exit", "lock" (a result that cannot be sent)."""
    data = {"folder": str(folder), "seconds": seconds}
    return [Cell((Run("deed", 1, {"do": word, "number": i}, 0, data),)) for i, word in enumerate(words)]


def do(cell: Cell) -> list[Result]:
    (run,) = cell.runs
    number, word = run.settings["number"], run.settings["do"]
    with (Path(run.data["folder"]) / str(number)).open("a") as trace:
        trace.write(f"{os.getpid()}\n")
    time.sleep(run.data["seconds"])
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "raise":
        raise FloatingPointError(f"cell {number} broke")
    if word == "odd":
        raise Odd("one", "two")
    if word == "exit":
        sys.exit(3)
    if word == "lock":
        return [Result(run, {"number": threading.Lock()})]  # pyright: ignore[reportArgumentType]
    return [Result(run, {"number": float(number), "pid": float(os.getpid())})]


def executions(folder: Path) -> dict[int, list[int]]:
    """Of each cell the processes that began it."""
    return {int(path.name): [int(pid) for pid in path.read_text().split()] for path in folder.iterdir()}
