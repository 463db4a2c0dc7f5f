"""One network trained many times over, and saved: what `flyroom train` does, and measuring commands take from there."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import msgspec
import numpy as np
import optax

from flyroom import losses, plot, stats, train
from flyroom.nets import files
from flyroom.nets.spec import parse
from flyroom.records import Dataset, Json

OPTIMISERS: dict[str, train.Optimiser] = {
    "adam": train.adam,
    "sgd": optax.sgd,
    "momentum": lambda learning_rate: optax.sgd(learning_rate, momentum=0.9),
    "rmsprop": optax.rmsprop,
}
ORDERS = ("contiguous", "shuffled")


@dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers, but for the data."""

    net: str  # a network's text, as `nets.spec.parse` takes it
    learning_rate: float = 0.01
    steps: int = 6000
    batch: int = 100
    runs: int = 1
    seed: int = 0  # of the first network; the others follow
    optimiser: str = "adam"
    order: str = "contiguous"
    every: int = 250  # steps between two points of a curve


def check(plan: Plan, data: Dataset, out: Path) -> None:
    """Say what is wrong before anything is trained: counts, names, inputs that do not fit, a place to write to.

    Raises ValueError, and NotADirectoryError where `out` or a part of its path is a file.
    """
    for name in ("runs", "steps", "every"):
        if getattr(plan, name) < 1:
            raise ValueError(f"{name} is {getattr(plan, name)}; it must be at least 1")
    if plan.seed < 0:
        raise ValueError(f"seed is {plan.seed}; it must be 0 or more")
    if not (math.isfinite(plan.learning_rate) and plan.learning_rate > 0):
        raise ValueError(f"the learning rate is {plan.learning_rate}; it must be finite and above 0, such as 0.01")
    if not 1 <= plan.batch <= len(data.x_train):
        raise ValueError(f"batch is {plan.batch}; {data.name} has {len(data.x_train)} examples, choose 1 to that")
    for given, allowed in ((plan.optimiser, OPTIMISERS), (plan.order, ORDERS)):
        if given not in allowed:
            near = get_close_matches(given, allowed, n=1) or sorted(allowed)
            raise ValueError(f"there is no {given!r}; did you mean {' or '.join(near)}?")
    if not len(data.x_test):
        raise ValueError(f"{data.name} has no test part to measure accuracy on; make it with a smaller train_split")
    for part, x, y in (("training", data.x_train, data.y_train), ("test", data.x_test, data.y_test)):
        if not np.isfinite(x).all():
            raise ValueError(f"the {part} part of {data.name} holds values that are not finite; clean the data first")
        if not 0 <= y.min() <= y.max() < len(data.classes):
            raise ValueError(
                f"the {part} labels of {data.name} run from {y.min()} to {y.max()}, "
                f"but its {len(data.classes)} classes are 0 to {len(data.classes) - 1}"
            )
    check_net(plan.net, data)
    file = next((path for path in (out, *out.parents) if path.exists() and not path.is_dir()), None)
    if file is not None:
        raise NotADirectoryError(f"{file} is a file; the networks need a directory, name another one")


def check_net(net: str, data: Dataset) -> None:
    """Raise ValueError, with near matches, unless `net` names a network that takes these examples to these classes."""
    spec = parse(net)
    if spec.seed is not None:
        raise ValueError(
            f"{net} names a seed, but networks that are trained take theirs from --seed and --runs; leave it out"
        )
    if net.partition(":")[0].startswith(("resnet", "image-cnn")):
        raise ValueError(f"{net} is a network for images, with running statistics; flyroom fit trains it, by a recipe")
    shape = (1, *_flat(data.x_train).shape[1:])
    try:
        outputs = eqx.filter_eval_shape(lambda key, x: spec.init(key)(x), jax.random.key(0), jax.numpy.zeros(shape))
    except Exception as error:  # a network that the user wrote may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{net} does not take the {shape[1]} inputs of {data.name}: {reason}") from error
    if getattr(outputs, "shape", None) != (1, len(data.classes)):
        given = getattr(outputs, "shape", (type(outputs).__name__,))[-1]
        raise ValueError(f"{net} has {given} outputs, but {data.name} has {len(data.classes)} classes")


def train_and_save(
    plan: Plan, data: Dataset, out: Path, progress: Callable[[int], None] | None = None
) -> dict[str, Json]:
    """Train, and write one .safetensors a network, then `curves.json` and `curves.svg`, into the directory `out`.

    As many networks as there are devices are trained together, and saved before the next ones begin. Returns what was
    written: per network its file, seed, final accuracies, the step at which it diverged or None, and its test curve.
    """
    data = replace(data, x_train=_flat(data.x_train), x_test=_flat(data.x_test))
    spec = parse(plan.net)
    seeds = range(plan.seed, plan.seed + plan.runs)
    steps = tuple(sorted({*range(0, plan.steps, plan.every), plan.steps}))
    protocol = train.Protocol(losses.cross_entropy, OPTIMISERS[plan.optimiser], losses.both_parts, steps)
    x, y = train.examples(data)
    shared = train.contiguous(len(x), plan.batch, plan.steps) if plan.order == "contiguous" else None
    held = train.both_parts(data)
    out.mkdir(parents=True, exist_ok=True)
    networks, curves = [], []
    width = len(train.devices())
    for group in (seeds[i : i + width] for i in range(0, len(seeds), width)):
        trained = train.train_many(
            [spec.init(jax.random.key(seed)) for seed in group],
            x,
            y,
            [train.shuffled(len(x), plan.batch, plan.steps, seed) for seed in group] if shared is None else shared,
            protocol,
            learning_rate=plan.learning_rate,
            held=held,
            progress=progress,
        )
        for seed, one in zip(group, trained, strict=True):
            curves.append(train.accuracies(one, data))
            networks.append(_save(plan, data, out, seed, one, curves[-1]))
    written = {"plan": asdict(plan), "data": dict(data.recipe), "step": list(steps), "networks": networks}
    unfinished = out / "curves.json.part"  # NaN, which JSON has not, becomes null
    unfinished.write_bytes(msgspec.json.encode({**written, "curves": curves}))
    unfinished.replace(out / "curves.json")
    figure = plot.save(_figure(plan, data, steps, curves), out / "curves.svg")
    return {**written, "figure": str(figure)}


def _save(
    plan: Plan, data: Dataset, out: Path, seed: int, trained: train.Trained, curves: dict[str, list[float]]
) -> dict[str, Json]:
    found = {
        "seed": seed,
        "test_accuracy": curves["test_accuracy"][-1],
        "train_accuracy": curves["train_accuracy"][-1],
        "diverged_at_step": train.diverged(trained),
    }
    path = out / f"{_stem(plan.net)}-seed{seed}.safetensors"
    files.save(trained.net, plan.net, path, notes={**found, "plan": asdict(plan), "data": data.recipe})
    return {"file": str(path), **found, "curve": curves["test_accuracy"]}


def _flat(x: Any) -> Any:
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _stem(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in text)


def _figure(plan: Plan, data: Dataset, steps: tuple[int, ...], curves: list[dict[str, list[float]]]) -> Json:
    rows = []
    for part in ("train", "test"):
        values = np.array([curve[f"{part}_accuracy"] for curve in curves])
        low, high = np.clip(stats.mean_band(values), 0, 1) if len(values) > 1 else (values[0], values[0])
        place = {"net": part, "data": f"{plan.net} on {data.name}"}
        for i, step in enumerate(steps):
            interval = {"low": float(low[i]), "high": float(high[i])}
            rows.append({**place, "step": step, "mean": float(values[:, i].mean()), **interval})
    return plot.curves(rows, y_title="accuracy", title=f"{plan.runs} x {plan.net}", subtitle="mean with 95 % interval")
