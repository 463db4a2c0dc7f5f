"""One network on images, by a recipe: epochs, augmentation, checkpoints that a stopped run goes on from.

`train.py` trains many small networks, one a core. This trains one large one, on all devices that it is given: the batch
is divided over them, and batch norm sees all of it.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from flyroom.data import images
from flyroom.losses import cross_entropy
from flyroom.measure import accuracy
from flyroom.nets.image import ImageCNN
from flyroom.nets.norms import AtInference, absorb
from flyroom.nets.resnet import ResNet
from flyroom.nets.spec import parse
from flyroom.recipes import Recipe
from flyroom.records import Dataset, Measurement

CHECKPOINT = "checkpoint.safetensors"
AT_ONCE = 500  # images of the test part in one batch
PRECISIONS = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclass(frozen=True)
class Fitted:
    """A trained network with its running statistics, its mean training loss in each epoch, and its test accuracy."""

    net: AtInference
    losses: tuple[float, ...]
    test_accuracy: Measurement
    wall_s: float


def examples(data: Dataset) -> tuple[Float[np.ndarray, "train channel row column"], Float[np.ndarray, "test ..."]]:
    """Training and test images as (example, channel, row, column), each channel by its training mean and deviation.

    Raises ValueError for examples that are no images, for values that are not finite, for channels that never vary.
    """
    shape = data.x_train.shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and data.axes and "channel" not in data.axes):
        raise ValueError(f"examples of {data.name} have the shape {shape}; images are (row, column), or channels too")
    place = data.axes.index("channel") + 1 if "channel" in data.axes else None

    def arranged(x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, np.float32)
        return x[:, None] if x.ndim == 3 else (x if place is None else np.moveaxis(x, place, 1))

    train, test = arranged(data.x_train), arranged(data.x_test)
    if not (np.isfinite(train).all() and np.isfinite(test).all()):
        raise ValueError(f"{data.name} holds values that are not finite; clean the data first")
    mean, deviation = train.mean((0, 2, 3), keepdims=True), train.std((0, 2, 3), keepdims=True)
    if not deviation.all():
        raise ValueError(f"a channel of {data.name} never varies, and cannot be normalised")
    return (train - mean) / deviation, (test - mean) / deviation


def first(recipe: Recipe, data: Dataset, seed: int) -> AtInference:
    """The recipe's network for these images and classes, with first weights.

    Raises ValueError for a network that is not for images.
    """
    shape, _ = (part.shape[1:] for part in examples(data))
    init = parse(recipe.net).init
    made = eqx.filter_eval_shape(init, jax.random.key(0))
    net = made.net if isinstance(made, AtInference) else made
    if not isinstance(net, ResNet | ImageCNN):
        raise ValueError(f"{recipe.net!r} is not for images; use a ResNet such as resnet18:cifar, or image-cnn:32-64")
    drawn = init(jax.random.key(seed), channels=shape[0], classes=len(data.classes))  # pyright: ignore[reportCallIssue]
    return drawn if isinstance(drawn, AtInference) else AtInference(drawn, drawn.begin())


def optimiser(recipe: Recipe, steps: int) -> optax.GradientTransformation:
    """Nesterov momentum over one cycle of the rate; decay on arrays of two axes or more."""
    rate = optax.cosine_onecycle_schedule(max(1, steps), recipe.rate, recipe.warm)
    heavy = partial(jax.tree.map, lambda leaf: leaf.ndim > 1)
    return optax.chain(
        optax.add_decayed_weights(recipe.decay, mask=heavy),
        optax.sgd(rate, momentum=recipe.momentum, nesterov=True),
    )


def order(examples: int, batch: int, seed: int, epoch: int) -> Int[np.ndarray, "step batch"]:
    """The batches of one epoch: a function of seed and epoch. What fills no batch is left for the next one."""
    drawn = np.random.default_rng([seed, epoch]).permutation(examples)
    return drawn[: examples // batch * batch].reshape(-1, batch).astype(np.int32)


def augmented(recipe: Recipe, key: PRNGKeyArray, x: images.Images) -> images.Images:
    """The batch as the recipe shows it in training."""
    of_flip, of_crop, of_cutout = jax.random.split(key, 3)
    x = images.flip(of_flip, x) if recipe.flip else x
    return images.cutout(of_cutout, images.crop(of_crop, x, recipe.crop), recipe.cutout)


def loss(recipe: Recipe, precision: str, model: AtInference, x: Array, y: Array) -> tuple[Array, Any]:
    """Cross-entropy of the batch, and the running statistics after it. Weights are kept in float32 in any case."""
    kind = PRECISIONS[precision]
    net = jax.tree.map(lambda w: w.astype(kind) if eqx.is_inexact_array(w) and w.ndim > 1 else w, model.net)
    logits, running = net.train(x.astype(kind), model.running)
    return cross_entropy(lambda _: logits.astype(jnp.float32), x, y, recipe.smoothing), running


class Progress(NamedTuple):
    """Where a training stands: what a checkpoint holds."""

    arrays: PyTree  # of the network with its running statistics
    memory: PyTree  # the optimiser's
    losses: tuple[float, ...]  # mean training loss of each epoch so far


def fit(
    recipe: Recipe,
    data: Dataset,
    *,
    seed: int = 0,
    directory: Path | None = None,
    devices: Sequence[Any] | None = None,
    precision: str = "float32",
    progress: Callable[[int, float], None] | None = None,
) -> Fitted:
    """Train one network by a recipe and measure it once, on the test part, at the end.

    With a `directory`, a checkpoint is written there after each epoch, and a call with the same recipe, data and seed
    goes on from it: to the same bits as if it had not been stopped. `devices` share each batch, and must divide it.
    `precision` "bfloat16" computes products in half the bits, for a GPU; weights, norms' statistics and the loss stay
    in float32. `progress(epoch, loss)` is called after each epoch.

    Raises ValueError for data that are no images, counts that do not fit, and a checkpoint of another training.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"there is no precision {precision!r}; choose {' or '.join(PRECISIONS)}")
    chosen = list(devices) if devices is not None else jax.devices()[:1]
    train_x, test_x = examples(data)
    if not 1 <= recipe.batch <= len(train_x) or recipe.batch % len(chosen):
        raise ValueError(
            f"a batch of {recipe.batch} cannot be taken from {len(train_x)} images and divided over {len(chosen)} "
            "devices; choose a multiple of their number that is not larger than the data"
        )
    start = time.perf_counter()
    arrays, rest = eqx.partition(first(recipe, data, seed), eqx.is_array)
    steps = len(train_x) // recipe.batch
    transformation = optimiser(recipe, steps * recipe.epochs)
    state = Progress(arrays, transformation.init(eqx.filter(arrays, eqx.is_inexact_array)), ())
    said = {"recipe": asdict(recipe), "data": dict(data.recipe), "seed": seed, "precision": precision}
    if directory is not None and (directory / CHECKPOINT).exists():
        state = restored(directory / CHECKPOINT, state, said)
    train_epoch = compiled_epoch(recipe, transformation, rest, precision, chosen)
    whole = NamedSharding(_mesh(chosen), PartitionSpec())
    shared = jax.device_put((train_x, np.asarray(data.y_train, np.int32)), whole)
    key = jax.random.key(seed)
    for epoch in range(len(state.losses), recipe.epochs):
        carried = jax.device_put((state.arrays, state.memory), whole)
        taken = order(len(train_x), recipe.batch, seed, epoch)
        (arrays, memory), losses = train_epoch(carried, shared, taken, jax.random.fold_in(key, epoch))
        state = Progress(arrays, memory, (*state.losses, float(np.mean(losses))))
        if directory is not None:
            save(directory / CHECKPOINT, state, said)
        if progress is not None:
            progress(epoch + 1, state.losses[-1])
    net = eqx.combine(jax.tree.map(np.asarray, state.arrays), rest)
    right = accuracy.population_accuracy(scores(recipe, net, test_x), np.asarray(data.y_test))
    return Fitted(net, state.losses, right, time.perf_counter() - start)


def _mesh(devices: Sequence[Any]) -> Mesh:
    return Mesh(np.array(devices), ("batch",))


def compiled_epoch(
    recipe: Recipe, transformation: optax.GradientTransformation, rest: PyTree, precision: str, devices: Sequence[Any]
) -> Callable:
    """The function that trains through one epoch: compiled once, the batch divided over the devices."""
    divided = NamedSharding(_mesh(devices), PartitionSpec("batch"))

    @jax.jit
    def epoch(carried: tuple, shared: tuple, taken: Array, key: PRNGKeyArray) -> tuple:
        x, y = shared

        def update(carry: tuple, inputs: tuple) -> tuple:
            (arrays, memory), (indices, step) = carry, inputs
            batch = jax.lax.with_sharding_constraint(x[indices], divided)
            shown = augmented(recipe, jax.random.fold_in(key, step), batch)

            def of_batch(arrays: PyTree) -> tuple:
                return loss(recipe, precision, eqx.combine(arrays, rest), shown, y[indices])

            (value, running), gradient = jax.value_and_grad(of_batch, has_aux=True)(arrays)
            change, memory = transformation.update(gradient, memory, arrays)
            moved: Any = optax.apply_updates(arrays, change)
            model = absorb(eqx.combine(moved, rest), running)
            return (eqx.filter(model, eqx.is_array), memory), value

        return jax.lax.scan(update, carried, (taken, jnp.arange(len(taken))))

    return epoch


def scores(recipe: Recipe, net: AtInference, x: Float[np.ndarray, "example channel row column"]) -> np.ndarray:
    """Logits of every image; with a recipe that mirrors, the mean of those of the image and of its mirror image."""
    arrays, rest = eqx.partition(net, eqx.is_array)

    @jax.jit
    def of_batch(arrays: PyTree, x: Array) -> Array:
        model = eqx.combine(arrays, rest)
        return (model(x) + model(images.mirrored(x))) / 2 if recipe.flip else model(x)

    found = []
    for start in range(0, len(x), AT_ONCE):
        batch = x[start : start + AT_ONCE]
        filled = np.concatenate([batch, np.zeros((AT_ONCE - len(batch), *x.shape[1:]), x.dtype)])  # one program for all
        found.append(np.asarray(of_batch(arrays, filled))[: len(batch)])
    return np.concatenate(found)


def save(path: Path, state: Progress, said: dict[str, Any]) -> None:
    """A checkpoint, whole or not at all: every array by its place, and what training it belongs to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    leaves = jax.tree.leaves((state.arrays, state.memory))
    arrays = {str(place): np.array(leaf, order="C") for place, leaf in enumerate(leaves)}
    notes = {"training": json.dumps(said, sort_keys=True), "losses": json.dumps(state.losses)}
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        save_file(arrays, unfinished, notes)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def restored(path: Path, state: Progress, said: dict[str, Any]) -> Progress:
    """The state in a checkpoint; ValueError where it belongs to another training, or is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            notes = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is no checkpoint ({error}); remove it to begin anew") from None
    if notes.get("training") != json.dumps(said, sort_keys=True):
        raise ValueError(
            f"{path} belongs to another recipe, data set, seed or precision; give another directory, or remove it"
        )
    leaves, tree = jax.tree.flatten((state.arrays, state.memory))
    shapes = [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in leaves]
    if [(found[str(i)].shape, found[str(i)].dtype) if str(i) in found else None for i in range(len(leaves))] != shapes:
        raise ValueError(f"{path} does not hold the arrays of this training; remove it to begin anew")
    arrays, memory = tree.unflatten([jnp.asarray(found[str(i)]) for i in range(len(leaves))])
    return Progress(arrays, memory, tuple(json.loads(notes["losses"])))
