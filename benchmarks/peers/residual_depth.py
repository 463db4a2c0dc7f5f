"""The networks of notebook 11.2 in PyTorch, plain and residual, at each depth: SGD with momentum, shuffled batches."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks.peers import Slice
from benchmarks.peers.augmentation import book_step
from flyroom.claims import residual_depth
from flyroom.data import mnist1d
from flyroom.records import Run


def network(depth: int, skip: str) -> Any:
    """Dense layers of 100 with ReLU before each but the first; `skip` is none, add or mean."""
    import torch

    class Deep(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [40, *(100 for _ in range(depth - 1)), 10]
            pairs = pairwise(widths)
            layers = [torch.nn.Linear(before, after) for before, after in pairs]
            for layer in layers:
                torch.nn.init.kaiming_uniform_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
            self.layers = torch.nn.ModuleList(layers)

        def forward(self, x: Any) -> Any:
            hidden = self.layers[0](x)
            for layer in self.layers[1:-1]:
                change = layer(hidden.relu())
                hidden = {"none": change, "add": hidden + change, "mean": (hidden + change) * 0.5**0.5}[skip]
            return self.layers[-1](hidden.relu())

    return Deep()


def slices() -> list[Slice]:
    """Each depth with each kind of skip, all seeds."""

    def build(depth: int, skip: str) -> Callable[[], None]:
        data = mnist1d.make()
        rate = residual_depth.RATE
        return book_step(network(depth, skip), data.x_train, data.y_train, rate, halve_every=20)

    def stands_for(run: Run, depth: int, skip: str) -> bool:
        return (run.settings.get("depth"), run.settings.get("skip")) == (depth, skip)

    settings = residual_depth.Settings()
    return [
        Slice(
            f"{depth} layers, {residual_depth.LABELS[skip]}",
            lambda depth=depth, skip=skip: build(depth, skip),
            settings.runs * settings.epochs * residual_depth.EPOCH,
            lambda run, depth=depth, skip=skip: stands_for(run, depth, skip),
        )
        for depth in residual_depth.DEPTHS
        for skip in residual_depth.SKIPS
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
