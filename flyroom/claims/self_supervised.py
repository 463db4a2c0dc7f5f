"""Claim: without labels, MNIST-1D's classes are best told apart in the middle of the network, not where the loss is.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), Figure 8 and the
notebook `self-supervised-learning`; after SimCLR (Chen et al. 2020) and the "guillotine" of Bordes et al. (2023).

Protocol: the 4000 training examples of the published set, without labels. The benchmark CNN's convolutions give H (125
numbers); a projector (125-125-16) gives Z, where the loss is. Two more variants: no projector (the loss on H) and a
deep projector (125-125-125-125-16). Two views of each batch: mean and slope removed, shifted round by 0 to 9, slope
N(0, 0.04) and offset N(0, 0.3) added. Cross-entropy of cosine similarities / 0.5, the choice being among the second
views of a batch. Adam at 1e-2, batches of 100, 200 epochs, shuffled. Then, on every layer, logistic regression from
the training to the test part (layer 0 is the signal itself, layer 3 H), and on Z the vote of 10 neighbours by cosine.

Predicted before the first full run, from the printed output of the notebook (one run each): default 75 +- 3 % in layer
1, 81 +- 2.5 in layer 2, 82 +- 2 in H, 76 +- 3 and 75 +- 3 in the projector, votes on Z 73 +- 3; no projector 82 +- 2 in
layer 1, 79 +- 3 in layer 2, 50 +- 5 in H, votes 48 +- 5; deep projector 76 +- 3, then a peak of 82 +- 2 in layer 2 or
3, from there falling with every layer to 61 +- 4 in Z, votes 61 +- 4. So all seven headlines hold.
"""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims._contrastive import PROJECTORS, Contrastive, batches, detrended, loss, representations
from flyroom.claims.statements import against_published, difference, mean_accuracy, percent_with_interval
from flyroom.data import mnist1d
from flyroom.measure.accuracy import accuracy
from flyroom.measure.embedding import linear_probe, tsne, vote
from flyroom.records import About, Cell, Dataset, Evidence, Json, Judgement, Result, Run, Statement, Verdict

ABOUT = About(
    id="self-supervised",
    version=1,
    title="Where a network without labels holds the classes",
    sentence="After contrastive training on MNIST-1D the classes are best told apart linearly in the middle of the "
    "network, not at its end, and a projector between the representation and the loss makes it better.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), Figure 8",
    prediction="Linear test accuracy: default 75 +- 3, 81 +- 2.5, 82 +- 2 (H), 76 +- 3, 75 +- 3 % (Z); no projector "
    "82 +- 2, 79 +- 3, 50 +- 5 % (H); deep projector a peak of 82 +- 2 % in layer 2 or 3, then falling with every "
    "layer to 61 +- 4 %. Vote of 10 neighbours on Z: 73 +- 3, 48 +- 5, 61 +- 4 %. All headlines hold.",
    cost_s=110.0,
)

H = 3  # the layer after the convolutions: the representation
DEFAULT, NONE, DEEP = PROJECTORS
DEPTH = {variant: H + len(widths) for variant, widths in PROJECTORS.items()}  # the number of Z's layer

# The notebook's output, one run each: by layer from the pixels on, the vote on Z, the loss in epoch 10 and at the end.
PUBLISHED: Mapping[str, tuple[float, ...]] = {
    DEFAULT: (0.328, 0.751, 0.809, 0.821, 0.761, 0.750),
    NONE: (0.328, 0.822, 0.795, 0.534),
    DEEP: (0.328, 0.759, 0.824, 0.795, 0.773, 0.728, 0.650, 0.611),
}
PUBLISHED_VOTE = {DEFAULT: 0.741, NONE: 0.487, DEEP: 0.613}
PUBLISHED_LOSS = {DEFAULT: (3.10, 2.88), NONE: (3.58, 3.39), DEEP: (3.27, 2.87)}

MAPPED = 1000  # training examples on the map, beside all test examples
COST_US = {DEFAULT: 750, NONE: 600, DEEP: 850}  # microseconds of one core a step; only progress depends on them


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each variant
    epochs: int = 200  # passes over the training part
    batch: int = 100  # examples an update, each in two views
    learning_rate: float = 0.01  # Adam's
    temperature: float = 0.5  # what cosine similarities are divided by
    neighbours: int = 10  # that vote on Z
    probe_steps: int = 1000  # of a logistic regression's fit, at most
    embedding: bool = True  # map one network's H by t-SNE as well, where openTSNE is installed


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: too few epochs, seeds and steps of the probes for the published figures."""
    return {
        "runs": min(settings.runs, 2),
        "epochs": min(settings.epochs, 2),
        "probe_steps": min(settings.probe_steps, 10),
        "embedding": False,
    }


def cells(settings: Settings) -> list[Cell]:
    """Every seed of the three variants, and the map of the default variant's first seed.

    Raises ValueError for counts below 1, a batch that is no choice between two, a rate or temperature that is not
    above 0, and more neighbours than training examples.
    """
    trials.require_positive(settings, "runs", "epochs", "neighbours", "probe_steps")
    examples = len(_data().x_train)
    for name, low in (("batch", 2), ("neighbours", 1)):
        if not low <= getattr(settings, name) <= examples:
            raise ValueError(f"{name} {getattr(settings, name)} must be {low} to {examples}, the training examples")
    for name in ("learning_rate", "temperature"):
        if not 0 < getattr(settings, name) < np.inf:
            raise ValueError(f"{name} {getattr(settings, name)} must be above 0 and finite")
    changed = trials.differing(settings, "runs", "embedding")
    wanted = [
        Cell(tuple(_run({"variant": variant, **changed}, seed) for seed in range(settings.runs)), ahead=True)
        for variant in PROJECTORS
    ]
    if settings.embedding and importlib.util.find_spec("openTSNE") is not None:
        wanted.append(Cell((_run({"variant": DEFAULT, "embedding": "t-SNE", **changed}, 0),), ahead=True))
    return wanted


def _run(settings: Mapping[str, Json], seed: int) -> Run:
    return Run(ABOUT.id, ABOUT.version, settings, seed, _data().recipe)


@cache
def _data() -> Dataset:
    return mnist1d.make()


def _steps(settings: Settings) -> int:
    return settings.epochs * (len(_data().x_train) // settings.batch)


def cost(run: Run) -> float:
    """Seconds of one core, roughly: training, and the probes or the map."""
    default = Settings()
    epochs, batch = (run.settings.get(name, getattr(default, name)) for name in ("epochs", "batch"))
    steps = epochs * (len(_data().x_train) // batch)
    return COST_US[run.settings["variant"]] * 1e-6 * steps * batch / default.batch + 4.0


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, then probe each on a core of its own; or map one of them.

    The seed drives the first weights, the order of the batches and the views.
    """
    trained = _trained(cell.runs, settings)
    work = _mapped if "embedding" in cell.runs[0].settings else _probed
    # One thread a product, so that the bits do not depend on how many cores there are.
    with warnings.catch_warnings(), threadpool_limits(1), ThreadPoolExecutor(len(train.devices())) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps of every fit are recorded
        return list(pool.map(lambda one, net: work(one, net, settings), cell.runs, trained))


def _trained(runs: Sequence[Run], settings: Settings) -> list[train.Trained]:
    x = detrended(_data().x_train).astype(np.float32)
    variant, steps = runs[0].settings["variant"], _steps(settings)
    return train.train_many(
        [Contrastive.init(jax.random.key(one.seed), variant) for one in runs],
        x,
        np.arange(len(x), dtype=np.int32),
        [batches(len(x), settings.batch, steps, one.seed) for one in runs],
        train.Protocol(loss(settings.temperature)),
        learning_rate=settings.learning_rate,
    )


def _probed(run: Run, trained: train.Trained, settings: Settings) -> Result:
    """Linear accuracy of every layer, the vote on Z, and the loss, a mean an epoch."""
    data = _data()
    curve = trained.losses.reshape(settings.epochs, -1).mean(axis=1, dtype=np.float64).tolist()
    values = {"loss": curve[-1]} | ({"loss_epoch_10": curve[9]} if settings.epochs >= 10 else {})
    broken = train.diverged(trained)
    if broken is not None:
        values["diverged_at_step"] = float(broken)
    linear, taken, count = [_pixels(settings.probe_steps)], 0, len(data.x_train)
    layers = representations(trained.net, np.concatenate([data.x_train, data.x_test]))[1:]
    # Where a network diverged, its layers tell nothing apart: what is no number is set to one point.
    layers = [np.clip(np.nan_to_num(layer), -1e9, 1e9) for layer in layers]
    for layer in layers:
        probe = linear_probe(layer[:count], data.y_train, layer[count:], steps=settings.probe_steps)
        linear.append(accuracy(probe.predicted, data.y_test).value)
        taken = max(taken, probe.steps)
    voted = vote(layers[-1][:count], data.y_train, layers[-1][count:], settings.neighbours, metric="cosine")
    values |= {"vote": accuracy(voted, data.y_test).value, "probe_steps": float(taken)}
    values |= {f"linear_{layer}": value for layer, value in enumerate(linear)}
    epochs = [float(epoch + 1) for epoch in range(settings.epochs)]
    return Result(run, values, {"epoch": epochs, "loss": curve, "linear": linear})


@cache
def _pixels(steps: int) -> float:
    """Linear accuracy of the signals themselves: no seed moves it."""
    data = _data()
    probe = linear_probe(data.x_train, data.y_train, data.x_test, steps=steps)
    return accuracy(probe.predicted, data.y_test).value


def _mapped(run: Run, trained: train.Trained, settings: Settings) -> Result:
    """t-SNE of the signals and of H: all test examples and the first training examples; no values are judged."""
    data = _data()
    x = np.concatenate([data.x_test, data.x_train[:MAPPED]])
    digits = np.concatenate([data.y_test, data.y_train[:MAPPED]])
    curves = {"digit": [float(digit) for digit in digits]}
    layers = representations(trained.net, x)
    if not all(np.isfinite(layer).all() for layer in layers):
        return Result(run, {})
    for name, layer in (("pixels", layers[0]), ("H", layers[H])):
        points = np.round(tsne(layer, seed=run.seed).points, 3)
        curves |= {f"{name}_x": points[:, 0].tolist(), f"{name}_y": points[:, 1].tolist()}
    return Result(run, {}, curves)


def _linear(results: Sequence[Result], variant: str, *layers: int) -> list[float]:
    """Linear accuracy by seed, of the best of these layers in each network."""
    return [max(one) for one in zip(*(_by_seed(results, variant, f"linear_{i}") for i in layers), strict=True)]


def _by_seed(results: Sequence[Result], variant: str, value: str) -> list[float]:
    return trials.by_seed(results, value, variant=variant, embedding=None)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (*_orders(results), _falls(results), *_against_published(results), _diverged(results))
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "The classes are best told apart in the middle of the network, above the signals and above the layer of the "
        "loss; with a projector between it and the loss, the representation tells them apart better than without.",
        table=_table(results),
        runs=sum("embedding" not in one.run.settings for one in results),
    )


def _orders(results: Sequence[Result]) -> list[Statement]:
    """Six comparisons, paired by seed and corrected together; a peak is the best layer inside against outside."""
    table = (
        ("default-above-pixels", "Default: H is above the signals", (DEFAULT, (0,)), (DEFAULT, (H,))),
        ("default-above-z", "Default: H is above Z", (DEFAULT, (5,)), (DEFAULT, (H,))),
        ("default-middle", "Default: the peak is H or next to it", (DEFAULT, (0, 1, 5)), (DEFAULT, (2, 3, 4))),
        ("no-projector-falls", "No projector: H is below layer 1", (NONE, (H,)), (NONE, (1,))),
        ("deep-peak", "Deep projector: the peak is layer 2 or 3", (DEEP, (0, 1, 4, 5, 6, 7)), (DEEP, (2, 3))),
        ("projector-helps", "H without projector is below H with it", (NONE, (H,)), (DEFAULT, (H,))),
    )
    pairs = [(_linear(results, low[0], *low[1]), _linear(results, high[0], *high[1])) for _, _, low, high in table]
    statements = []
    for (name, sentence, low, high), order in zip(table, stats.judge_orders(pairs), strict=True):
        best = [max(PUBLISHED[variant][layer] for layer in layers) for variant, layers in (low, high)]
        published = f"{100 * (best[1] - best[0]):.1f} %"
        statements.append(difference(name, sentence, order, headline=True, published=published))
    return statements


def _falls(results: Sequence[Result]) -> Statement:
    """Four falls from layer 3 to Z, corrected together: supported if all are, refuted if one is; the smallest shown."""
    layers = range(H, DEPTH[DEEP])
    found = stats.judge_orders([(_linear(results, DEEP, i + 1), _linear(results, DEEP, i)) for i in layers])
    verdicts = {order.verdict for order in found}
    verdict = next((v for v in (Verdict.refuted, Verdict.undecided) if v in verdicts), Verdict.supported)
    shown = min((order for order in found if order.verdict == verdict), key=lambda order: order.difference.value)
    published = min(PUBLISHED[DEEP][i] - PUBLISHED[DEEP][i + 1] for i in layers)
    sentence = "Deep projector: every layer from 3 on falls"
    return difference("deep-falls", sentence, shown, headline=True, published=f"{100 * published:.1f} %")


def _against_published(results: Sequence[Result]) -> list[Statement]:
    """The published figures that the prediction gives bands for; the others are in the table and in the figure."""
    layers = ((DEFAULT, 1), (DEFAULT, H), (DEFAULT, 5), (NONE, 1), (NONE, H), (DEEP, 2), (DEEP, 7))
    rows = [(f"layer {layer}", variant, f"linear_{layer}", PUBLISHED[variant][layer]) for variant, layer in layers] + [
        ("vote on Z", variant, "vote", PUBLISHED_VOTE[variant]) for variant in PROJECTORS
    ]
    statements = []
    for what, variant, value, published in rows:
        name = f"published-{variant}-{what}".lower().replace(" ", "-")
        sentence = f"{variant}, {what}: as published"
        statements.append(against_published(name, sentence, _by_seed(results, variant, value), published, 0.0))
    return statements


def _diverged(results: Sequence[Result]) -> Statement:
    count = sum("diverged_at_step" in one.values for one in results)
    return Statement(
        "diverged",
        "No network diverged",
        Verdict.refuted if count else Verdict.supported,
        value=float(count),
        interval=(float(count), float(count)),
        evidence=Evidence.exact,
        n=sum("embedding" not in one.run.settings for one in results),  # the map's network is one of them again
        unit="networks",
    )


def _table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = [("linear test accuracy, %", *PROJECTORS)]
    for layer in range(max(DEPTH.values()) + 1):
        shown = [variant for variant in PROJECTORS if layer <= DEPTH[variant]]
        entries = {v: _entry(_linear(results, v, layer), PUBLISHED[v][layer]) for v in shown}
        name = {0: "the signals", H: "layer 3, H"}.get(layer, f"layer {layer}")
        rows.append((f"{name} (published)", *(entries.get(variant, "") for variant in PROJECTORS)))
    votes = (_entry(_by_seed(results, variant, "vote"), PUBLISHED_VOTE[variant]) for variant in PROJECTORS)
    return (*rows, ("vote on Z (published)", *votes))


def _entry(values: Sequence[float], published: float) -> str:
    return f"{percent_with_interval(values)} ({100 * published:.1f})"


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Accuracy by layer beside what was published, the losses, and one network's H as a map."""
    runs = f"{judgement.runs} networks; bands are 95 % intervals of the mean, diamonds the published run"
    figures = {"Linear test accuracy by layer": _layers_figure(results, runs)}
    mapped = [one for one in results if "embedding" in one.run.settings and one.curves]
    if mapped:
        figures["Maps of the signals and of H"] = _map_figure(mapped[0])
    whole = [one for one in results if "diverged_at_step" not in one.values and "epoch" in one.curves]
    if whole:
        figures["Contrastive loss while training"] = _loss_figure(whole, runs)
    return figures


def _layers_figure(results: Sequence[Result], subtitle: str) -> Json:
    rows, published = [], []
    for variant in PROJECTORS:
        place = {"net": variant, "data": "MNIST-1D"}
        for layer, value in enumerate(PUBLISHED[variant]):
            found = mean_accuracy(_linear(results, variant, layer))
            low, high = found.interval or (None, None)
            rows.append({**place, "layer": layer, "mean": found.value, "low": low, "high": high})
            published.append({**place, "layer": layer, "mean": value})
    return plot.curves(
        rows,
        x="layer",
        x_title="layer (0: the signal, 3: the representation H)",
        y_title="linear test accuracy",
        title="Where the classes are told apart",
        subtitle=subtitle,
        published=published,
        points=True,
    )


def _loss_figure(results: Sequence[Result], subtitle: str) -> Json:
    """Means over the networks that did not diverge."""
    rows, published = [], []
    for variant in PROJECTORS:
        place, chosen = {"net": variant, "data": "MNIST-1D"}, trials.where(results, variant=variant)
        if not chosen:
            continue
        values = np.array([one.curves["loss"] for one in chosen])
        low, high = stats.mean_band(values) if len(values) > 1 else (values[0], values[0])
        columns = zip(chosen[0].curves["epoch"], values.mean(axis=0), low, high, strict=True)
        rows += [{**place, "epoch": e, "mean": float(m), "low": float(a), "high": float(b)} for e, m, a, b in columns]
        printed = zip((10, 200), PUBLISHED_LOSS[variant], strict=True)
        published += [{**place, "epoch": e, "mean": m} for e, m in printed if e <= values.shape[1]]
    return plot.curves(
        rows,
        x="epoch",
        x_title="epoch",
        y_title="loss, nats",
        title="Contrastive loss while training",
        subtitle=subtitle,
        percent=False,
        published=published,
    )


def _map_figure(mapped: Result) -> Json:
    curves = mapped.curves
    rows = [
        {"x": x, "y": y, "digit": str(int(digit)), "data": title}
        for name, title in (("pixels", "the signals"), ("H", "H, learned without labels"))
        for digit, x, y in sorted(zip(curves["digit"], curves[f"{name}_x"], curves[f"{name}_y"], strict=True))
    ]
    title = f"t-SNE of {len(curves['digit'])} examples, one network"
    return plot.scatter(rows, group="digit", axes=False, title=title)
