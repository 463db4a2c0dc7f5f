"""One network trained many times over, and saved: what `flyroom train` does, and measuring commands take from there."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import msgspec
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
    if not (isfinite(plan.learning_rate) and plan.learning_rate > 0):
        raise ValueError(f"the learning rate is {plan.learning_rate}; it must be finite and above 0, such as 0.01")
    if not 1 <= plan.batch <= len(data.x_train):
        raise ValueError(f"batch is {plan.batch}; {data.name} has {len(data.x_train)} examples, choose 1 to that")
    for given, allowed in ((plan.optimiser, OPTIMISERS), (plan.order, ORDERS)):
        if given not in allowed:
            near = get_close_matches(given, allowed, n=1) or sorted(allowed)
            raise ValueError(f"there is no {given!r}; did you mean {' or '.join(near)}?")
    check_net(plan.net, data)
    file = next((path for path in (out, *out.parents) if path.exists() and not path.is_dir()), None)
    if file is not None:
        raise NotADirectoryError(f"{file} is a file; the networks need a directory, name another one")


def check_net(net: str, data: Dataset) -> None:
    """Raise ValueError, with near matches, unless `net` names a network that takes these examples to these classes."""
    spec = parse(net)
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
    """Train, then write one .safetensors a network, `curves.json` and `curves.svg` into the directory `out`.

    Returns what was written: per network its file, seed, final accuracies, the step at which it diverged or None, and
    its test curve.
    """
    data = replace(data, x_train=_flat(data.x_train), x_test=_flat(data.x_test))
    spec = parse(plan.net)
    seeds = range(plan.seed, plan.seed + plan.runs)
    steps = tuple(sorted({*range(0, plan.steps, plan.every), plan.steps}))
    protocol = train.Protocol(losses.cross_entropy, OPTIMISERS[plan.optimiser], losses.both_parts, steps)
    x, y = train.examples(data)
    if plan.order == "contiguous":
        order: Any = train.contiguous(len(x), plan.batch, plan.steps)
    else:
        order = [train.shuffled(len(x), plan.batch, plan.steps, seed) for seed in seeds]
    trained = train.train_many(
        [spec.init(jax.random.key(seed)) for seed in seeds],
        x,
        y,
        order,
        protocol,
        learning_rate=plan.learning_rate,
        held=train.both_parts(data),
        progress=progress,
    )
    out.mkdir(parents=True, exist_ok=True)
    networks, curves = [], []
    for seed, one in zip(seeds, trained, strict=True):
        found = train.accuracies(one, data)
        network = {
            "file": str(out / f"{_stem(plan.net)}-seed{seed}.safetensors"),
            "seed": seed,
            "test_accuracy": found["test_accuracy"][-1],
            "train_accuracy": found["train_accuracy"][-1],
            "diverged_at_step": train.diverged(one),
            "curve": found["test_accuracy"],
        }
        notes = {key: network[key] for key in ("seed", "test_accuracy", "train_accuracy", "diverged_at_step")}
        files.save(one.net, plan.net, Path(network["file"]), notes={**notes, "plan": asdict(plan), "data": data.recipe})
        networks.append(network)
        curves.append(found)
    written = {"plan": asdict(plan), "data": dict(data.recipe), "step": list(steps), "networks": networks}
    unfinished = out / "curves.json.part"  # NaN, which JSON has not, becomes null
    unfinished.write_bytes(msgspec.json.encode({**written, "curves": curves}))
    unfinished.replace(out / "curves.json")
    figure = plot.save(_figure(plan, data, steps, curves), out / "curves.svg")
    return {**written, "figure": str(figure)}


def _flat(x: Any) -> Any:
    return x.reshape(len(x), -1)


def _stem(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in text)


def _figure(plan: Plan, data: Dataset, steps: tuple[int, ...], curves: list[dict[str, list[float]]]) -> Json:
    rows = []
    for part in ("train", "test"):
        for i, step in enumerate(steps):
            found = stats.mean_interval([curve[f"{part}_accuracy"][i] for curve in curves])
            low, high = found.interval or (found.value, found.value)
            place = {"net": part, "data": f"{plan.net} on {data.name}", "step": step}
            rows.append({**place, "mean": found.value, "low": max(0.0, low), "high": min(1.0, high)})
    return plot.curves(rows, y_title="accuracy", title=f"{plan.runs} x {plan.net}", subtitle="mean with 95 % interval")
