"""The indexed stream: the same signals without an order. Sample i of (seed, split) is a pure function.

Samples are made in blocks of a fixed size, each from its own counter of a counter-based generator (Philox), so that
any slice, in any order, on any worker, has the same values; a longer set begins with the shorter one; and sets of
different seeds or splits are independent. Signals are normalised by constants of the population, not by moments of
the set. In every ten samples, counted from the first, each class comes once, in random order.

All uniforms and normals are drawn before any argument is applied to them: changing one argument changes only what
that argument does (common random numbers), so that differences between settings are not differences between draws.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flyroom.data.mnist1d import stages
from flyroom.data.mnist1d._arguments import Process, integer, process, sizes
from flyroom.data.mnist1d.moments import moments
from flyroom.data.mnist1d.stages import Draws
from flyroom.records import Dataset

BLOCK = 500  # samples made together; a part of the stream's definition, as is everything in `_draws`


class Examples(NamedTuple):
    """Signals and their labels."""

    x: Any  # [example, position], or [position] for one example
    y: Any  # [example]


@dataclass(frozen=True)
class Stream:
    """An endless sequence of examples: `stream[i]`, `stream[a:b]`, `stream.take(...)`, `stream.batches(...)`.

    Made by `stream(...)`. Holds no data, may be copied to other processes, and compares equal to a stream of the same
    arguments.
    """

    split: str
    seed: int
    dtype: np.dtype
    process: Process

    def __getitem__(self, index: int | np.integer | slice) -> Examples:
        """Example `i`, or examples `a` to `b - 1`. **Raises** IndexError below zero and for a slice without an end."""
        if not isinstance(index, slice):
            x, y = self.take(np.array([_index(index)]))
            return Examples(x[0], y[0])
        start, step = _index(index.start or 0), 1 if index.step is None else index.step
        if index.stop is None:
            raise IndexError("the stream is endless; give the slice an end, or use batches()")
        stop = _index(index.stop)
        if step != 1:
            if step < 1:
                raise IndexError(f"a slice of the stream cannot have step {step}; use take() for another order")
            return self.take(np.arange(start, stop, step))
        return self._between(start, max(start, stop))

    def take(self, indices: Int[np.ndarray, " example"] | list[int]) -> Examples:
        """Any examples in any order, repeated or not. **Raises** IndexError below zero, TypeError for non-integers."""
        wanted = np.asarray(indices, dtype=np.int64 if len(indices) == 0 else None)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise TypeError(f"indices have type {wanted.dtype} and shape {wanted.shape}; give a list of whole numbers")
        if wanted.size and wanted.min() < 0:
            raise IndexError(f"index {wanted.min()} is below zero; the stream is endless and has no end to count from")
        out = self._empty(len(wanted))
        blocks = wanted // BLOCK
        for block in np.unique(blocks):
            rows = np.flatnonzero(blocks == block)
            x, y = _block(self, int(block))
            out.x[rows], out.y[rows] = x[wanted[rows] % BLOCK], y[wanted[rows] % BLOCK]
        return out

    def batches(
        self, size: int, start: int = 0, stop: int | None = None, array: Callable[[np.ndarray], Any] = np.asarray
    ) -> Iterator[Examples]:
        """Batches of `size` examples from `start` on, for ever or up to `stop` (the last may then be shorter).

        `array` makes the arrays: `jax.numpy.asarray`, `torch.from_numpy`, or NumPy's by default.
        """
        size, start = integer("size", size, 1), integer("start", start, 0)
        stop = None if stop is None else integer("stop", stop, 0)
        while stop is None or start < stop:
            end = start + size if stop is None else min(start + size, stop)
            batch = self._between(start, end)
            yield Examples(array(batch.x), array(batch.y))
            start = end

    def build(self, index: int) -> dict[str, Float[np.ndarray, " position"]]:
        """Every stage of one example by name, from the template on. The last, normalised, is `stream[index].x`."""
        block, row = divmod(_index(index), BLOCK)
        labels, draws = _draws(self, block)
        one = Draws(*(draw[row : row + 1] for draw in draws))
        built = stages.build(stages.templates().x[labels[row : row + 1]], one, self.process)
        return {name: x[0] for name, x in built.items()}

    def _between(self, start: int, stop: int) -> Examples:
        """Examples in order: whole blocks straight into place, the ends from the few blocks that are remembered."""
        out = self._empty(stop - start)
        while start < stop:
            block, row = divmod(start, BLOCK)
            end = min(stop, (block + 1) * BLOCK)
            x, y = _block(self, block) if end - start < BLOCK else _made(self, block)
            into = slice(len(out.y) - (stop - start), len(out.y) - (stop - end))
            out.x[into], out.y[into] = x[row : row + end - start], y[row : row + end - start]
            start = end
        return out

    def _empty(self, count: int) -> Examples:
        return Examples(np.empty((count, self.process.final_seq_length), self.dtype), np.empty(count, np.int64))


def stream(
    split: str = "train",
    *,
    seed: int = 42,
    dtype: Any = np.float32,
    template_len: int = 12,
    padding: tuple[int, int] | list[int] = (36, 60),
    scale_coeff: float = 0.4,
    max_translation: int = 48,
    corr_noise_scale: float = 0.25,
    iid_noise_scale: float = 0.02,
    shear_scale: float = 0.75,
    shuffle_seq: bool = False,
    final_seq_length: int = 40,
) -> Stream:
    """An endless stream of MNIST-1D. Any text names a split; splits are independent of each other.

    `dtype` is float32 (the float64 value, rounded once) or float64; the other arguments are those of `make`. With
    `shuffle_seq` one permutation of the positions serves all splits of a seed.

    >>> examples = stream("validation", seed=7)
    >>> examples[10:20].x.shape
    (10, 40)
    >>> sorted(examples[10:20].y.tolist())
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    if not isinstance(split, str) or not split:
        raise TypeError(f"split={split!r} is not a name; give a text such as 'train' or 'test'")
    kind = np.dtype(dtype)
    if kind not in (np.float32, np.float64):
        raise ValueError(f"dtype={kind} is not offered; use float32 or float64")
    checked = process(
        template_len,
        padding,
        scale_coeff,
        max_translation,
        corr_noise_scale,
        iid_noise_scale,
        shear_scale,
        shuffle_seq,
        final_seq_length,
    )
    moments(checked)  # so that signals without variation are refused here
    return Stream(split, integer("seed", seed, 0), kind, checked)


def make_indexed(
    num_samples: int = 5000,
    train_split: float = 0.8,
    template_len: int = 12,
    padding: tuple[int, int] | list[int] = (36, 60),
    scale_coeff: float = 0.4,
    max_translation: int = 48,
    corr_noise_scale: float = 0.25,
    iid_noise_scale: float = 0.02,
    shear_scale: float = 0.75,
    shuffle_seq: bool = False,
    final_seq_length: int = 40,
    seed: int = 42,
    dtype: Any = np.float32,
) -> Dataset:
    """A Dataset from the indexed stream; the arguments are those of `make`, and mean the same.

    The training part is the beginning of the split "train", the test part that of "test", so that a larger set
    contains the smaller one of the same seed, part by part. Any number of samples will do; `int(num_samples *
    train_split)` of them are trained on.

    >>> make_indexed(1000).x_test.shape
    (200, 40)
    """
    arguments = {
        "template_len": template_len,
        "padding": padding,
        "scale_coeff": scale_coeff,
        "max_translation": max_translation,
        "corr_noise_scale": corr_noise_scale,
        "iid_noise_scale": iid_noise_scale,
        "shear_scale": shear_scale,
        "shuffle_seq": shuffle_seq,
        "final_seq_length": final_seq_length,
        "seed": seed,
        "dtype": dtype,
    }
    count = integer("num_samples", num_samples, 1)
    train, test = sizes(count, train_split)
    source = stream("train", **arguments)
    x_train, y_train = source[:train]
    x_test, y_test = stream("test", **arguments)[:test]
    templates = stages.templates()
    return Dataset(
        name="mnist1d",
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=tuple(str(label) for label in templates.y),
        axes=("position",),
        recipe={
            "name": "mnist1d",
            "stream": "indexed",
            "num_samples": count,
            "train_split": float(train_split),
            **source.process.recipe(),
            "seed": source.seed,
            "dtype": str(source.dtype),
        },
        extras={"templates_x": templates.x, "templates_t": templates.t, "templates_y": templates.y},
    )


def population_moments(
    template_len: int = 12,
    padding: tuple[int, int] | list[int] = (36, 60),
    scale_coeff: float = 0.4,
    max_translation: int = 48,
    corr_noise_scale: float = 0.25,
    iid_noise_scale: float = 0.02,
    shear_scale: float = 0.75,
    shuffle_seq: bool = False,
    final_seq_length: int = 40,
) -> tuple[float, float]:
    """Mean and standard deviation of a raw value, exact over the population: what the stream is normalised by.

    At the defaults they are -0.0060506 and 0.1546941 (the canonical set of 5000 has -0.0055075 and 0.1546780).

    >>> mean, deviation = population_moments()
    >>> round(mean, 7), round(deviation, 7)
    (-0.0060506, 0.1546941)
    """
    return moments(
        process(
            template_len,
            padding,
            scale_coeff,
            max_translation,
            corr_noise_scale,
            iid_noise_scale,
            shear_scale,
            shuffle_seq,
            final_seq_length,
        )
    )


def _index(value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"index {value!r} is a {type(value).__name__}; give a whole number or a slice")
    if value < 0:
        raise IndexError(f"index {value} is below zero; the stream is endless and has no end to count from")
    return int(value)


def _generator(seed: int, what: str, block: int) -> np.random.Generator:
    """Philox under a key for (seed, what), its counter far from that of every other block."""
    key = hashlib.sha256(f"flyroom mnist1d indexed 1/{seed}/{what}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little"), counter=[0, 0, 0, block]))


def _draws(source: Stream, block: int) -> tuple[Int[np.ndarray, " example"], Draws]:
    """Labels and draws of one block.

    Normals are drawn position by position, so that a longer signal begins with the noise of a shorter one.
    """
    asked = source.process
    generator = _generator(source.seed, f"split/{source.split}", block)
    labels = generator.random((BLOCK // 10, 10)).argsort(axis=1, kind="stable").ravel()
    padding, scale, shift, shear = generator.random((4, BLOCK))
    normals = generator.standard_normal((asked.length, 2, BLOCK))
    low, high = asked.padding
    return labels, Draws(
        paddings=low + (padding * (high - low + 1)).astype(np.int64),
        scales=scale,
        shifts=(shift * asked.max_translation).astype(np.int64),
        correlated=normals[:, 0].T,
        iid=normals[:, 1].T,
        shears=shear,
    )


def _made(source: Stream, block: int) -> tuple[Float[np.ndarray, "example position"], Int[np.ndarray, " example"]]:
    """One block in float64, normalised."""
    asked = source.process
    labels, draws = _draws(source, block)
    x = stages.signals(_dilator(asked)(labels, draws.paddings), draws, asked)
    mean, deviation = moments(asked)
    x -= mean
    x /= deviation
    return (x[:, _positions(source.seed, asked.final_seq_length)] if asked.shuffle_seq else x), labels


@lru_cache(maxsize=8)
def _block(source: Stream, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, remembered: small batches and single examples ask for the same block again and again."""
    return _made(source, block)


@lru_cache(maxsize=8)
def _dilator(process: Process) -> Callable[..., np.ndarray]:
    return stages.dilator(stages.templates().x, process)


def _positions(seed: int, length: int) -> Int[np.ndarray, " position"]:
    """The order of positions under `shuffle_seq`: of the seed alone, so that all splits agree."""
    return _generator(seed, "positions", 0).random(length).argsort(kind="stable")
