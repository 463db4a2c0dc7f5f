"""The MLP and the CNN of the translation claim in PyTorch: Adam at its defaults."""

from collections.abc import Callable

from benchmarks.peers import Slice
from benchmarks.peers.spatial_prior import classifier, network
from flyroom.claims import translation
from flyroom.data import mnist1d


def slices() -> list[Slice]:
    """Each network with all its settings and seeds."""

    def build(name: str) -> Callable[[], None]:
        data = mnist1d.make_indexed(5000)
        return classifier(network(name), data.x_train, data.y_train)

    settings = translation.Settings()
    trained = [cell.runs[0].settings["net"] for cell in translation.cells(settings) for _ in cell.runs]
    return [
        Slice(
            name.removeprefix("mnist1d-"),
            lambda name=name: build(name),
            trained.count(name) * settings.steps,
            lambda run, name=name: run.settings["net"] == name,
        )
        for name in translation.NETS
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
