"""The network of notebook 20.1 in PyTorch: SGD with momentum in shuffled batches; what is random costs nothing."""

from collections.abc import Callable

from benchmarks.peers import Slice
from benchmarks.peers.augmentation import book_network, book_step
from flyroom.claims import random_labels
from flyroom.data import mnist1d


def slices() -> list[Slice]:
    """All three kinds of data with all seeds."""
    settings = random_labels.Settings()

    def build() -> Callable[[], None]:
        data = mnist1d.make()
        net = book_network((40, *(settings.width for _ in range(4)), 10))
        rate, halved = settings.learning_rate, random_labels.HALVED
        return book_step(net, data.x_train, data.y_train, rate, halve_every=halved)

    steps = len(random_labels.KINDS) * settings.runs * settings.epochs * 40
    return [Slice("four layers of 300", build, steps, lambda run: True)]


if __name__ == "__main__":
    import time

    for one in slices():
        step = one.build()
        step()
        start = time.perf_counter()
        for _ in range(20):
            step()
        print(f"{one.name}: {(time.perf_counter() - start) / 20 * 1e6:.0f} us a step")
