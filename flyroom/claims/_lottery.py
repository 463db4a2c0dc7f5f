"""Lottery tickets of the benchmark MLP: rounds of training, pruning and rewinding, and tickets on other data.

Source: the notebook `lottery-tickets` of mnist1d (Greydanus and Kobak, ICML 2024, section 4); the method is Frankle
and Carbin's (ICLR 2019), with rewinding to the first weights.

A mask holds parameters at zero for a whole training here: they begin there, and their gradients are multiplied by the
mask. The notebook multiplies in the forward pass only, so that between two steps Adam moves what is cut; the next
forward pass, and the scores of the next round, see zero there all the same. The two are equal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from flyroom import train
from flyroom.losses import both_parts, cross_entropy
from flyroom.measure.sparsity import keep_largest
from flyroom.nets.mlp import ResidualMLP
from flyroom.records import Dataset

Net = Any  # a ResidualMLP, its parameters JAX or NumPy arrays; masks are networks of zeros and ones

REDRAWN = 1000  # added to a seed where first weights are drawn anew
# The notebook's permutation of the positions: NumPy's legacy generator, seed 0.
SHUFFLED = (
    *(22, 20, 25, 4, 10, 15, 28, 11, 18, 29, 27, 35, 37, 2, 39, 30, 34, 16, 36, 8),
    *(13, 5, 17, 14, 33, 7, 32, 1, 26, 12, 31, 24, 6, 23, 21, 19, 9, 38, 3, 0),
)
POSITIONS: Mapping[str, tuple[int, ...]] = {
    "new": tuple(range(40)),
    "redrawn": tuple(range(40)),
    "shuffled": SHUFFLED,
    "flipped": tuple(reversed(range(40))),
    "chunks": (*range(20, 40), *range(0, 20)),
}
CONDITIONS = tuple(POSITIONS)


class Recipe(NamedTuple):
    """How the networks of one call are trained; all of them share it, and so share a compiled program."""

    steps: int
    batch: int
    learning_rate: float
    evaluate_after: tuple[int, ...]


class Outcome(NamedTuple):
    """One trained network: accuracies at the moments of the recipe, the network to rank weights by, its divergence."""

    test_accuracy: list[float]
    ranked: Net
    diverged: bool


class Rounds(NamedTuple):
    """What the rounds of one seed left: test accuracy by sparsity, and the two masks at the ticket's sparsity."""

    magnitude: Mapping[float, float]
    random: Mapping[float, float]
    ticket: Net
    random_mask: Net
    diverged: int  # networks of which a loss was not finite


def first_weights(seed: int, hidden: int) -> ResidualMLP:
    """The network of the benchmark, wider: 276,010 parameters with 500 hidden units."""
    return ResidualMLP.init(jax.random.key(seed), 40, hidden, 10)


def layers(net: Net) -> tuple[Any, Any, Any]:
    """The three dense layers, from the input on."""
    return net.first, net.second, net.last


def magnitudes(net: Net) -> list[Float[np.ndarray, " _"]]:
    """|weight| of each layer, weights row by row and then the biases: PyTorch's order, which decides between ties."""
    return [np.abs(np.concatenate([np.ravel(one.weight), np.ravel(one.bias)])) for one in layers(net)]


def mask_from(net: Net, scores: Sequence[Float[np.ndarray, " _"]], sparsity: float) -> Net:
    """A network of ones and zeros: in every layer, weights and biases ranked together, the lowest scores are cut."""
    leaves = []
    for layer, own in zip(layers(net), scores, strict=True):
        mask, cut = keep_largest(own, sparsity), layer.weight.size
        leaves += [mask[:cut].reshape(layer.weight.shape), mask[cut:]]
    return jax.tree.unflatten(jax.tree.structure(net), leaves)  # weight and bias, layer by layer


def random_mask(net: Net, sparsity: float, seed: int) -> Net:
    """As sparse as `mask_from`, at places drawn uniformly; another draw for each sparsity, whatever the schedule is."""
    random = np.random.default_rng((seed, round(1e6 * sparsity)))
    return mask_from(net, [random.random(scores.size) for scores in magnitudes(net)], sparsity)


def nothing_cut(net: Net) -> Net:
    """Ones throughout: a dense network is trained by the program that trains the masked ones."""
    return mask_from(net, magnitudes(net), 0.0)


def on_positions(data: Dataset, positions: Sequence[int]) -> Dataset:
    """The same examples with their positions in another order: position i holds what was at `positions[i]`."""
    order = list(positions)
    return replace(data, x_train=data.x_train[:, order], x_test=data.x_test[:, order])


def trained(
    nets: Sequence[Net],
    masks: Sequence[Net],
    data: Dataset,
    recipe: Recipe,
    rank_after: int | None = None,
) -> list[Outcome]:
    """Train masked networks side by side, batches in the order of the data.

    `ranked` is the network after `rank_after` updates (after the last one where it is None); training then goes on
    from there, with the optimiser's memory, to the bits that it would have reached at one go.
    """
    x, y = train.examples(data)
    held = train.both_parts(data)
    order = train.contiguous(len(x), recipe.batch, recipe.steps)
    protocol = train.Protocol(cross_entropy, evaluate=both_parts, evaluate_after=recipe.evaluate_after)
    split = rank_after if rank_after is not None and rank_after < recipe.steps else 0
    memories, ranked, broken = None, None, [False] * len(nets)
    if split:
        begun = train.train_many(
            nets,
            x,
            y,
            order[:split],
            protocol._replace(evaluate_after=(), evaluate=None),
            learning_rate=recipe.learning_rate,
            masks=masks,
        )
        nets, memories = [one.net for one in begun], [one.memory for one in begun]
        ranked, broken = nets, [train.diverged(one) is not None for one in begun]
        protocol = protocol._replace(evaluate_after=tuple(m - split for m in recipe.evaluate_after if m >= split))
    ended = train.train_many(
        nets,
        x,
        y,
        order[split:],
        protocol,
        learning_rate=recipe.learning_rate,
        masks=masks,
        memories=memories,
        held=held,
    )
    return [
        Outcome(
            train.accuracies(one, data)["test_accuracy"],
            one.net if ranked is None else ranked[i],
            broken[i] or train.diverged(one) is not None,
        )
        for i, one in enumerate(ended)
    ]


def prune_and_rewind(
    seeds: Sequence[int],
    hidden: int,
    data: Dataset,
    recipe: Recipe,
    *,
    levels: Sequence[float],
    random_levels: Sequence[float],
    rank_after: int,
    ticket: float,
) -> list[Rounds]:
    """Rounds of training at rising sparsity, each begun from the first weights, for several seeds side by side.

    The weights that a round ends with decide what the next one cuts; what is cut stays cut, for it scores zero. The
    first of `levels` is 0, the dense network; `ticket` is one of them. Random masks do not depend on the rounds, and
    are trained at `random_levels`.
    """
    nets = [first_weights(seed, hidden) for seed in seeds]
    current, kept, broken = nets, [nothing_cut(net) for net in nets], np.zeros(len(seeds), int)
    magnitude: list[dict[float, float]] = [{} for _ in seeds]
    random: list[dict[float, float]] = [{} for _ in seeds]

    def one_round(masks: Sequence[Net], level: float, into: Sequence[dict[float, float]]) -> list[Net]:
        outcomes = trained(nets, masks, data, recipe, rank_after)
        for i, one in enumerate(outcomes):
            into[i][level] = one.test_accuracy[-1]
            broken[i] += one.diverged
        return [one.ranked for one in outcomes]

    for level in levels:
        masks = [mask_from(net, magnitudes(net), level) for net in current]
        if level == ticket:
            kept = masks
        current = one_round(masks, level, magnitude)
    for level in random_levels:
        one_round([random_mask(net, level, seed) for net, seed in zip(nets, seeds, strict=True)], level, random)
    at_ticket = [random_mask(net, ticket, seed) for net, seed in zip(nets, seeds, strict=True)]
    return [Rounds(*found) for found in zip(magnitude, random, kept, at_ticket, map(int, broken), strict=True)]


def transfer(
    seeds: Sequence[int],
    hidden: int,
    data: Dataset,
    recipe: Recipe,
    masks: Mapping[str, Sequence[Net]],
    wanted: Callable[[str, str], bool],
) -> list[dict[str, Outcome]]:
    """Train each kind of masked network on other data, under every condition that is `wanted(kind, condition)`.

    `masks` holds one mask a seed under "dense", "random" and "ticket"; a condition is one of `CONDITIONS`. Returns
    for each seed the outcomes by "kind_condition".
    """
    original = [first_weights(seed, hidden) for seed in seeds]
    anew = [first_weights(seed + REDRAWN, hidden) for seed in seeds]
    found: list[dict[str, Outcome]] = [{} for _ in seeds]
    for condition, positions in POSITIONS.items():
        nets, seen = anew if condition == "redrawn" else original, on_positions(data, positions)
        for kind, own in masks.items():
            if wanted(kind, condition):
                for i, outcome in enumerate(trained(nets, own, seen, recipe)):
                    found[i][f"{kind}_{condition}"] = outcome
    return found
