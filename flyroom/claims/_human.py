"""What the claim about the human ceiling measures: the reader's record, data, networks, the Bayes classifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from flyroom import train
from flyroom.data import mnist1d
from flyroom.losses import cross_entropy
from flyroom.measure import bayes
from flyroom.nets.conv import CNN
from flyroom.nets.gru import BiGRU
from flyroom.nets.mlp import ResidualMLP
from flyroom.nets.pooling import maximum
from flyroom.nets.residual import ResidualCNN
from flyroom.records import Dataset, Result, Run

# The notebook `building-mnist1d`: five quizzes of a hundred. The files of the first two are one and the same, so that
# 96 + 96 + 97 + 94 of 400 distinct test examples are right.
SEEN = np.concatenate([np.arange(100), np.arange(200, 500)])
RIGHT = 383
# Errors of the reader by class in per cent, as published (the first hundred counted twice).
READER_ERRORS = (5.4, 3.6, 11.9, 0.0, 5.3, 0.0, 0.0, 10.9, 0.0, 7.4)
# Mean and deviation that the published set was normalised by.
PUBLISHED_MOMENTS = (-0.0055075064312771795, 0.15467803420593054)
BLOCK = 2500  # fresh examples a run of the Bayes classifier

NETS: Mapping[str, Callable[..., Any]] = {
    "mlp": ResidualMLP.init,
    "gru": BiGRU.init,
    "cnn": CNN.init,
    "pooling-cnn": partial(CNN.init, channels=(20, 20), kernels=(3, 3), stride=1, padding=1, pooling=maximum, window=2),
    "residual-cnn": partial(ResidualCNN.init, dilations=(1, 2)),
}


@cache
def published(shuffled: bool) -> Dataset:
    return mnist1d.make(shuffle_seq=shuffled)


@cache
def larger(examples: int) -> Dataset:
    """Fresh training examples of the indexed stream, and the published test part in the stream's normalisation."""
    made = mnist1d.make_indexed(num_samples=examples, train_split=1.0)
    known = published(False)
    (mean, deviation), (own_mean, own_deviation) = mnist1d.population_moments(), PUBLISHED_MOMENTS
    x_test = (known.x_test * own_deviation + own_mean - mean) / deviation
    recipe = {**made.recipe, "test": known.recipe}
    return replace(made, x_test=x_test.astype(made.x_train.dtype), y_test=known.y_test, recipe=recipe)


def counts(net: Any, held: tuple[Array, Array, Array]) -> dict[str, Array]:
    """Over the test part: how many are right, how many of those that the reader saw, and the errors of each class."""
    x, y, seen = held
    logits = net(x)
    right = jnp.argmax(logits, axis=1) == y
    found = {"right": jnp.sum(right), "seen_right": jnp.sum(right & seen)}
    found["loss"] = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
    return found | {f"wrong_{label}": jnp.sum(~right & (y == label)) for label in range(10)}


def trained(
    runs: Sequence[Run], data: Dataset, *, steps: int, batch: int, learning_rate: float, moments: tuple[int, ...]
) -> list[Result]:
    """One network a run, trained as the benchmark does it, and what it gets right of the published test part."""
    init = NETS[runs[0].settings["net"]]
    x, y = train.examples(data)
    seen = np.isin(np.arange(len(data.y_test)), SEEN)
    held = (jnp.asarray(data.x_test, np.float32), jnp.asarray(data.y_test, np.int32), jnp.asarray(seen))
    protocol = train.Protocol(cross_entropy, evaluate=counts, evaluate_after=moments)
    nets = [init(jax.random.key(one.seed)) for one in runs]
    order = train.contiguous(len(x), batch, steps)
    ended = train.train_many(nets, x, y, order, protocol, learning_rate=learning_rate, held=held)
    return [_result(run, net, data.y_test, moments) for run, net in zip(runs, ended, strict=True)]


def _result(run: Run, net: train.Trained, labels: Int[np.ndarray, " example"], moments: tuple[int, ...]) -> Result:
    found = net.evaluated
    of_class = np.bincount(labels, minlength=10)
    values = {
        "test_accuracy": int(found["right"][-1]) / len(labels),
        "seen_accuracy": int(found["seen_right"][-1]) / len(SEEN),
    }
    values |= {f"error_{label}": int(found[f"wrong_{label}"][-1]) / int(of_class[label]) for label in range(10)}
    broken = train.diverged(net)
    if broken is None:
        values["train_loss"] = float(np.mean(net.losses[-len(net.losses) // 10 :]))
    else:
        values["diverged_at_step"] = float(broken)
    curve = [int(right) / len(labels) for right in found["right"]]
    return Result(run, values, {"step": [float(step) for step in moments], "test_accuracy": curve})


def bayes_on_published(run: Run, shuffled: bool) -> Result:
    """The Bayes classifier on the published test part; where it is shuffled, it knows the order of positions."""
    data = published(shuffled)
    order = positions(published(False).x_test[0], data.x_test[0])
    classify = bayes.classifier(mnist1d.stream(), moments=PUBLISHED_MOMENTS, positions=order)
    found = classify(data.x_test)
    right = found.argmax(axis=1) == data.y_test
    values = {
        "right": float(right.sum()),
        "count": float(len(right)),
        "seen_right": float(right[SEEN].sum()),
        "expected_right": float(np.exp(found.max(axis=1)).sum()),
    }
    return Result(run, values, {"predicted": found.argmax(axis=1).astype(float).tolist()})


def positions(plain: Float[np.ndarray, " position"], shuffled: Float[np.ndarray, " position"]) -> np.ndarray:
    """The order of one example's positions that makes the other of it, by the ranks of their values."""
    return np.argsort(plain)[np.argsort(np.argsort(shuffled))]


def bayes_on_stream(run: Run) -> Result:
    """The Bayes classifier on fresh examples, a block for each seed.

    `expected_*` use the posterior in place of the labels: what they count in the mean is the same, with less noise.
    """
    source = mnist1d.stream("ceiling", dtype=np.float64)
    x, y = source[run.seed * BLOCK : (run.seed + 1) * BLOCK]
    posterior = np.exp(bayes.classifier(source)(x))
    guess = posterior.argmax(axis=1)
    posterior[np.arange(len(y)), guess] = 0  # what is left is the chance of each class to be missed
    expected_wrong = posterior.sum(axis=0)
    values = {
        "right": float((guess == y).sum()),
        "count": float(len(y)),
        "expected_right": float(len(y) - expected_wrong.sum()),
    }
    for label in range(10):
        of_class = float((y == label).sum())
        values[f"error_{label}"] = float(((guess != y) & (y == label)).sum()) / of_class
        values[f"expected_error_{label}"] = float(expected_wrong[label]) / of_class
    return Result(run, values)
