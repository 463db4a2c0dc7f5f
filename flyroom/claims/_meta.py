"""What the two claims on learning to learn share: one compiled program a run on each core, and published numbers."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

from flyroom import stats, train
from flyroom.records import Dataset, Statement

MOST_STEPS = 1_000_000  # of one training: its order of batches lies in memory

Program = Callable[[Any, PyTree, PyTree], PyTree]  # of (static, member, shared)


# One member to a core: XLA is not to split its small products over the cores once more.
@partial(
    jax.jit,
    static_argnames=("program", "static", "mesh"),
    compiler_options={"xla_cpu_multi_thread_eigen": False},
)
def _side_by_side(members: PyTree, shared: PyTree, program: Program, static: Hashable, mesh: Mesh) -> PyTree:
    def spread(members, shared):
        return jax.lax.map(lambda member: program(static, member, shared), members)

    run, everywhere = PartitionSpec("run"), PartitionSpec()
    return jax.shard_map(spread, mesh=mesh, in_specs=(run, everywhere), out_specs=run, check_vma=False)(members, shared)


def spread(program: Program, static: Hashable, members: Sequence[PyTree], shared: PyTree) -> list[PyTree]:
    """`program(static, member, shared)` for every member, one after another on each core: NumPy arrays, in order.

    `program` is a module-level function and `static` hashable, so that a program is compiled once. What a member
    gives depends on that member only: on a CPU the bits are the same whatever runs beside it.
    """
    workers = train.devices()
    found = []
    for first in range(0, len(members), len(workers)):
        chosen = list(members[first : first + len(workers)])
        mesh = Mesh(np.array(workers[: len(chosen)]), ("run",))
        stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *chosen)
        results = jax.tree.map(np.asarray, _side_by_side(stacked, shared, program, static, mesh))
        found += [jax.tree.map(lambda leaf, i=i: leaf[i], results) for i in range(len(chosen))]
    return found


def require_batches(settings: Any, data: Dataset, *names: str) -> None:
    """Raise ValueError for a batch that does not fit, and for a training of more than `MOST_STEPS` steps.

    `names` are the settings that count the steps of a training. Nothing of the size of an order is made here.
    """
    for name in names:
        if getattr(settings, name) > MOST_STEPS:
            raise ValueError(f"{name} {getattr(settings, name)} must be at most {MOST_STEPS}; choose fewer")
    train.contiguous(len(data.x_train), settings.batch, 1)


def as_published(
    name: str, sentence: str, values: Sequence[float], published: float, digits: int, unit: str
) -> Statement:
    """A single published number of any unit beside ours: does it lie where one further run of ours would?

    The published number was printed with `digits` decimals, so it is known to half a unit of the last one.
    """
    ours = stats.mean_interval(values)
    return Statement(
        id=name,
        sentence=sentence,
        verdict=stats.published(values, published, 0.5 * 10.0**-digits),
        value=ours.value,
        interval=stats.prediction_interval(values) if len(values) > 1 else None,
        published=f"{published:.{digits}f}",
        evidence=ours.evidence,
        n=len(values),
        unit=unit,
    )
