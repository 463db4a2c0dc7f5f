"""Claim: a loss term on trajectory length does what batch norm does.

Source: Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, "On the expressive power of deep neural networks", ICML
2017, arXiv 1606.05336: batch norm reduces trajectory lengths; and a convolutional network on CIFAR-10 with lambda *
(current length / initial length) added to its loss at a few layers, in the place of batch norm, performs as well.

Protocol: MNIST-1D (published). A dense network 40-100-100-100-10, and a convolutional one (12 channels, kernels 5, 3, 3
and windows of two after each, mean over the positions left), ReLU, PyTorch's first weights; the same weights with, in
the place before each ReLU, nothing, batch norm, the term, or the layer of that paper as we take it: lambda is learned,
begins at 1, scales what goes on, and the term is weighted by 0.01. The term: lambda times the sum over these three
places of the current over the initial length. Current: of the images of the straight lines between four pairs of
examples of the batch, as the mean of their sums of 8 chords; initial: the same of 64 pairs, with the first weights.

Descent with momentum 0.9, batches of 100, 15 epochs shuffled anew. Each kind has the best of the rates 0.03, 0.1, 0.3,
the term also of lambda 0.01 and 0.1, by mean test accuracy over three further seeds. Ten seeds judge, test accuracy
after the last update, batch norm by running statistics. Lengths that are judged are certified to 0.1 %: of the image,
after the last ReLU, of the straight line between two test examples of different classes, one a seed.

Judged, for either network: accuracy with the term no more than 2 points below that with batch norm (the 95 % interval
of the difference, paired by seed, above -0.02); and the length with batch norm below that with nothing (sign flips,
Holm). Four headlines. Beside them whether batch norm and the term help at all: where neither does, being as good says
little.

Predicted before the first run, nothing of the kind having been seen. Accuracy with nothing, batch norm, term, learned
layer: dense 62, 63, 61, 61 % (each +- 4); convolutional 72, 82, 71, 72 % (each +- 6). So the term is as good as batch
norm in the dense network, where nothing is as good too, and not in the convolutional one. Length with batch norm over
that with nothing: dense 0.5, convolutional 0.8 (within a factor of 2); with the term over that with nothing: 0.6, 0.6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flyroom import plot, stats, train
from flyroom.claims import _normed, trials
from flyroom.claims._speed import CHOOSING, seeds
from flyroom.claims.statements import bounds, difference, mean_accuracy, percent_with_interval, within
from flyroom.data import mnist1d
from flyroom.losses import both_parts, cross_entropy
from flyroom.measure import paths, trajectory
from flyroom.nets.norms import AtInference, BatchNorm, absorb
from flyroom.nets.reader import read
from flyroom.records import About, Cell, Dataset, Evidence, Json, Judgement, Result, Run, Statement, Verdict

ABOUT = About(
    id="trajectory-regularisation",
    version=1,
    title="Trajectory regularisation against batch norm",
    sentence="A loss term lambda * current length / initial length of trajectories at a few layers performs about as "
    "well as batch norm, which reduces trajectory length itself.",
    source="Raghu et al., On the expressive power of deep neural networks, ICML 2017 (arXiv 1606.05336), trajectory "
    "regularisation on CIFAR-10",
    prediction="Test accuracy with nothing, batch norm, term, learned layer: dense 62, 63, 61, 61 % (+- 4), "
    "convolutional 72, 82, 71, 72 % (+- 6): as good as batch norm in the dense network, where nothing is as good too, "
    "and not in the convolutional one. Length over that with nothing: batch norm 0.5 and 0.8, term 0.6 and 0.6.",
    cost_s=105.0,
    shortened="MNIST-1D and small networks in the place of CIFAR-10 and its convolutional network.",
)

NETS = {"mlp": "dense", "cnn": "convolutional"}
KINDS = {"plain": "nothing", "batch": "batch norm", "term": "term", "layer": "learned layer"}
RATES = (0.03, 0.1, 0.3)
STRENGTHS = (0.01, 0.1)  # lambda of the term
LEARNED = 0.01  # weight of the term where lambda is learned
WIDTHS, CHANNELS, KERNELS = (40, 100, 100, 100, 10), 12, (5, 3, 3)
BATCH, LINES, POINTS, FIRST = 100, 4, 9, 64  # lines of a batch, points of each, lines of the initial length
EQUAL = 0.02  # "about as well": no more than this below
REL_TOL = 1e-3  # relative width of a certified length
TINY = 1e-9  # a length below this is that of a point: of a network whose units are dead, where rounding is all there is
SECONDS = 60.0  # of processor time, for one network's length


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind and rate that judge
    choosing: int = 3  # and that choose rate and lambda
    epochs: int = 15  # passes over the training examples


def quick(settings: Settings) -> dict[str, Any]:
    """Two seeds that judge and one that chooses, one epoch."""
    return {"runs": min(settings.runs, 2), "choosing": 1, "epochs": 1}


@cache
def _data() -> Dataset:
    return mnist1d.make()


def variants(kind: str) -> list[tuple[float | None, float]]:
    """Lambda, None unless it is fixed, and rate: what is chosen among."""
    return [(strength, rate) for strength in (STRENGTHS if kind == "term" else (None,)) for rate in RATES]


def cells(settings: Settings) -> list[Cell]:
    """Either network with each kind of regularisation, at each rate and lambda; ValueError for counts below 1."""
    trials.require_positive(settings, "runs", "choosing", "epochs")
    changed = trials.differing(settings, "runs", "choosing")
    wanted = []
    for net in NETS:
        for kind in KINDS:
            for number, (strength, rate) in enumerate(variants(kind)):
                place = {"net": net, "kind": kind, "strength": strength, "rate": rate, **changed}
                made = (
                    Run(ABOUT.id, ABOUT.version, place, seed, _data().recipe)
                    for seed in seeds(settings.runs, settings.choosing)
                )
                wanted.append(Cell(tuple(made), ahead=number == 0))  # the others of this kind share its program
    return wanted


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    given = run.settings
    steps = given.get("epochs", Settings().epochs) * (len(_data().x_train) // BATCH)
    more = 1 + LINES * POINTS / BATCH if given["kind"] in ("term", "layer") else 1
    dense = given["net"] == "mlp"
    return steps * more * (1.3e-4 if dense else 3.4e-4) + (0 if run.seed >= CHOOSING else 0.1 if dense else 0.3)


class Measured(eqx.Module):
    """In the place of a norm: hands on what it is given, and remembers how long the lines in the batch have become.

    The first BATCH examples are a batch; what follows are lines, POINTS examples each. `running` is, of what comes in,
    the mean over lines of the sum of chords: with the first weights the initial length, as `train` returns it the
    current one. A learned strength scales what is handed on.
    """

    strength: Float[Array, ""]
    learned: bool = eqx.field(static=True)

    def begin(self) -> Float[Array, ""]:
        return jnp.ones(())

    def train(
        self, x: Float[Array, "*place batch"], running: Float[Array, ""]
    ) -> tuple[Float[Array, "*place batch"], Float[Array, ""]]:
        return self.inference(x, running), chords(x[..., BATCH:])

    def inference(self, x: Float[Array, "*place batch"], running: Float[Array, ""]) -> Float[Array, "*place batch"]:
        return x * self.strength if self.learned else x

    def weight(self) -> Float[Array, ""]:
        """What the ratio of lengths is multiplied by."""
        return LEARNED * self.strength if self.learned else jax.lax.stop_gradient(self.strength)


def chords(x: Float[Array, "*place point"]) -> Float[Array, ""]:
    """The mean over lines, POINTS places of the last axis each, of the sum of the chords between neighbours."""
    lines = x.reshape(-1, x.shape[-1] // POINTS, POINTS)
    squares = (jnp.diff(lines, axis=-1) ** 2).sum(0)
    return jnp.sqrt(squares + 1e-12).sum(-1).mean()  # of a chord of no length the root has no derivative


def with_lines(x: Float[Array, "example position"], ends: Float[Array, "end position"]) -> Float[Array, "row position"]:
    """The examples, and after them POINTS points on the straight line from each even end to the odd one after it."""
    t = jnp.linspace(0, 1, POINTS)[:, None]
    lines = ends[0::2, None] * (1 - t) + ends[1::2, None] * t
    return jnp.concatenate([x, lines.reshape(-1, x.shape[-1])])


def regularised_loss(
    model: AtInference, x: Float[Array, "batch position"], y: Int[Array, " batch"]
) -> tuple[Float[Array, ""], Any]:
    """Cross-entropy plus the terms of all places; the initial lengths, which stay what they are."""
    first = jax.lax.stop_gradient(model.running)
    logits, now = model.net.train(with_lines(x, x[: 2 * LINES]), first)
    ratios = (norm.weight() * length / begun for norm, length, begun in zip(model.net.norms, now, first, strict=True))
    return cross_entropy(lambda _: logits[: len(x)], x, y) + sum(ratios), first


@jax.jit
def _initial(net: Any, x: Array, ends: Array) -> Any:
    return net.train(with_lines(x, ends), net.begin())[1]


def nothing(x: Array) -> Array:
    return x


def network(net: str, kind: str, strength: float | None, seed: int) -> AtInference:
    """A network with its first weights, the same for every kind, and with its first lengths or running statistics."""
    made: Any = BatchNorm.init
    if kind == "plain":
        made = lambda _: _normed.Alone(nothing)  # noqa: E731
    elif kind != "batch":
        made = lambda _: Measured(jnp.asarray(strength or 1.0), kind == "layer")  # noqa: E731
    key = jax.random.key(seed)
    model = _normed.mlp(key, made, WIDTHS) if net == "mlp" else _normed.cnn(key, made, CHANNELS, KERNELS, 10)
    if kind in ("plain", "batch"):
        return _normed.to_train(model)
    x = np.asarray(_data().x_train, np.float32)
    ends = np.random.default_rng([seed, 1]).choice(len(x), 2 * FIRST, replace=False)
    return AtInference(model, _initial(model, x[:BATCH], x[ends]))


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell; of those that judge, take the length after every ReLU."""
    first, data = cell.runs[0].settings, _data()
    steps = settings.epochs * (len(data.x_train) // BATCH)
    loss = regularised_loss if first["kind"] in ("term", "layer") else _normed.training_loss
    moments = trials.moments(steps, max(1, steps // 5))
    trained = train.train_many(
        [network(first["net"], first["kind"], first["strength"], one.seed) for one in cell.runs],
        *train.examples(data),
        [train.shuffled(len(data.x_train), BATCH, steps, one.seed) for one in cell.runs],
        train.Protocol(loss, trials.momentum, both_parts, moments, after=absorb),
        learning_rate=first["rate"],
        held=train.both_parts(data),
    )
    found = []
    for one, net in zip(cell.runs, trained, strict=True):
        made = trials.recorded(one, net, data, moments)
        if one.seed < CHOOSING and _finite(net.net):
            made = Result(one, made.values, {**made.curves, **lengths(net.net, data, one.seed)})
        found.append(made)
    return found


def _finite(net: Any) -> bool:
    return all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array)))


def lengths(net: AtInference, data: Dataset, seed: int) -> dict[str, list[float]]:
    """Certified lengths after every ReLU, of a line between two test examples of different classes."""
    random = np.random.default_rng([seed, 2])
    first = random.integers(len(data.x_test))
    second = random.choice(np.flatnonzero(data.y_test != data.y_test[first]))
    graph = read(net, data.x_test.shape[1:], check=False)
    path = paths.between(data, int(first), int(second), split="test")
    layers = [node.place for node in graph.nodes if node.op == "activation"]
    rows = trajectory.length(graph, path, rel_tol=REL_TOL, layers=layers, seconds=SECONDS).layers
    return {f"length_{end}": [getattr(row.length, end) for row in rows] for end in ("low", "high")}


def chosen(results: Sequence[Result], net: str, kind: str) -> tuple[float | None, float]:
    """Lambda and rate with the best mean test accuracy over the seeds that choose; the earlier in a tie."""
    choosing = [one for one in results if one.run.seed >= CHOOSING]
    tried = variants(kind)
    means = [np.mean(_of(choosing, net, kind, variant)) for variant in tried]
    return tried[int(np.argmax(means))]


def _of(
    results: Sequence[Result], net: str, kind: str, variant: tuple[float | None, float], value: str = "test_accuracy"
) -> list[float]:
    return trials.by_seed(results, value, net=net, kind=kind, strength=variant[0], rate=variant[1])


def judging(results: Sequence[Result], net: str, kind: str, value: str = "test_accuracy") -> list[float]:
    """One value of the runs that judge, by seed, each kind at its own lambda and rate."""
    return _of([one for one in results if one.run.seed < CHOOSING], net, kind, chosen(results, net, kind), value)


def last_lengths(results: Sequence[Result], net: str, kind: str) -> dict[int, float]:
    """By seed the logarithm of the length after the last ReLU; without networks that broke down or map to a point."""
    strength, rate = chosen(results, net, kind)
    rows = trials.where(results, net=net, kind=kind, strength=strength, rate=rate)
    found = {}
    for one in rows:
        if "length_low" in one.curves and one.curves["length_low"][-1] > 0:
            found[one.run.seed] = float(np.log(np.mean([one.curves[f"length_{end}"][-1] for end in ("low", "high")])))
    return found


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = [*_accuracies(results), *_lengths(results), _certified(results)]
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "The term is about as good as batch norm, which shortens trajectories, in the dense and in the convolutional "
        "network.",
        table=_table(results),
    )


def _accuracies(results: Sequence[Result]) -> list[Statement]:
    """The term and the learned layer against batch norm; and what either gains over nothing."""
    statements = []
    for net, called in NETS.items():
        values = {kind: np.array(judging(results, net, kind)) for kind in KINDS}
        for kind in ("term", "layer"):
            found = stats.mean_interval(values[kind] - values["batch"])
            said = f"{called}: {kind} as good as batch norm"
            name = f"{'as-well' if kind == 'term' else 'layer-as-well'}-{net}"
            statements.append(within(name, said.capitalize(), found, low=-EQUAL, headline=kind == "term"))
        for kind in ("batch", "term"):
            order = stats.judge_order(values["plain"], values[kind])
            said = f"{called}: {KINDS[kind]} better than nothing"
            statements.append(difference(f"{kind}-helps-{net}", said.capitalize(), order))
    return statements


def _lengths(results: Sequence[Result]) -> list[Statement]:
    """Whether batch norm (headlines, one family) and the term shorten trajectories."""
    statements = []
    for kind in ("batch", "term"):
        pairs = []
        for net in NETS:
            short, long = last_lengths(results, net, kind), last_lengths(results, net, "plain")
            both = sorted(short.keys() & long.keys())
            if not both:
                raise ValueError(f"no lengths of net {net}, kind {kind} and of plain are stored; run it again")
            pairs.append(([short[seed] for seed in both], [long[seed] for seed in both]))
        for (net, called), order in zip(NETS.items(), stats.judge_orders(pairs), strict=True):
            said = f"{called}: {KINDS[kind]} shortens".capitalize()
            statements.append(difference(f"{kind}-shorter-{net}", said, order, unit="ln", headline=kind == "batch"))
    return statements


def _certified(results: Sequence[Result]) -> Statement:
    """How wide the widest of all intervals is, in parts of a length; where every unit is dead, of TINY."""
    every = [one.curves for one in results if "length_low" in one.curves]
    low, high = (np.concatenate([curves[f"length_{end}"] for curves in every]) for end in ("low", "high"))
    widest = float(((high - low) / np.maximum(high, TINY)).max())
    return Statement(
        id="certified",
        sentence=f"Every length is certified to {100 * REL_TOL:g} %",
        verdict=Verdict.supported if widest <= REL_TOL else Verdict.undecided,
        value=widest,
        evidence=Evidence.certified,
        n=len(low),
        unit="relative width",
    )


def _times(logs: Mapping[int, float]) -> str:
    """A geometric mean over seeds as text."""
    return f"{np.exp(np.mean(list(logs.values()))):.3g}" if logs else "none"


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """Accuracies, lengths, and what was chosen."""
    rows = []
    for net, called in NETS.items():
        for kind, said in KINDS.items():
            strength, rate = chosen(results, net, kind)
            accuracies = (percent_with_interval(judging(results, net, kind, f"{part}_accuracy")) for part in PARTS)
            length = _times(last_lengths(results, net, kind))
            rows.append((called, said, "" if strength is None else f"{strength:g}", f"{rate:g}", *accuracies, length))
    return (("network", "in it", "lambda", "rate", "test", "training", "length after the last ReLU"), *rows)


PARTS = ("test", "train")


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy against rate, and lengths layer by layer."""
    rates, lines = [], []
    judged = [one for one in results if one.run.seed < CHOOSING]
    for net, called in NETS.items():
        for kind, said in KINDS.items():
            place = {"net": said, "data": f"{called} network"}
            best = chosen(results, net, kind)
            for rate in RATES:
                found = mean_accuracy(_of(judged, net, kind, (best[0], rate)))
                rates.append({**place, "step": rate, "mean": found.value, **bounds(found)})
            kept = trials.where(judged, net=net, kind=kind, strength=best[0], rate=best[1])
            logs = [np.log(one.curves["length_high"]) for one in kept if min(one.curves.get("length_low", [0])) > 0]
            for number, column in enumerate(np.array(logs).T, 1):
                found = stats.mean_interval(column)
                shown = {name: float(np.exp(value)) for name, value in bounds(found).items()}
                lines.append({**place, "step": number, "mean": float(np.exp(found.value)), **shown})
    return {
        "Test accuracy against the rate, each kind at its own lambda": plot.curves(
            rates, x_title="rate", log_x=True, points=True, title="Trajectory regularisation against batch norm",
            subtitle="bands are 95 % intervals of the mean",
        ),
        "Length of a line between two test examples after every ReLU": plot.curves(
            lines, x_title="ReLU", y_title="length", percent=False, log_y=True, points=True,
            title="How long trajectories are after training", subtitle="geometric means; certified to 0.1 %",
        ),
    }  # fmt: skip
