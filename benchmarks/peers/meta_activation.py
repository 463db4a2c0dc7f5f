"""The learned activation the notebook's way: PyTorch, eager, g computed in every step, the whole graph kept.

    python -m benchmarks.peers.meta_activation

A step of this slice is ten inner steps and the way back through them to the parameters of g: a thirtieth of an outer
step of the notebook, whose graph of 301 inner steps holds gigabytes.
"""

import time
from collections.abc import Callable

import numpy as np

from benchmarks.peers import Slice
from flyroom.claims import meta_activation as claim
from flyroom.data import mnist1d
from flyroom.records import Run

UNROLLED = 10  # inner steps a step


def build(steps: int = UNROLLED) -> Callable[[], None]:
    """A function that takes one step; `function.loss` is the mean inner loss of the last one."""
    import torch

    data = mnist1d.make(num_samples=10_000)
    x, y = torch.from_numpy(data.x_train.astype(np.float32)), torch.from_numpy(data.y_train)
    torch.manual_seed(0)

    def vector_of(inputs, hidden, outputs):
        layers = torch.nn.Linear(inputs, hidden), torch.nn.Linear(hidden, outputs)
        vector = torch.cat([p.detach().reshape(-1) for layer in layers for p in layer.parameters()])
        return vector.requires_grad_(), (inputs, hidden, outputs)

    def forward(x, vector, sizes, activation):
        inputs, hidden, outputs = sizes
        w1, b1, w2, b2 = vector.split([inputs * hidden, hidden, hidden * outputs, outputs])
        h = activation(x @ w1.reshape(hidden, inputs).T + b1) + 0.1 * (2 * torch.rand(1, hidden) - 1)
        return h @ w2.reshape(outputs, hidden).T + b2

    curve, curve_sizes = vector_of(1, 100, 1)
    first, sizes = vector_of(40, 128, 10)

    def step() -> None:
        nonlocal curve

        def activation(z):
            bump = forward(z.reshape(-1, 1), curve, curve_sizes, torch.tanh).reshape(z.shape)
            return torch.nn.functional.elu(z) + 0.2 * bump

        vector, squares, losses = first, torch.ones_like(first), []
        for i in range(steps):
            at = (100 * i) % len(x)
            loss = torch.nn.functional.cross_entropy(
                forward(x[at : at + 100], vector, sizes, activation), y[at : at + 100]
            )
            (gradient,) = torch.autograd.grad(loss, vector, create_graph=True)
            squares = 0.4 * squares + 0.6 * gradient**2
            vector = vector - 0.01 * gradient / (torch.sqrt(squares) + 1e-8)
            losses.append(loss)
        mean = torch.stack(losses).mean()
        (outer,) = torch.autograd.grad(mean, curve)
        curve = (curve - 0.3 * outer.clamp(-0.1, 0.1)).detach().requires_grad_()
        vars(step).update(loss=mean.item())

    return step


def stands_for(run: Run) -> bool:
    """Runs that learn an activation; those of fixed ones take seconds."""
    return run.settings["activation"] == "learned"


def slices() -> list[Slice]:
    """One slice: all inner steps of the default run that are differentiated, ten a step."""
    settings = claim.Settings()
    steps = settings.runs * settings.outer_steps * settings.steps // UNROLLED
    return [Slice("ten unrolled inner steps", build, steps, stands_for)]


if __name__ == "__main__":
    for piece in slices():
        take = piece.build()
        take()
        began = time.perf_counter()
        take()
        print(f"{piece.name}: {time.perf_counter() - began:.3f} s a step, {piece.steps} steps; {vars(take)}")
