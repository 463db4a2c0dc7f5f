"""The MLPs of notebooks 9.5 and 8.1 in PyTorch: SGD with momentum, shuffled batches."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.peers import Slice
from flyroom.claims import augmentation
from flyroom.data import mnist1d


def book_network(widths: Sequence[int]) -> Any:
    """Dense layers with ReLU between them, He's uniform first weights, biases at zero."""
    import torch

    layers: list[Any] = []
    for before, after in pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
        torch.nn.init.kaiming_uniform_(layers[-2].weight)
        torch.nn.init.zeros_(layers[-2].bias)
    return torch.nn.Sequential(*layers[:-1])


def book_step(
    module: Any,
    x: np.ndarray,
    y: np.ndarray,
    rate: float,
    momentum: float = 0.9,
    batch: int = 100,
    halve_every: int = 0,
) -> Callable[[], None]:
    """One step in shuffled batches: forward, cross-entropy, backward, `torch.optim.SGD`."""
    import torch

    inputs, targets = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64))
    optimiser = torch.optim.SGD(module.parameters(), rate, momentum=momentum)
    examples = torch.utils.data.TensorDataset(inputs, targets)
    batches = torch.utils.data.DataLoader(examples, batch_size=batch, shuffle=batch < len(y))
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, halve_every or 10**9, 0.5)  # counted in epochs
    left = iter(batches)

    def step() -> None:
        nonlocal left
        taken = next(left, None)
        if taken is None:
            schedule.step()
            left = iter(batches)
            taken = next(left)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(taken[0]), taken[1]).backward()
        optimiser.step()

    return step


def slices() -> list[Slice]:
    """The wide network with all kinds of copies, and that of notebook 8.1."""
    settings = augmentation.Settings()

    def build(widths: tuple[int, ...], halve_every: int) -> Callable[[], None]:
        data = mnist1d.make()
        return book_step(book_network(widths), data.x_train, data.y_train, 0.05, halve_every=halve_every)

    def steps(*kinds: str) -> int:
        return sum(settings.runs * augmentation._steps(kind, settings) for kind in kinds)

    book = augmentation.PERFORMANCE
    return [
        Slice(
            "two layers of 200",
            lambda: build(augmentation.WIDE, 0),
            steps(*augmentation.COPIES),
            lambda run: run.settings["kind"] != book,
        ),
        Slice(
            "two layers of 100",
            lambda: build(augmentation.WIDTHS[book], 10),
            steps(book),
            lambda run: run.settings["kind"] == book,
        ),
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
