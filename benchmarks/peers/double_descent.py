"""Double descent the notebook's way: PyTorch, eager, SGD with momentum, batches from a DataLoader.

python -m benchmarks.peers.double_descent
"""

import time
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import numpy as np

from benchmarks.peers import Slice
from flyroom.claims import double_descent as claim
from flyroom.claims._double_descent import EXAMPLES, PROTOCOLS, data
from flyroom.records import Run

WIDTHS = (16, 47, 300)  # of the MLP
CHANNELS = (10, 18, 50)


def network(net: str, size: int) -> Any:
    """The notebook's networks at PyTorch's own first weights."""
    from torch import nn

    if net == "mlp":
        hidden = (nn.Linear(40, size), nn.ReLU(), nn.Linear(size, size), nn.ReLU())
        return nn.Sequential(*hidden, nn.Linear(size, 10))
    layers: list[Any] = [nn.Unflatten(1, (1, 40))]
    for inputs, kernel in ((1, 5), (size, 3), (size, 3)):
        layers += [nn.Conv1d(inputs, size, kernel, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(5 * size, 10))


def build(net: str, size: int) -> Callable[[], None]:
    """A function that takes one step; the batches are a DataLoader's, shuffled each epoch."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    made = data("mnist1d", 0.15, "published", 0, EXAMPLES)
    x, y = torch.from_numpy(made.x_train.astype(np.float32)), torch.from_numpy(made.y_train)
    loader = DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True)
    batches = chain.from_iterable(repeat(loader))
    model = network(net, size)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        batch_x, batch_y = next(batches)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch_x), batch_y).backward()
        optimiser.step()

    return step


def slices() -> list[Slice]:
    """One slice for each compared size; its steps are those of all runs of that size, whatever labels and examples."""
    runs = [run for cell in claim.cells(claim.Settings()) for run in cell.runs]
    steps = PROTOCOLS["mnist1d"].epochs * (EXAMPLES // 100)
    found = []
    for net, sizes in (("mlp", WIDTHS), ("cnn", CHANNELS)):
        for size in sizes:
            stands_for = _chooser(net, size)
            found.append(
                Slice(f"{net.upper()} {size}", _builder(net, size), steps * sum(map(stands_for, runs)), stands_for)
            )
    return found


def _chooser(net: str, size: int) -> Callable[[Run], bool]:
    return lambda run: run.settings["net"] == net and run.settings["size"] == size


def _builder(net: str, size: int) -> Callable[[], Callable[[], None]]:
    return lambda: build(net, size)


if __name__ == "__main__":
    for one in slices():
        step = one.build()
        for _ in range(20):
            step()
        start = time.perf_counter()
        for _ in range(200):
            step()
        print(f"{one.name}: {(time.perf_counter() - start) / 200 * 1e6:.0f} microseconds a step, {one.steps:,} steps")
