"""The learned learning rate the notebook's way: PyTorch, eager, the graph of 200 steps kept for one way back.

    python -m benchmarks.peers.meta_learning_rate

A step of this slice is one outer step: a training of 200 inner steps, and its derivative with respect to the rate.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.peers import Slice
from flyroom.claims import meta_learning_rate as claim
from flyroom.data import mnist1d
from flyroom.records import Run


def build(steps: int = 200, start: float = claim.BELOW) -> Callable[[], None]:
    """A function that takes one outer step; `function.rate` and `function.loss` are of the last one."""
    import torch

    data = mnist1d.make()
    x, y = torch.from_numpy(data.x_train.astype(np.float32)), torch.from_numpy(data.y_train)
    torch.manual_seed(0)
    layers = torch.nn.Linear(40, 50), torch.nn.Linear(50, 10)
    first = torch.cat([p.detach().reshape(-1) for layer in layers for p in layer.parameters()])
    first.requires_grad_()
    rate = torch.tensor([start], requires_grad=True)

    def logits(vector, x):
        w1, b1, w2, b2 = vector.split([2000, 50, 500, 10])
        return torch.tanh(x @ w1.reshape(50, 40).T + b1) @ w2.reshape(10, 50).T + b2

    def step() -> None:
        nonlocal rate
        vector, losses = first, []
        for i in range(steps):
            at = (50 * i) % len(x)
            loss = torch.nn.functional.cross_entropy(logits(vector, x[at : at + 50]), y[at : at + 50])
            (gradient,) = torch.autograd.grad(loss, vector, create_graph=True)
            vector = vector - rate * gradient
            losses.append(loss)
        mean = torch.stack(losses).mean()
        (outer,) = torch.autograd.grad(mean, rate)
        rate = (rate - 0.3 * outer).detach().requires_grad_()
        vars(step).update(rate=rate.item(), loss=mean.item())

    return step


def stands_for(run: Run) -> bool:
    """Runs that differentiate a training; the grid does not."""
    return run.settings["what"] in ("learn", "map")


def slices() -> list[Slice]:
    """One slice: all outer steps of the default run, the map's seven starts a run included."""
    settings = claim.Settings()
    runs = [run for cell in claim.cells(settings) for run in cell.runs if stands_for(run)]
    starts = sum(len(claim.MAP_STARTS) if run.settings["what"] == "map" else 1 for run in runs)
    return [Slice("outer step", build, starts * settings.outer_steps, stands_for)]


if __name__ == "__main__":
    for piece in slices():
        take = piece.build()
        take()
        began = time.perf_counter()
        take()
        print(f"{piece.name}: {time.perf_counter() - began:.3f} s a step, {piece.steps} steps; {vars(take)}")
