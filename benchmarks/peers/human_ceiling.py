"""The networks of the claim about the human ceiling in PyTorch, trained as the published notebooks train theirs.

The Bayes classifier has no peer there.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.peers import Slice
from benchmarks.peers.spatial_prior import classifier, network
from flyroom.data import mnist1d

STEPS = 6000
# Networks of a default run: ten for each training set, six of what decides nothing.
COUNTS = {"mlp": 10, "gru": 6, "cnn": 30, "pooling-cnn": 10, "residual-cnn": 16}


def pooling() -> Any:
    """The benchmark's pooling network with maximum pooling, on [batch, 40]."""
    import torch

    def stage(inputs: int) -> list[Any]:
        return [torch.nn.Conv1d(inputs, 20, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool1d(2)]

    last = [torch.nn.Flatten(), torch.nn.Linear(200, 10)]
    return torch.nn.Sequential(torch.nn.Unflatten(1, (1, 40)), *stage(1), *stage(20), *last)


def residual() -> Any:
    """`flyroom.nets.residual.ResidualCNN` with dilations 1 and 2, on [batch, 40]."""
    import torch

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv1d(1, 24, 5, padding=2)
            self.blocks = torch.nn.ModuleList(
                torch.nn.Conv1d(24, 24, 3, padding=dilation, dilation=dilation) for dilation in (1, 1, 2, 2)
            )
            self.last = torch.nn.Linear(24, 10)

        def forward(self, x: Any) -> Any:
            hidden = torch.max_pool1d(torch.relu(self.stem(x[:, None])), 2)
            for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
                hidden = torch.relu(hidden + second(torch.relu(first(hidden))))
            return self.last(hidden.mean(2))

    return Residual()


def module(net: str) -> Any:
    """The network that the claim calls `net`."""
    made = {"pooling-cnn": pooling, "residual-cnn": residual}
    return made[net]() if net in made else network(f"mnist1d-{net}")


def slices() -> list[Slice]:
    """Every network of the claim on the published examples; it takes as long on others."""

    def build(net: str) -> Callable[[], None]:
        data = mnist1d.make()
        return classifier(module(net), data.x_train, data.y_train)

    return [
        Slice(
            net,
            lambda net=net: build(net),
            count * STEPS,
            lambda run, net=net: run.settings["net"] == net,
        )
        for net, count in COUNTS.items()
    ]


if __name__ == "__main__":
    import time

    for one in slices():
        step = one.build()
        step()
        started = time.perf_counter()
        for _ in range(200):
            step()
        print(f"{one.name:13} {(time.perf_counter() - started) / 200:.6f} s a step, {one.steps} steps")
