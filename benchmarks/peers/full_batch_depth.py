"""The networks of notebook 20.2 in PyTorch: all examples at every step, without momentum and with it."""

from collections.abc import Callable

from benchmarks.peers import Slice
from benchmarks.peers.augmentation import book_network, book_step
from flyroom.claims import full_batch_depth
from flyroom.data import mnist1d
from flyroom.records import Run


def slices() -> list[Slice]:
    """Each depth, both ways, all seeds."""

    def build(layers: int) -> Callable[[], None]:
        data = mnist1d.make()
        labels = full_batch_depth.targets("random", 0)
        rate = settings.learning_rate
        return book_step(book_network(full_batch_depth.WIDTHS[layers]), data.x_train, labels, rate, 0.0, len(labels))

    def stands_for(run: Run, layers: int) -> bool:
        return run.settings["layers"] == layers

    settings = full_batch_depth.Settings()
    steps = settings.runs * settings.epochs + settings.fit_runs * settings.fit_epochs
    return [
        Slice(
            f"{layers} hidden layers",
            lambda layers=layers: build(layers),
            steps,
            lambda run, layers=layers: stands_for(run, layers),
        )
        for layers in full_batch_depth.WIDTHS
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
