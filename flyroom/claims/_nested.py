"""Training sets that contain each other: what claims about the number of examples share.

The set of n examples is the beginning of the stream "train" of the run's seed, so a larger set contains the smaller one
and no two seeds share an example. One test set, the beginning of the stream "test", serves all of them. (With the
canonical generator a larger set may hold examples of a smaller one's test part.)
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from flyroom import train
from flyroom.claims.statements import bounds, mean_accuracy
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.records import Json, Result, Run

TEST_SEED = 42  # of the stream that the test set is taken from
BLOCK = 1000  # test examples that a network sees at once: hidden signals of 50,000 would not fit into a cache

Process = tuple[tuple[str, Any], ...]  # arguments of `mnist1d.stream` that differ from its defaults


def recipe(n: int, test: int, process: Process = ()) -> dict[str, Json]:
    """What a run's data are: everything but the seed of the training examples, which is the run's."""
    arguments = mnist1d.stream("train", **dict(process)).process.recipe()
    return {
        "name": "mnist1d",
        "stream": "indexed",
        "train": n,
        "train_seed": "the run's",
        "test": test,
        "test_seed": TEST_SEED,
        **arguments,
    }


def require_test(test: int) -> None:
    """Raise ValueError unless the test set is a whole number of blocks."""
    if test < BLOCK or test % BLOCK:
        raise ValueError(f"test {test}: choose a multiple of {BLOCK}, at least {BLOCK}")


@lru_cache(maxsize=24)
def training_set(
    seed: int, n: int, process: Process = ()
) -> tuple[Float[np.ndarray, "n position"], Int[np.ndarray, " n"]]:
    """The first n training examples of a seed."""
    found = mnist1d.stream("train", seed=seed, **dict(process))[:n]
    return found.x, found.y.astype(np.int32)


@lru_cache(maxsize=8)
def test_set(
    count: int, process: Process = ()
) -> tuple[Float[np.ndarray, "count position"], Int[np.ndarray, " count"]]:
    """The first `count` test examples: the same for all seeds."""
    found = mnist1d.stream("test", seed=TEST_SEED, **dict(process))[:count]
    return found.x, found.y.astype(np.int32)


def cyclic(n: int, batch: int, steps: int) -> Int[np.ndarray, "step batch"]:
    """Batches in the order of the data, round and round, across the end of the set.

    Where `batch` divides n it is `train.contiguous`, which otherwise never comes to the remainder. Raises ValueError
    where a batch would hold an example twice.

    >>> cyclic(3, 2, 3).tolist()
    [[0, 1], [2, 0], [1, 2]]
    """
    if not 1 <= batch <= n:
        raise ValueError(f"a batch of {batch} cannot be taken from {n} examples; choose 1 to {n}")
    return (np.arange(steps * batch) % n).reshape(steps, batch).astype(np.int32)


def in_blocks(net: Any, held: tuple[Array, Array]) -> dict[str, Array]:
    """How many test examples are right, and their mean loss; `held` is (x, y), each [block, example, ...]."""

    def block(part: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = part
        logits = net(x)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return jnp.sum(jnp.argmax(logits, axis=1) == y), jnp.mean(losses)

    right, loss = jax.lax.map(block, held)
    return {"test_right": jnp.sum(right), "test_loss": jnp.mean(loss)}


def classifiers(
    runs: Sequence[Run],
    nets: Sequence[eqx.Module],
    n: int,
    *,
    pool: int,
    test: int,
    steps: int,
    batch: int,
    learning_rate: float,
    optimiser: train.Optimiser = train.adam,
    process: Process = (),
) -> list[Result]:
    """Train one classifier a run on the first n examples of its seed's stream, side by side, and test it once.

    `pool` is the largest n of the claim: all sets are taken from arrays of that length, so that one program serves
    every n. Values: `test_accuracy` and `test_loss` after the last update, `train_loss`, the mean over the last hundred
    batches (each before its update), and `diverged_at_step` where a loss was not finite. Raises ValueError for n above
    `pool`.
    """
    if n > pool:
        raise ValueError(f"{n} examples cannot be taken from {pool}")
    sets = [training_set(run.seed, pool, process) for run in runs]
    x, y = (np.concatenate(part) for part in zip(*sets, strict=True))
    order = cyclic(n, batch, steps)
    test_x, test_y = test_set(test, process)
    held = (jnp.asarray(test_x.reshape(-1, BLOCK, test_x.shape[1])), jnp.asarray(test_y.reshape(-1, BLOCK)))
    trained = train.train_many(
        nets,
        x,
        y,
        [order + np.int32(i * pool) for i in range(len(runs))],
        train.Protocol(cross_entropy, optimiser, in_blocks, (steps,)),
        learning_rate=learning_rate,
        held=held,
    )
    return [_result(run, one, test) for run, one in zip(runs, trained, strict=True)]


def _result(run: Run, trained: train.Trained, test: int) -> Result:
    values = {
        "test_accuracy": int(trained.evaluated["test_right"][-1]) / test,
        "test_loss": float(trained.evaluated["test_loss"][-1]),
        "train_loss": float(np.mean(trained.losses[-100:])),
    }
    broken = train.diverged(trained)
    if broken is not None:
        values["diverged_at_step"] = float(broken)
    return Result(run, values)


def point(place: Mapping[str, Json], values: Sequence[float]) -> dict[str, Json]:
    """A row of a figure: the mean accuracy of these runs with its interval."""
    found = mean_accuracy(values)
    return {**place, "mean": found.value, **bounds(found)}


def from_tenth(*accuracies: Iterable[float]) -> tuple[float, float]:
    """The part of the axis from the tenth below the lowest of these accuracies up to 1."""
    lowest = min(value for some in accuracies for value in some)
    return min(0.9, int(10 * lowest) / 10), 1.0
