"""The networks of the discriminative claim in PyTorch: one slice a set and network, Adam at its defaults."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers import Slice
from benchmarks.peers.spatial_prior import classifier
from flyroom.claims import discriminative


def network(net: str, inputs: int, outputs: int) -> Any:
    """The network of that class as a PyTorch module on [batch, inputs]."""
    import torch

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(inputs, 100), torch.nn.Linear(100, 100)
            self.last = torch.nn.Linear(100, outputs)

        def forward(self, x: Any) -> Any:
            hidden = torch.relu(self.first(x))
            return self.last(hidden + torch.relu(self.second(hidden)))

    class GRU(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = torch.nn.GRU(1, 6, batch_first=True, bidirectional=True)
            self.last = torch.nn.Linear(12 * inputs, outputs)

        def forward(self, x: Any) -> Any:
            return self.last(self.gru(x[..., None])[0].flatten(1))

    if net == "linear":
        return torch.nn.Linear(inputs, outputs)
    if net == "mlp":
        return Residual()
    if net == "gru":
        return GRU()
    layers: list[Any] = [torch.nn.Unflatten(1, (1, inputs))]
    places = inputs
    for channels, kernel in ((1, 5), (25, 3), (25, 3)):
        layers += [torch.nn.Conv1d(channels, 25, kernel, stride=2, padding=1), torch.nn.ReLU()]
        places = (places + 2 - kernel) // 2 + 1
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(25 * places, outputs))


def slices() -> list[Slice]:
    """Every trained class on every set, all seeds; kNN is not trained, and has none."""

    def build(name: str, net: str) -> Callable[[], None]:
        data = discriminative._data(name)
        module = network(net, data.x_train.shape[1], len(data.classes))
        return classifier(module, data.x_train, data.y_train)

    settings = discriminative.Settings()
    return [
        Slice(
            f"{name} {net}",
            lambda name=name, net=net: build(name, net),
            settings.runs * settings.steps,
            lambda run, name=name, net=net: run.settings["set"] == name and run.settings["net"] == net,
        )
        for name in discriminative.SETS
        for net in discriminative.classes(name)
        if net != "knn"
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
