"""The pooling networks in PyTorch, as the published notebook trains them: Adam at its defaults."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers import Slice
from benchmarks.peers.spatial_prior import classifier
from flyroom.claims import pooling
from flyroom.data import mnist1d


def network(variant: str) -> Any:
    """The network of that variant as a PyTorch module on [batch, 40]."""
    import torch

    pools: dict[str, Callable[[], Any]] = {
        "max": lambda: torch.nn.MaxPool1d(2),
        "mean": lambda: torch.nn.AvgPool1d(2),
        "l2": lambda: torch.nn.LPPool1d(2, 2),
    }
    stride = 2 if variant == "stride" else 1
    layers: list[Any] = [torch.nn.Unflatten(1, (1, 40))]
    for channels in (1, 20):
        layers += [torch.nn.Conv1d(channels, 20, 3, stride=stride, padding=1), torch.nn.ReLU()]
        layers += [pools[variant]()] if variant in pools else []
    places = 40 if variant == "none" else 10
    return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(20 * places, 10))


def slices() -> list[Slice]:
    """Each variant with all its sizes and seeds; a step costs the same whatever the number of examples."""

    def build(variant: str) -> Callable[[], None]:
        data = mnist1d.make_indexed(2000, train_split=0.5)
        return classifier(network(variant), data.x_train, data.y_train)

    settings = pooling.Settings()
    trained = [cell.runs[0].settings["pooling"] for cell in pooling.cells(settings) for _ in cell.runs]
    return [
        Slice(
            variant,
            lambda variant=variant: build(variant),
            trained.count(variant) * settings.steps,
            lambda run, variant=variant: run.settings["pooling"] == variant,
        )
        for variant in pooling.LABELS
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
