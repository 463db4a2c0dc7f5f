"""The benchmark's four networks in PyTorch, as the published notebooks train them: Adam at its defaults."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers import Slice
from flyroom.data import mnist1d

NETWORKS = ("mnist1d-linear", "mnist1d-mlp", "mnist1d-cnn", "mnist1d-gru")


def network(name: str) -> Any:
    """The network of that name as a PyTorch module on [batch, 40]."""
    import torch

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(40, 100), torch.nn.Linear(100, 100)
            self.last = torch.nn.Linear(100, 10)

        def forward(self, x: Any) -> Any:
            hidden = torch.relu(self.first(x))
            return self.last(hidden + torch.relu(self.second(hidden)))

    class GRU(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(1, 6, batch_first=True, bidirectional=True)
            self.last = torch.nn.Linear(480, 10)

        def forward(self, x: Any) -> Any:
            return self.last(self.gru(x[..., None])[0].flatten(1))

    def convolution(inputs: int, kernel: int) -> Any:
        return torch.nn.Sequential(torch.nn.Conv1d(inputs, 25, kernel, stride=2, padding=1), torch.nn.ReLU())

    if name == "mnist1d-linear":
        return torch.nn.Linear(40, 10)
    if name == "mnist1d-mlp":
        return Residual()
    if name == "mnist1d-gru":
        return GRU()
    layers = (convolution(1, 5), convolution(25, 3), convolution(25, 3), torch.nn.Flatten(), torch.nn.Linear(125, 10))
    return torch.nn.Sequential(torch.nn.Unflatten(1, (1, 40)), *layers)


def classifier(module: Any, x: np.ndarray, y: np.ndarray, batch: int = 100, rate: float = 1e-2) -> Callable[[], None]:
    """One step of a classifier in contiguous batches: forward, cross-entropy, backward, `torch.optim.Adam`."""
    import torch

    inputs, targets = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y)
    optimiser = torch.optim.Adam(module.parameters(), rate)
    place = 0

    def step() -> None:
        nonlocal place
        optimiser.zero_grad()
        taken = slice(place, place + batch)
        torch.nn.functional.cross_entropy(module(inputs[taken]), targets[taken]).backward()
        optimiser.step()
        place = (place + batch) % (len(inputs) // batch * batch)

    return step


def slices() -> list[Slice]:
    """Each network, on plain and shuffled signals, ten seeds of 6000 steps."""

    def build(name: str) -> Callable[[], None]:
        data = mnist1d.make()
        return classifier(network(name), data.x_train, data.y_train)

    return [
        Slice(
            name.removeprefix("mnist1d-"),
            lambda name=name: build(name),
            2 * 10 * 6000,
            lambda run, name=name: run.settings["net"] == name,
        )
        for name in NETWORKS
    ]


if __name__ == "__main__":
    import time

    for one in slices():
        step = one.build()
        step()
        start = time.perf_counter()
        for _ in range(20):
            step()
        print(f"{one.name}: {(time.perf_counter() - start) / 20 * 1e6:.0f} us a step")
