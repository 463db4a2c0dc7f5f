"""Contrastive training as the published notebook does it: PyTorch, views made in NumPy, one network after another."""

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.peers import Slice
from flyroom.records import Run

BATCH, RATE, TEMPERATURE, SEEDS, STEPS = 100, 1e-2, 0.5, 10, 8000
PROJECTORS = {"default": (125, 16), "no projector": (), "deep projector": (125, 125, 125, 16)}


def slices() -> list[Slice]:
    """One slice a variant: its ten networks of 8000 steps; the probes after the training are in none of them."""
    return [
        Slice(f"self-supervised, {variant}", partial(build, widths), SEEDS * STEPS, partial(trains, variant))
        for variant, widths in PROJECTORS.items()
    ]


def trains(variant: str, run: Run) -> bool:
    """Whether this run of ours trains that variant, and does not map it."""
    return run.settings["variant"] == variant and "embedding" not in run.settings


def build(widths: tuple[int, ...], seed: int = 0) -> Callable[[], None]:
    """A step: two augmented views of the next shuffled batch, both through the network, one update of Adam."""
    step = trainer(widths, seed)[0]

    def once() -> None:
        step()

    return once


def trainer(widths: tuple[int, ...], seed: int = 0):
    """(step, network): `step()` trains once and returns the loss as a float."""
    import torch
    from torch import nn

    from flyroom.data import mnist1d

    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    signals = mnist1d.make().x_train
    layers: list[nn.Module] = []
    for inputs, kernel in ((1, 5), (25, 3), (25, 3)):
        layers += [nn.Conv1d(inputs, 25, kernel, stride=2, padding=1), nn.ReLU()]
    layers.append(nn.Flatten())
    inputs = 125
    for i, width in enumerate(widths):
        layers += [nn.Linear(inputs, width), nn.ReLU()] if i < len(widths) - 1 else [nn.Linear(inputs, width)]
        inputs = width
    net = nn.Sequential(*layers)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    batches = iterate(draw, len(signals))
    targets = torch.arange(BATCH)

    def step() -> float:
        chosen = signals[next(batches)]
        views = [torch.tensor(augmented(chosen, draw), dtype=torch.float32)[:, None] for _ in range(2)]
        first, second = nn.functional.normalize(net(torch.cat(views))).chunk(2)
        loss = nn.functional.cross_entropy(first @ second.T / TEMPERATURE, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step, net


def iterate(draw: np.random.Generator, examples: int):
    """Batches of epochs that are shuffled anew, without end."""
    while True:
        order = draw.permutation(examples)
        for first in range(0, examples - BATCH + 1, BATCH):
            yield order[first : first + BATCH]


def augmented(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Mean and slope removed, each signal shifted round by 0 to 9, a slope N(0, 0.04) and an offset N(0, 0.3) added."""
    t = np.arange(x.shape[1]) - (x.shape[1] - 1) / 2
    x = x - x.mean(axis=1, keepdims=True)
    x = x - (x @ t / (t @ t))[:, None] * t
    x = np.stack([np.roll(row, shift) for row, shift in zip(x, draw.integers(0, 10, len(x)), strict=True)])
    return x + draw.normal(0, 0.04, (len(x), 1)) * t + draw.normal(0, 0.3, (len(x), 1))


if __name__ == "__main__":
    for one in slices():
        perform = one.build()
        for _ in range(20):
            perform()
        begun = time.perf_counter()
        for _ in range(200):
            perform()
        print(f"{one.name}: {(time.perf_counter() - begun) / 200 * 1e6:.0f} us a step")
