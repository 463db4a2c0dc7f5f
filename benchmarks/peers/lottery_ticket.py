"""The lottery-ticket claim the notebook's way: a masked MLP in PyTorch, one network after another.

    python -m benchmarks.peers.lottery_ticket

A run of the claim holds training of two kinds, rounds in batches of 100 and transfers in batches of 500; the steps of
this slice are of both kinds, in the claim's proportion.
"""

import time
from collections.abc import Callable

from benchmarks.peers import Slice
from flyroom.claims.lottery_ticket import Settings, levels
from flyroom.records import Run

TRANSFERS = 5  # trainings on other data of a default seed
RATE, HIDDEN, SPARSITY = 2e-2, 500, 0.92


def sparse_mlp(hidden: int = HIDDEN, sparsity: float = SPARSITY):
    """The benchmark MLP, its parameters multiplied by their masks in each forward pass, as the notebook does it."""
    import torch
    from torch import nn

    class SparseLinear(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.linear = nn.Linear(inputs, outputs)
            count = sum(p.numel() for p in self.parameters())
            self.mask = torch.ones(count)
            scores = torch.cat([p.detach().abs().flatten() for p in self.parameters()])
            self.mask[torch.argsort(scores)[: int(sparsity * count)]] = 0

        def forward(self, x):
            flat, start = self.mask * torch.cat([p.flatten() for p in self.parameters()]), 0
            for p in self.parameters():
                p.data = flat[start : start + p.numel()].reshape(p.shape).data
                start += p.numel()
            return self.linear(x)

    class SparseMLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = SparseLinear(40, hidden), SparseLinear(hidden, hidden)
            self.last = SparseLinear(hidden, 10)

        def forward(self, x):
            h = torch.relu(self.first(x))
            return self.last(h + torch.relu(self.second(h)))

    return SparseMLP()


def step_of(batch: int) -> Callable[[], float]:
    """A function that trains one network by one step and returns the loss before it."""
    import torch

    from flyroom.data import mnist1d

    data = mnist1d.make()
    x, y = torch.tensor(data.x_train, dtype=torch.float32), torch.tensor(data.y_train)
    torch.manual_seed(0)
    net, loss_of, done = sparse_mlp(), torch.nn.CrossEntropyLoss(), [0]
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)

    def step() -> float:
        first = done[0] * batch % len(x)
        done[0] += 1
        loss = loss_of(net(x[first : first + batch]), y[first : first + batch])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return loss.item()

    return step


def slices() -> list[Slice]:
    settings = Settings()
    rounds = sum(map(len, levels(settings))) * settings.steps
    transfers = TRANSFERS * settings.transfer_steps

    def build() -> Callable[[], None]:
        small, large, taken = step_of(settings.batch), step_of(settings.transfer_batch), [0, 0]

        def step() -> None:
            taken[0] += 1
            if taken[1] * (rounds + transfers) < taken[0] * transfers:
                taken[1] += 1
                large()
            else:
                small()

        return step

    return [Slice("rounds and transfers", build, settings.runs * (rounds + transfers), _every_run)]


def _every_run(run: Run) -> bool:
    return run.claim == "lottery-ticket"


if __name__ == "__main__":
    for one in slices():
        step, count = one.build(), 100
        for _ in range(5):
            step()
        start = time.perf_counter()
        for _ in range(count):
            step()
        print(f"{one.name}: {(time.perf_counter() - start) / count:.2e} s a step, {one.steps} steps")
