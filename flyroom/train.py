"""Training: one network as a pure function, and many of them as the same function, lifted.

`train_one` is the whole idea: a network, an order of batches, a learning rate -> the trained network and what was
recorded on the way, all of it one compiled loop. `train_many` lifts it over a `run` axis. On a CPU each network is
trained by itself on one core, so that its loop stays in that core's cache and its numbers are, bit for bit, those
of the network trained alone; the cores work side by side. On a GPU the same function is vectorised (`jax.vmap`).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from math import log
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree, Shaped

from flyroom.records import Dataset

Net = Any  # an Equinox module
Loss = Callable[[Net, Any, Any], Float[Array, ""] | tuple[Float[Array, ""], Any]]
Optimiser = Callable[[Any], optax.GradientTransformation]


def adam(learning_rate: Any) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) at the defaults that PyTorch shares: decays 0.9 and 0.999, epsilon 1e-8.

    `optax.adam` computes 1 - 0.999^t as it stands, of which float32 keeps four digits in the first steps; losses
    then leave PyTorch's by 1e-5 within ten steps. `expm1` keeps all digits: 3e-7. The memory is the same.
    """

    def init(params):
        zeros = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return optax.ScaleByAdamState(jnp.zeros([], jnp.int32), *zeros)

    def update(updates, state, params=None):
        count = state.count + 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + (1 - 0.9) * g, state.mu, updates)
        square = jax.tree.map(lambda v, g: 0.999 * v + (1 - 0.999) * g * g, state.nu, updates)
        of_mean, of_square = (-jnp.expm1(count * log(decay)) for decay in (0.9, 0.999))
        # In PyTorch's order, and with the divisions by scalars taken out: one division and one root a parameter.
        rate, root = -learning_rate / of_mean, 1 / jnp.sqrt(of_square)
        change = jax.tree.map(lambda m, v: rate * (m / (jnp.sqrt(v) * root + 1e-8)), mean, square)
        return change, optax.ScaleByAdamState(count, mean, square)

    return optax.GradientTransformation(init, update)


class Protocol(NamedTuple):
    """What all networks of one call share. Its functions are compiled once: pass the same ones to every call.

    `evaluate(net, held)` returns a dictionary of numbers (arrays would take memory for every step) and is called after
    `evaluate_after` updates, 0 being the untrained network; `held` is whatever arrays it needs. `keep(net)` is
    remembered before every update and once more at the end: `steps + 1` points of a path.

    Where `after` is given, `loss` returns (value, found), and `after(net, found)` is the network that the next update
    begins with, `net` being the updated one: for arrays that are kept but not learned, such as the running statistics
    of batch norm. It may change floating point arrays only, and cannot move what a mask holds at zero.
    """

    loss: Loss
    optimiser: Optimiser = adam
    evaluate: Callable[[Net, Any], Mapping[str, Shaped[Array, "..."]]] | None = None
    evaluate_after: tuple[int, ...] = ()
    keep: Callable[[Net], PyTree] | None = None
    after: Callable[[Net, Any], Net] | None = None


class Trained(NamedTuple):
    """One trained network: NumPy arrays throughout.

    `memory` is the optimiser's, to go on from; `losses[t]` is the loss of batch t before update t; `evaluated[name][i]`
    belongs to `evaluate_after[i]`; `kept` has `steps + 1` points.
    """

    net: Net
    memory: PyTree
    losses: Float[np.ndarray, " step"]
    evaluated: Mapping[str, Shaped[np.ndarray, "evaluation ..."]]
    kept: PyTree


def contiguous(examples: int, batch: int, steps: int, start: int = 0) -> Int[np.ndarray, "step batch"]:
    """Batches in the order of the data set, round and round: mnist1d's way.

    `start` is the number of batches already taken. Raises ValueError where a batch does not fit.

    >>> contiguous(4, 2, 3).tolist()
    [[0, 1], [2, 3], [0, 1]]
    """
    _check_batches(examples, batch, steps)
    per_epoch = examples // batch
    first = (np.arange(start, start + steps) % per_epoch) * batch
    return (first[:, None] + np.arange(batch)).astype(np.int32)


def shuffled(examples: int, batch: int, steps: int, seed: int) -> Int[np.ndarray, "step batch"]:
    """Batches of epochs that are shuffled anew each time; a pure function of its arguments.

    Each epoch visits every example once but for the remainder that fills no batch, as PyTorch's DataLoader does with
    `shuffle=True, drop_last=True`. Asking for more steps extends the same sequence.
    """
    _check_batches(examples, batch, steps)
    random = np.random.default_rng(seed)
    per_epoch = examples // batch
    epochs = -(-steps // per_epoch)
    order = [random.permutation(examples)[: per_epoch * batch] for _ in range(epochs)]
    taken = np.concatenate(order) if order else np.zeros(0)
    return taken.reshape(-1, batch)[:steps].astype(np.int32)


def _check_batches(examples: int, batch: int, steps: int) -> None:
    if not 1 <= batch <= examples:
        raise ValueError(f"a batch of {batch} cannot be taken from {examples} examples; choose 1 to {examples}")
    if steps < 0:
        raise ValueError(f"{steps} steps is less than none; choose 0 or more")


def train_one(
    net: Net,
    x: Shaped[Array, "example *input"],
    y: Shaped[Array, "example *target"],
    order: Int[Array, "step batch"],
    learning_rate: Float[Array, ""],
    mask: PyTree | None,
    memory: PyTree | None,
    held: PyTree,
    protocol: Protocol,
) -> tuple[Net, PyTree, Float[Array, " step"], Any, Any]:
    """Train one network: a pure function, to be compiled. Step t takes the examples `order[t]`.

    `mask` (a network of zeros and ones) holds parameters at zero: they begin there and are never moved. `memory` is
    the optimiser's from an earlier call, None to begin.
    """
    parameters, rest = eqx.partition(net, eqx.is_inexact_array)
    transformation = protocol.optimiser(learning_rate)
    if mask is not None:
        mask = eqx.filter(mask, eqx.is_array)
        parameters = jax.tree.map(jnp.multiply, parameters, mask)
    if memory is None:
        memory = transformation.init(parameters)

    def loss(parameters, batch_x, batch_y):
        return protocol.loss(eqx.combine(parameters, rest), batch_x, batch_y)

    def evaluate(parameters):
        return {} if protocol.evaluate is None else dict(protocol.evaluate(eqx.combine(parameters, rest), held))

    def keep(parameters):
        return None if protocol.keep is None else protocol.keep(eqx.combine(parameters, rest))

    def absorb(parameters, found):
        if protocol.after is None:
            return parameters
        changed = eqx.filter(protocol.after(eqx.combine(parameters, rest), found), eqx.is_inexact_array)
        return changed if mask is None else jax.tree.map(jnp.multiply, changed, mask)

    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), eqx.filter_eval_shape(evaluate, parameters))
    steps = order.shape[0]
    due = np.isin(np.arange(steps), protocol.evaluate_after)

    def update(carry, inputs):
        parameters, memory = carry
        taken, is_due = inputs
        before = (keep(parameters), jax.lax.cond(is_due, evaluate, lambda _: nothing, parameters))
        has_more = protocol.after is not None
        result, gradient = jax.value_and_grad(loss, has_aux=has_more)(parameters, x[taken], y[taken])
        value, found = result if has_more else (result, None)
        if mask is not None:
            gradient = jax.tree.map(jnp.multiply, gradient, mask)
        change, memory = transformation.update(gradient, memory, parameters)
        return (absorb(optax.apply_updates(parameters, change), found), memory), (value, *before)

    (parameters, memory), (losses, kept, evaluated) = jax.lax.scan(
        update, (parameters, memory), (order, jnp.asarray(due))
    )
    last = [evaluate(parameters)] if steps in protocol.evaluate_after else []
    evaluated = jax.tree.map(lambda rows, *end: jnp.concatenate([rows[due], *(e[None] for e in end)]), evaluated, *last)
    kept = jax.tree.map(lambda rows, end: jnp.concatenate([rows, end[None]]), kept, keep(parameters))
    return eqx.combine(parameters, rest), memory, losses, evaluated, kept


def devices() -> tuple[Any, ...]:
    """The devices that networks are spread over: every core of a CPU, or every GPU."""
    return tuple(jax.devices())


def _show_all_cores() -> None:
    """Let each core of the CPU be a device of its own; JAX takes all of them for one unless told before its first use.

    Done when this file is imported. Where JAX was in use before, its devices stay as they are.
    """
    # An affinity mask is what this process may use; a machine's count is what it has.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


_show_all_cores()


def _lift(platform: str) -> Callable[[Callable], Callable]:
    """From one network to many on one device: `lax.map` on a CPU, `vmap` on a GPU. The only place that decides."""
    if platform == "cpu":
        return lambda function: lambda members: jax.lax.map(function, members)
    return jax.vmap


# One network to a core: XLA is not to split its small products and loops over the cores once more.
@partial(jax.jit, static_argnames=("static", "mesh"), compiler_options={"xla_cpu_multi_thread_eigen": False})
def _train_stacked(members: PyTree, shared: PyTree, static: tuple, mesh: Mesh) -> PyTree:
    rest, own_order, protocol = static
    platform = mesh.devices.flat[0].platform

    def spread(members, shared):
        x, y, order, held = shared

        def one(member):
            net, own, learning_rate, mask, memory = member
            taken = own if own_order else order
            results = train_one(eqx.combine(net, rest), x, y, taken, learning_rate, mask, memory, held, protocol)
            return eqx.filter(results, eqx.is_array)

        return _lift(platform)(one)(members)

    run, everywhere = PartitionSpec("run"), PartitionSpec()
    return jax.shard_map(spread, mesh=mesh, in_specs=(run, everywhere), out_specs=run, check_vma=False)(members, shared)


class Compiled(Exception):
    """Raised by `train_many` under `only_compile`, once its programs are compiled."""


_only_compile: ContextVar[bool] = ContextVar("only_compile", default=False)


@contextmanager
def only_compile() -> Iterator[None]:
    """In this block, and this thread, `train_many` compiles its programs, trains nothing, and raises `Compiled`.

    The same call on any thread then finds them compiled.
    """
    token = _only_compile.set(True)
    try:
        yield
    finally:
        _only_compile.reset(token)


def _stack(trees: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


def _alike(net: Net) -> tuple:
    """What networks must share to be trained by one compiled program: structure, shapes, types, activations."""
    arrays, rest = eqx.partition(net, eqx.is_array)
    leaves, tree = jax.tree.flatten(arrays)
    return (
        tree,
        tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves),
        jax.tree.structure(rest),
        *jax.tree.leaves(rest),
    )


def train_many(
    nets: Sequence[Net],
    x: Shaped[Array | np.ndarray, "example *input"],
    y: Shaped[Array | np.ndarray, "example *target"],
    order: Int[np.ndarray, "step batch"] | Sequence[Int[np.ndarray, "_ _"]],
    protocol: Protocol,
    *,
    learning_rate: float | Sequence[float],
    masks: Sequence[PyTree] | None = None,
    memories: Sequence[PyTree] | None = None,
    held: PyTree = None,
    progress: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Train networks side by side; the results come in the order of `nets`.

    `order` is one array of batches for all or one a network; so are learning rates; `masks` and `memories` (of an
    earlier call, to go on) one a network. Networks of unequal shapes are grouped and compiled group by group, never
    padded. `progress` is called with the number of networks that just finished. A network that diverges ends with
    losses that are not finite; the others are untouched by it.

    A network's numbers depend on its own weights, batches and rate only: on a CPU they are the same bits whatever is
    trained beside it, in whatever order and number, for the losses and layers here. (Under `vmap`, on a GPU, they agree
    to rounding; so they may for a loss of one's own that XLA fuses differently for one core and for two.)

    Raises ValueError for no networks, counts that do not match, batches outside the data, values that are not finite.
    """
    count = len(nets)
    own_order = not (isinstance(order, np.ndarray) and order.ndim == 2)
    orders = [np.asarray(one) for one in order] if own_order else [np.asarray(order)]
    rates = [float(rate) for rate in np.ravel(learning_rate)]
    rates = rates * count if np.ndim(learning_rate) == 0 else rates
    _check_members(count, x, y, orders, own_order, rates, masks, memories)
    _check_moments(protocol.evaluate_after, min(len(one) for one in orders))

    def member(i: int) -> tuple:
        arrays = eqx.filter(nets[i], eqx.is_array)
        dtype = next((leaf.dtype for leaf in jax.tree.leaves(arrays)), np.float32)
        own = orders[i] if own_order else None
        mask = None if masks is None else eqx.filter(masks[i], eqx.is_array)
        return arrays, own, np.asarray(rates[i], dtype), mask, None if memories is None else memories[i]

    groups: dict[tuple, list[int]] = {}
    for i, net in enumerate(nets):
        groups.setdefault((*_alike(net), orders[i].shape if own_order else None), []).append(i)

    shared = (jnp.asarray(x), jnp.asarray(y), None if own_order else jnp.asarray(orders[0]), held)
    trained: dict[int, Trained] = {}
    for indices in groups.values():
        rest = eqx.partition(nets[indices[0]], eqx.is_array)[1]
        workers = devices()
        rounds = -(-len(indices) // len(workers))
        width = -(-len(indices) // rounds) if workers[0].platform == "cpu" else len(workers) * rounds
        mesh = Mesh(np.array(workers[: min(width, len(workers))]), ("run",))
        for first in range(0, len(indices), width):
            chosen = indices[first : first + width]
            filled = chosen + chosen[-1:] * (width - len(chosen))  # a device with nothing to do repeats the last
            inputs = (_stack([member(i) for i in filled]), shared, (rest, own_order, protocol), mesh)
            if _only_compile.get():
                _train_stacked.lower(*inputs).compile()
                continue
            results = _train_stacked(*inputs)
            # To NumPy before anything is taken out of it: indexing a sharded array compiles a program each time.
            results = jax.tree.map(np.asarray, results)
            for place, i in enumerate(chosen):
                net, memory, losses, evaluated, kept = jax.tree.map(lambda leaf, place=place: leaf[place], results)
                trained[i] = Trained(eqx.combine(net, rest), memory, losses, evaluated, kept)
            if progress is not None:
                progress(len(chosen))
    if _only_compile.get():
        raise Compiled
    return [trained[i] for i in range(count)]


def _check_members(count, x, y, orders, own_order, rates, masks, memories) -> None:
    if count == 0:
        raise ValueError("no networks were given; train_many needs at least one")
    if len(x) != len(y) or len(x) == 0:
        raise ValueError(f"{len(x)} inputs and {len(y)} targets were given; both must be equally many, at least one")
    if not np.isfinite(np.asarray(x)).all():
        raise ValueError("the inputs hold values that are not finite (NaN or infinity); clean the data first")
    one_each = {"learning rates": rates, "orders": orders if own_order else None, "masks": masks, "memories": memories}
    for name, given in one_each.items():
        if given is not None and len(given) != count:
            raise ValueError(f"{count} networks were given, but {len(given)} {name}; give one a network")
    if np.issubdtype(np.asarray(y).dtype, np.integer) and int(np.min(y)) < 0:
        raise ValueError(f"the labels begin at {int(np.min(y))}; classes are counted from 0")
    for one in orders:
        if one.ndim != 2 or not np.issubdtype(one.dtype, np.integer):
            raise ValueError(f"an order of batches must be whole numbers (step, batch); got {one.dtype} {one.shape}")
        if one.size and not 0 <= one.min() <= one.max() < len(x):
            raise ValueError(f"batches name examples {one.min()} to {one.max()}, but there are 0 to {len(x) - 1}")
    if not all(np.isfinite(rate) and rate > 0 for rate in rates):
        raise ValueError(f"learning rates {list(rates)} must be finite and above 0")


def _check_moments(evaluate_after: tuple[int, ...], steps: int) -> None:
    if list(evaluate_after) != sorted({moment for moment in evaluate_after if 0 <= moment <= steps}):
        raise ValueError(f"evaluate_after {evaluate_after} must rise from 0 or more to at most {steps} updates")


def diverged(trained: Trained) -> int | None:
    """The first step at which the loss was not finite, or None: a fact to record, not an error."""
    broken = np.flatnonzero(~np.isfinite(trained.losses))
    return int(broken[0]) if len(broken) else None


def examples(dataset: Dataset, dtype: Any = np.float32) -> tuple[Array, Array]:
    """The training part as JAX arrays: x as floating point numbers, labels as int32."""
    return jnp.asarray(dataset.x_train, dtype), jnp.asarray(dataset.y_train, np.int32)


def both_parts(dataset: Dataset, dtype: Any = np.float32) -> tuple[Array, Array, Array]:
    """Both parts in one array, (x, y, is_test): what `losses.both_parts` is held to."""
    x = np.concatenate([dataset.x_train, dataset.x_test]).astype(dtype)
    y = np.concatenate([dataset.y_train, dataset.y_test]).astype(np.int32)
    return jnp.asarray(x), jnp.asarray(y), jnp.asarray(np.arange(len(y)) >= len(dataset.y_train))


def accuracies(trained: Trained, dataset: Dataset) -> dict[str, list[float]]:
    """The curves of a network that was evaluated by `losses.both_parts`: accuracies and losses of both parts."""
    counts = {"train": len(dataset.y_train), "test": len(dataset.y_test)}
    curves = {}
    for part, count in counts.items():
        curves[f"{part}_accuracy"] = [int(right) / count for right in trained.evaluated[f"{part}_right"]]
        curves[f"{part}_loss"] = [float(loss) for loss in trained.evaluated[f"{part}_loss"]]
    return curves
