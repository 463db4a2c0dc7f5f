"""How long PyTorch takes for the same step, in the way of the published notebooks: one network, eager, Adam."""

import time
from typing import Any

import numpy as np

from flyroom.records import Dataset

ROUNDS, STEPS = 7, 12


def seconds_per_step(data: Dataset) -> dict[str, list[float]]:
    """Seconds of one training step of the CNN and of the GRU in each of seven rounds, the two in turn.

    One thread (more gain nothing at these sizes); batch 100; forward, cross-entropy, backward, Adam at its defaults.
    The first round, which warms up, is left out.
    """
    import torch

    class GRU(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(1, 6, batch_first=True, bidirectional=True)
            self.last = torch.nn.Linear(480, 10)

        def forward(self, x: Any) -> Any:
            return self.last(self.gru(x[:, 0, :, None])[0].flatten(1))

    def convolution(*shape: int) -> Any:
        return torch.nn.Sequential(torch.nn.Conv1d(*shape, stride=2, padding=1), torch.nn.ReLU())

    cnn = torch.nn.Sequential(
        convolution(1, 25, 5),
        convolution(25, 25, 3),
        convolution(25, 25, 3),
        torch.nn.Flatten(),
        torch.nn.Linear(125, 10),
    )
    x = torch.from_numpy(data.x_train[:, None].astype(np.float32))
    y = torch.from_numpy(data.y_train)

    def seconds(net: Any) -> float:
        optimiser = torch.optim.Adam(net.parameters(), 1e-2)
        start = time.perf_counter()
        for step in range(STEPS):
            taken = slice(100 * step, 100 * (step + 1))
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x[taken]), y[taken]).backward()
            optimiser.step()
        return (time.perf_counter() - start) / STEPS

    gru, threads = GRU(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rounds = [(seconds(cnn), seconds(gru)) for _ in range(ROUNDS + 1)][1:]
    finally:
        torch.set_num_threads(threads)
    return {"cnn": [c for c, _ in rounds], "gru": [g for _, g in rounds]}
