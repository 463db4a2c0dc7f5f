"""The networks of the sample-efficiency claim in PyTorch; a step costs the same whatever the number of examples."""

from collections.abc import Callable

from benchmarks.peers import Slice
from benchmarks.peers.spatial_prior import NETWORKS, classifier, network
from flyroom.claims import sample_efficiency
from flyroom.data import mnist1d


def slices() -> list[Slice]:
    """Each network with all its sizes and seeds."""

    def build(name: str) -> Callable[[], None]:
        data = mnist1d.make_indexed(8000, train_split=0.5)
        return classifier(network(name), data.x_train, data.y_train)

    settings = sample_efficiency.Settings()
    trained = [cell.runs[0].settings["net"] for cell in sample_efficiency.cells(settings) for _ in cell.runs]
    return [
        Slice(
            name.removeprefix("mnist1d-"),
            lambda name=name: build(name),
            trained.count(name) * settings.steps,
            lambda run, name=name: run.settings["net"] == name,
        )
        for name in NETWORKS
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
