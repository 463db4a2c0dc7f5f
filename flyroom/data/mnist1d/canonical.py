"""The canonical stream: the data that `mnist1d.data.make_dataset` of the reference package makes, bit for bit.

The reference draws from NumPy's legacy generator, one sample after another, and a rejected draw moves everything
after it. So the drawing here is one sample after another too, in few calls; the arithmetic is done for many samples
at once. The global seed is left alone.

Two facts to know about this stream. The first class begins with the same samples whatever the number of samples is,
so that a larger set of the same seed is not an independent one; and test and training part are normalised together.
Where either matters, take the indexed stream.

Reference: github.com/greydanus/mnist1d, version 0.0.2.post1 of the package.
"""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from flyroom.data.mnist1d import stages
from flyroom.data.mnist1d._arguments import Process, integer, process, sizes
from flyroom.data.mnist1d.stages import Draws, Templates
from flyroom.records import Dataset

CHUNK = 200  # samples whose arrays stay in cache together


class Generated(NamedTuple):
    """All samples in their final order, normalised; `t` is the position axis as the reference scales it."""

    x: Float[np.ndarray, "sample position"]
    y: Int[np.ndarray, " sample"]
    t: Float[np.ndarray, " position"]


def make(
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
) -> Dataset:
    """MNIST-1D as the reference package makes it: `x_train` is `[sample, position]` in float64.

    - `num_samples`: a multiple of 10 (the reference drops the remainder without a word).
    - `train_split`: in (0, 1]; the first `int(num_samples * train_split)` samples are the training part.
    - `template_len`: only makes the signal longer or shorter before subsampling (`template_len + padding[1]` points);
      the templates have twelve points whatever it is.
    - `padding`: (low, high), both included, low <= high.
    - `max_translation`: exclusive: shifts are drawn from 0 to `max_translation - 1`, so 1 means none. A shift of the
      signal's length or more does nothing.
    - `corr_noise_scale`: the deviation before smoothing; after it, 0.3756 of that.
    - `shuffle_seq`: one permutation of the positions, the same for all samples.
    - `seed`: 0 to 2**32 - 1.

    Signals are normalised by the mean and the deviation of all samples, test part included. `extras` holds the
    position axis `t` (divided by the deviation of x, as the reference does) and the templates. **Raises** TypeError
    and ValueError for arguments that the reference mishandles: the sentence says which and what is allowed.

    >>> make(num_samples=100).x_train.shape
    (80, 40)
    """
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
    count = integer("num_samples", num_samples, 1)
    seed = integer("seed", seed, 0, 2**32 - 1)
    templates = stages.templates()
    made = generate(count, checked, seed, templates)
    train, _ = sizes(count, train_split)
    return Dataset(
        name="mnist1d",
        x_train=made.x[:train],
        y_train=made.y[:train],
        x_test=made.x[train:],
        y_test=made.y[train:],
        classes=tuple(str(label) for label in templates.y),
        axes=("position",),
        recipe={
            "name": "mnist1d",
            "stream": "canonical",
            "num_samples": count,
            "train_split": float(train_split),
            **checked.recipe(),
            "seed": seed,
        },
        extras={"t": made.t, "templates_x": templates.x, "templates_t": templates.t, "templates_y": templates.y},
    )


def generate(num_samples: int, process: Process, seed: int, templates: Templates) -> Generated:
    """Every sample of the canonical stream, from any templates.

    **Raises** ValueError if `num_samples` is not a multiple of the number of templates, or if the arguments leave
    signals that cannot be normalised.
    """
    classes = len(templates.y)
    if num_samples % classes:
        below = num_samples - num_samples % classes
        nearest = f"{below} or {below + classes}" if below else f"{classes}"
        raise ValueError(
            f"num_samples={num_samples} is not a multiple of the {classes} classes, and the remainder would be "
            f"dropped; use {nearest}"
        )
    bits = np.random.MT19937()
    state = np.random.RandomState(bits)
    state.seed(seed)
    dilated = stages.dilator(templates.x, process)
    labels = np.repeat(np.arange(classes), num_samples // classes)
    x = np.empty((num_samples, process.final_seq_length))
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, in words
        for start, draws in _drawn(bits, state, num_samples, process):
            part = slice(start, start + len(draws.scales))
            x[part] = stages.signals(dilated(labels[part], draws.paddings), draws, process)
        order = state.permutation(num_samples)
        x = x[order]
        if process.shuffle_seq:
            # Not made contiguous before the moments are taken: the reference sums in this order of memory.
            x = x[..., state.permutation(process.final_seq_length)]
        mean, deviation = x.mean(), x.std()
    if not (np.isfinite(deviation) and deviation > 0):
        raise ValueError(
            f"the signals have standard deviation {deviation:g} and cannot be normalised; "
            "make scale_coeff, corr_noise_scale, iid_noise_scale and shear_scale smaller, or give them some variation"
        )
    t = stages.subsample(stages.subsample(templates.t[None], process.length), process.final_seq_length)[0]
    x -= mean
    x /= deviation
    return Generated(np.ascontiguousarray(x), templates.y[labels[order]], t / deviation)


def _drawn(
    bits: np.random.MT19937, state: np.random.RandomState, count: int, process: Process
) -> Iterator[tuple[int, Draws]]:
    """The draws of `count` samples in chunks, each with the index of its first sample. `state` draws from `bits`.

    Sample i draws, in this order: a uniform for the padding, one for the scale, the shift (an integer, by masking
    and rejecting), 2 * length normals, a uniform for the shear. The shear's uniform and the next sample's first
    draws are consecutive words of the generator, so that they are taken in one call.
    """
    length, low, high = process.length, *process.padding
    top = process.max_translation - 1  # the largest shift
    mask = (1 << top.bit_length()) - 1
    raw, normal = bits.random_raw, state.standard_normal
    words = np.empty((CHUNK + 1, 6 + (top > 0)), np.uint64)  # shear of the sample before, padding, scale, shift
    words[0, 2:] = raw(words.shape[1] - 2)
    normals = np.empty((CHUNK, 2 * length))
    shifts = np.zeros(CHUNK, np.int64)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        for i in range(size):
            if top:
                shift = int(words[i, 6]) & mask
                while shift > top:
                    shift = raw() & mask
                shifts[i] = shift
            normals[i] = normal(2 * length)
            if start + i + 1 < count:
                words[i + 1] = raw(words.shape[1])
            else:
                words[i + 1, :2] = raw(2)
        uniforms = _uniforms(words[: size + 1, :6])
        yield (
            start,
            Draws(
                paddings=low + (uniforms[:-1, 1] * (high - low + 1)).astype(np.int64),
                scales=uniforms[:-1, 2],
                shifts=shifts[:size],
                correlated=normals[:size, :length],
                iid=normals[:size, length:],
                shears=uniforms[1:, 0],
            ),
        )
        words[0] = words[size]


def _uniforms(words: np.ndarray) -> np.ndarray:
    """Doubles in [0, 1) from pairs of 32-bit words, as the Mersenne Twister's authors make them: 53 bits."""
    return ((words[:, 0::2] >> 5) * 67108864.0 + (words[:, 1::2] >> 6)) / 9007199254740992.0


def get_dataset_args(as_dict: bool = False) -> Any:
    """The default arguments under the reference's names: an object with attributes, or a dictionary.

    `url` is where the published set lies; nothing here reads it.

    >>> get_dataset_args().num_samples
    5000
    """
    arguments = {
        "num_samples": 5000,
        "train_split": 0.8,
        "template_len": 12,
        "padding": [36, 60],
        "scale_coeff": 0.4,
        "max_translation": 48,
        "corr_noise_scale": 0.25,
        "iid_noise_scale": 2e-2,
        "shear_scale": 0.75,
        "shuffle_seq": False,
        "final_seq_length": 40,
        "seed": 42,
        "url": "https://github.com/greydanus/mnist1d/raw/master/mnist1d_data.pkl",
    }
    return arguments if as_dict else SimpleNamespace(**arguments)


def make_dataset(args: Any = None, template: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The reference's `make_dataset`, same values and same keys: x, x_test, y, y_test, t, templates.

    `args` has the names of `get_dataset_args`, as attributes (as in the reference) or as a dictionary; all of them
    are needed except `url`, and further ones are ignored. `template` has the keys x `[digit, point]`, t and y. Unlike
    the reference, it leaves the global seeds alone, and raises as `make` does where samples would be dropped.

    >>> sorted(make_dataset(get_dataset_args(as_dict=True) | {"num_samples": 10}))
    ['t', 'templates', 'x', 'x_test', 'y', 'y_test']
    """
    args = get_dataset_args() if args is None else args
    names = [name for name in get_dataset_args(as_dict=True) if name != "url"]
    given = args if isinstance(args, Mapping) else {name: getattr(args, name) for name in names if hasattr(args, name)}
    missing = [name for name in names if name not in given]
    if missing:
        raise TypeError(f"args has no {', '.join(missing)}; start from get_dataset_args() and change what you need")
    shaping = [name for name in names if name not in ("num_samples", "train_split", "seed")]
    checked = process(**{name: given[name] for name in shaping})
    count = integer("num_samples", given["num_samples"], 1)
    train, _ = sizes(count, given["train_split"])
    templates = stages.templates() if template is None else _templates(template)
    made = generate(count, checked, integer("seed", given["seed"], 0, 2**32 - 1), templates)
    return {
        "x": made.x[:train],
        "x_test": made.x[train:],
        "y": made.y[:train],
        "y_test": made.y[train:],
        "t": made.t,
        "templates": templates._asdict() if template is None else template,
    }


def _templates(template: Mapping[str, Any]) -> Templates:
    """Templates from a dictionary of the reference's form, checked."""
    missing = [key for key in ("x", "t", "y") if key not in template]
    if missing:
        raise ValueError(f"template has no {', '.join(missing)}; it needs the keys x, t and y")
    x, t, y = np.asarray(template["x"], float), np.asarray(template["t"], float), np.asarray(template["y"])
    if x.ndim != 2 or t.ndim != 1 or y.ndim != 1 or x.shape != (len(y), len(t)) or x.shape[0] < 1 or x.shape[1] < 2:
        raise ValueError(
            f"template has x of shape {x.shape}, t of shape {t.shape}, y of shape {y.shape}; "
            "x must be [digit, point] with at least two points, t [point], y [digit]"
        )
    if not (np.isfinite(x).all() and np.isfinite(t).all()):
        raise ValueError("template holds NaN or infinite values; give finite numbers")
    if y.dtype.kind not in "iu":
        raise TypeError(f"template has labels y of type {y.dtype}; give whole numbers")
    return Templates(x, t, y)
