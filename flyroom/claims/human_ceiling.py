"""Claim: between the best networks and the best possible classifier of MNIST-1D stands a human reader.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), Table 1,
section 3, and the notebook `building-mnist1d` (the reader's quizzes); a fork of its code (with arXiv 2602.13348)
prints 98.7 % for a residual network and 97.0 % for a dilated one on the same 4000 examples.

Protocol: the reader got 383 of 400 distinct test examples right (0 to 99 and 200 to 499; the published 95.8 % counts
the first hundred twice), with the truth shown after each ten. The ceiling is the Bayes classifier of the known
process, on 50,000 fresh examples and on the published test part. Networks are trained on the published 4000 examples
(and on 20,000 of the indexed stream), Adam at 1e-2, batches of 100 in the order of the data, 6000 updates; they are
set beside the reader on the 400 examples that the reader saw. The seed draws the first weights.

Predicted before the first run, from the published figures: Bayes 99.5 +- 0.4 %; on the reader's 400 examples CNN
93.3 +- 2 %, pooling CNN 93.5 +- 2 %, residual CNN 97.5 +- 1.5 %; on 20,000 examples CNN 95.5 +- 1.5 %, residual CNN
98.5 +- 1 %; MLP 64 +- 2.5 %, GRU 90.8 +- 2.5 %. All headlines hold. That CNN and reader "both struggle with 2s and 7s"
holds of the reader only. Shuffled, the CNN falls to 57.5 +- 3 % and the ceiling stays exactly where it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flyroom import stats
from flyroom.claims import _human, _human_figures, trials
from flyroom.claims.statements import against_published, difference, percent_with_interval, unmeasured, within
from flyroom.measure.accuracy import population_accuracy
from flyroom.records import About, Cell, Evidence, Json, Judgement, Measurement, Result, Run, Statement

ABOUT = About(
    id="human-ceiling",
    version=1,
    title="Where the ceiling of MNIST-1D is",
    sentence="A human reader of MNIST-1D is better than the benchmark CNN and worse than the best possible classifier; "
    "other networks, trained on the same examples, pass the reader; and shuffling, which ruins the CNN, leaves the "
    "best possible accuracy unchanged (by construction).",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), Table 1, and "
    "the notebook building-mnist1d",
    prediction="Bayes 99.5 +- 0.4 %. On the reader's 400 examples CNN 93.3 +- 2 %, pooling CNN 93.5 +- 2 %, residual "
    "CNN 97.5 +- 1.5 %; with 20,000 examples CNN 95.5 +- 1.5 %, residual CNN 98.5 +- 1 %. MLP 64 +- 2.5 %, GRU 90.8 +- "
    "2.5 %. All headlines hold; 2 and 7 are worst for the reader, and not for the CNN. Shuffled, the CNN falls to 57.5 "
    "+- 3 %, and the ceiling does not move.",
    cost_s=105.0,
    shortened="What decides nothing (the GRU, the residual network on 20,000 examples) has six seeds in place of ten; "
    "the networks that the headlines are about are trained in full.",
)

READER = _human.RIGHT / len(_human.SEEN)
LABELS = {"mlp": "MLP", "gru": "GRU", "cnn": "CNN", "pooling-cnn": "pooling CNN", "residual-cnn": "residual CNN"}
FEW = (("gru", "published"), ("residual-cnn", "more"))
CANDIDATES = ("pooling-cnn", "residual-cnn")  # which of them passes the reader, on the published 4000 examples
# Table 1, and for the residual network the fork's ResNet1D: one run of another residual network.
PUBLISHED: Mapping[str, tuple[float, float]] = {
    "mlp": (0.68, 0.02),
    "gru": (0.91, 0.02),
    "cnn": (0.94, 0.02),
    "residual-cnn": (0.987, 0.0),
}
COST_US = {"mlp": 120, "gru": 650, "cnn": 290, "pooling-cnn": 700, "residual-cnn": 1600}
ON_SEEN = "On the reader's 400 examples"
WORST = 2.5  # mean of two ranks; that of the two worst is 1.5
AGREE = 0.002  # by which the two estimates of the ceiling may differ


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # networks (seeds) of each kind
    few: int = 6  # seeds of what decides nothing: the GRU, and the residual network on the larger set; 0 for none
    steps: int = 6000  # updates
    batch: int = 100  # examples an update
    learning_rate: float = 0.01  # Adam's
    evaluate_every: int = 1000  # steps between two points of a curve
    more: int = 20_000  # training examples of the larger set
    stream: int = 50_000  # fresh examples for the ceiling, in blocks of 2500


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: few steps, seeds and fresh examples."""
    return {
        "runs": min(settings.runs, 2),
        "few": 0,
        "steps": min(settings.steps, 200),
        "evaluate_every": 100,
        "more": min(settings.more, 5000),
        "stream": _human.BLOCK,
    }


def faithful(settings: Settings) -> dict[str, Any]:
    """As many seeds for what decides nothing as for the rest."""
    return {"few": settings.runs}


def cells(settings: Settings) -> list[Cell]:
    """The Bayes classifier on published and fresh examples, and every network on its data.

    Raises ValueError for counts below 1, batches that do not fit, a rate that is none, and a number of fresh examples
    that fills no blocks.
    """
    trials.require_positive(settings, "runs", "steps", "evaluate_every", "batch", "more", "stream")
    trials.require_rate(settings)
    if settings.few < 0:
        raise ValueError(f"few {settings.few} must be 0 or more")
    if settings.stream % _human.BLOCK:
        raise ValueError(f"stream {settings.stream} is not a multiple of {_human.BLOCK}, the examples of one block")
    if settings.batch > min(4000, settings.more):
        raise ValueError(f"batch {settings.batch} is larger than the smallest training set, {min(4000, settings.more)}")
    blocks = settings.stream // _human.BLOCK
    fresh = {"name": "mnist1d", "stream": "indexed", "split": "ceiling", "seed": 42, "block": _human.BLOCK}
    wanted = [
        Cell((_run({"net": "bayes", "data": "published"}, 0, _human.published(False).recipe),)),
        Cell((_run({"net": "bayes", "data": "shuffled"}, 0, _human.published(True).recipe),)),
        Cell(tuple(_run({"net": "bayes", "data": "fresh"}, seed, fresh) for seed in range(blocks))),
    ]
    kinds = [(net, "published") for net in _human.NETS]
    kinds += [("cnn", "shuffled"), ("cnn", "more"), ("residual-cnn", "more")]
    for net, data in kinds:
        count = settings.few if (net, data) in FEW else settings.runs
        if count:
            wanted.append(Cell(_networks(net, data, count, settings), ahead=True))
    return wanted


def _run(settings: Mapping[str, Json], seed: int, recipe: Mapping[str, Json]) -> Run:
    return Run(ABOUT.id, ABOUT.version, settings, seed, recipe)


def _networks(net: str, data: str, count: int, settings: Settings) -> tuple[Run, ...]:
    changed = trials.differing(settings, "runs", "few", "stream", "more")
    recipe = _data(data, settings).recipe
    return tuple(_run({"net": net, "data": data, **changed}, seed, recipe) for seed in range(count))


def _data(data: str, settings: Settings) -> Any:
    return _human.larger(settings.more) if data == "more" else _human.published(data == "shuffled")


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    net = run.settings["net"]
    if net == "bayes":
        return 2.5
    return COST_US[net] * 1e-6 * run.settings.get("steps", Settings().steps)


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Train the networks of a cell side by side, or let the Bayes classifier read."""
    net, data = (cell.runs[0].settings[name] for name in ("net", "data"))
    if net == "bayes":
        if data == "fresh":
            return [_human.bayes_on_stream(one) for one in cell.runs]
        return [_human.bayes_on_published(one, data == "shuffled") for one in cell.runs]
    return _human.trained(
        cell.runs,
        _data(data, settings),
        steps=settings.steps,
        batch=settings.batch,
        learning_rate=settings.learning_rate,
        moments=trials.moments(settings.steps, settings.evaluate_every),
    )


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (
        _reader_below_ceiling(results),
        *_against_reader(results),
        _same_ceiling(results),
        _shuffling(results),
        *_ceiling(results),
        *_more_data(results, settings),
        *_struggling(results),
        *_against_published(results),
    )
    supported = (
        "The benchmark CNN is below the reader, a network trained on the same examples is above, so is the Bayes "
        "classifier, and shuffling costs the CNN accuracy."
    )
    trained = sum(one.run.settings["net"] != "bayes" for one in results)
    return trials.judgement(ABOUT, results, statements, supported, table=_table(results, settings), runs=trained)


def _share(right: float | int, count: float | int, confidence: float = 0.95) -> Measurement:
    """A count as an estimate of the rate behind it, with the interval of Clopper and Pearson."""
    wrong = np.arange(int(count)) >= int(right)
    return population_accuracy(wrong.astype(np.int64), np.zeros(int(count), np.int64), confidence=confidence)


def _total(results: Sequence[Result], value: str, data: str) -> float:
    return sum(trials.by_seed(results, value, net="bayes", data=data))


def _on_fresh(results: Sequence[Result], confidence: float = 0.95) -> Measurement:
    return _share(_total(results, "right", "fresh"), _total(results, "count", "fresh"), confidence)


def _ends(found: Measurement) -> tuple[float, float]:
    assert found.interval is not None, "a share has an interval"
    return found.interval


def _reader_below_ceiling(results: Sequence[Result]) -> Statement:
    """Two independent counts: the difference, its interval from one of 97.5 % for each of the two."""
    reader, ceiling = _share(_human.RIGHT, len(_human.SEEN), 0.975), _on_fresh(results, 0.975)
    (low, high), (bottom, top) = _ends(reader), _ends(ceiling)
    gap = Measurement(ceiling.value - reader.value, (bottom - high, top - low), Evidence.estimate, ceiling.n)
    return within("reader-below-ceiling", "The reader is below the ceiling", gap, low=0.0, headline=True)


def _against_reader(results: Sequence[Result]) -> list[Statement]:
    """On the 400 examples that the reader saw: the mean over seeds against 383 of 400."""
    text = f"{100 * READER:.2f} %"
    cnn = stats.mean_interval(_seen(results, "cnn", "published"))
    sentence = f"{ON_SEEN} the CNN is below the reader"
    found = [within("cnn-below-reader", sentence, cnn, high=READER, headline=True, published=text)]
    confidence = 1 - stats.LEVEL / len(CANDIDATES)  # one of several will do, so each has to be surer
    tried = {net: stats.mean_interval(_seen(results, net, "published"), confidence=confidence) for net in CANDIDATES}
    # Refuted only if every one of them is: the one that is surely above, else the one that reaches highest.
    best = max(tried, key=lambda net: _reach(tried[net]))
    sure = f"{LABELS[best]}; {100 * confidence:.1f} % interval"
    sentence = f"{ON_SEEN} a network trained on 4,000 is above the reader ({sure})"
    found.append(within("network-above-reader", sentence, tried[best], low=READER, headline=True, published=text))
    for net in CANDIDATES:
        one = stats.mean_interval(_seen(results, net, "published"))
        sentence = f"{ON_SEEN} the {LABELS[net]} is above the reader"
        found.append(within(f"{net}-above-reader", sentence, one, low=READER, published=text))
    return found


def _reach(found: Measurement) -> tuple[bool, float]:
    low, high = found.interval or (found.value, found.value)
    return low >= READER, high


def _seen(results: Sequence[Result], net: str, data: str) -> list[float]:
    return trials.by_seed(results, "seen_accuracy", net=net, data=data)


def _same_ceiling(results: Sequence[Result]) -> Statement:
    """Example by example: the Bayes classifier that knows the order of positions says the same.

    It puts them back first, so that only a fault could make a difference: a check, and no finding.
    """
    plain, shuffled = (
        np.array(trials.where(results, net="bayes", data=data)[0].curves["predicted"])
        for data in ("published", "shuffled")
    )
    differ = float((plain != shuffled).sum())
    known = Measurement(differ, (differ, differ), Evidence.exact, len(plain))
    sentence = "Shuffled, the ceiling is the same (by construction)"
    return within("shuffled-ceiling", sentence, known, low=0.0, high=0.0, unit="predictions that differ")


def _shuffling(results: Sequence[Result]) -> Statement:
    plain, shuffled = (trials.by_seed(results, "test_accuracy", net="cnn", data=d) for d in ("published", "shuffled"))
    order = stats.judge_order(shuffled, plain)
    return difference("shuffling-cnn", "Shuffling costs the CNN accuracy", order, headline=True, published="38 %")


def _ceiling(results: Sequence[Result]) -> list[Statement]:
    """Whether the classifier's own certainty is right; and what it does on the examples that the reader saw."""
    found, count = _on_fresh(results), _total(results, "count", "fresh")
    expected = _total(results, "expected_right", "fresh") / count
    low, high = _ends(found)
    gap = Measurement(found.value - expected, (low - expected, high - expected), Evidence.estimate, found.n)
    seen = _total(results, "seen_right", "published") / len(_human.SEEN)
    known = Measurement(seen, (seen, seen), Evidence.exact, len(_human.SEEN))
    above = np.nextafter(READER, 1.0)
    return [
        within("calibrated", "Posterior and labels agree on the ceiling", gap, low=-AGREE, high=AGREE),
        within("bayes-above-reader", "Bayes is above the reader on the 400", known, low=float(above)),
    ]


def _more_data(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """Against the reader on the reader's examples; against Bayes on all published ones, which both have read."""
    text, examples = f"{100 * READER:.2f} %", f"{settings.more:,} examples"
    right, count = (_total(results, name, "published") for name in ("right", "count"))
    below = float(np.nextafter(right / count, 0.0))
    found = []
    for net in ("cnn", "residual-cnn"):
        sentence = f"{ON_SEEN} the {LABELS[net]} of {examples} is above the reader"
        if not trials.where(results, net=net, data="more"):
            found.append(unmeasured(f"{net}-more-above-reader", sentence, text))
            continue
        one = stats.mean_interval(_seen(results, net, "more"))
        found.append(within(f"{net}-more-above-reader", sentence, one, low=READER, published=text))
        best = stats.mean_interval(trials.by_seed(results, "test_accuracy", net=net, data="more"))
        sentence = f"The {LABELS[net]} of {examples} is below Bayes on the same {int(count):,}"
        found.append(within(f"{net}-more-below-bayes", sentence, best, high=below))
    return found


def _ranks(errors: Sequence[float]) -> float:
    """The mean rank of classes 2 and 7 by error: 1 is the worst class, equal ones share their ranks."""
    from scipy.stats import rankdata

    ranks = rankdata([-error for error in errors])
    return float(ranks[2] + ranks[7]) / 2


def _struggling(results: Sequence[Result]) -> list[Statement]:
    """ "Both struggle with 2s and 7s": the mean of their two ranks by error is at most 2.5, in the mean over runs.

    So it is if they are two of the three worst, and also if they are the worst and the fourth.
    """
    reader = _ranks(_human.READER_ERRORS)
    found = {"Reader": Measurement(reader, (reader, reader), Evidence.exact, 1)}
    for name, value, place in (
        ("CNN", "error", {"net": "cnn", "data": "published"}),
        ("Bayes classifier", "expected_error", {"net": "bayes", "data": "fresh"}),
    ):
        chosen = trials.where(results, **place)
        found[name] = stats.mean_interval(
            [_ranks([one.values[f"{value}_{label}"] for label in range(10)]) for one in chosen]
        )
    return [
        within(
            f"struggles-{name.split()[0].lower()}",
            f"{name}: 2 and 7 have a mean rank by error ≤ {WORST}",
            rank,
            high=WORST,
            unit="rank",
            published="yes" if name != "Bayes classifier" else "",
        )
        for name, rank in found.items()
    ]


def _against_published(results: Sequence[Result]) -> list[Statement]:
    found = []
    for net, (mean, spread) in PUBLISHED.items():
        if trials.where(results, net=net, data="published"):
            accuracy = trials.by_seed(results, "test_accuracy", net=net, data="published")
            name = f"{LABELS[net]}: as published" if net != "residual-cnn" else "residual CNN: as a published ResNet"
            found.append(against_published(f"published-{net}", name, accuracy, mean, spread))
    return found


def _table(results: Sequence[Result], settings: Settings) -> tuple[tuple[str, ...], ...]:
    head = ("classifier", "trained on", "the reader's 400, %", "all 1000, %", "runs")
    rows = []
    for net, label in LABELS.items():
        for data, said in (("published", "4,000"), ("more", f"{settings.more:,}"), ("shuffled", "4,000, shuffled")):
            if trials.where(results, net=net, data=data):
                every = trials.by_seed(results, "test_accuracy", net=net, data=data)
                seen = percent_with_interval(_seen(results, net, data))
                rows.append((label, said, seen, percent_with_interval(every), str(len(every))))
    low, high = _ends(_share(_human.RIGHT, len(_human.SEEN)))
    rows.append(("human", "", f"{100 * READER:.2f} [{100 * low:.1f}, {100 * high:.1f}]", "", "1 reader"))
    seen, right = (_total(results, name, "published") for name in ("seen_right", "right"))
    rows.append(("Bayes", "the process", f"{100 * seen / len(_human.SEEN):.2f}", f"{right / 10:.1f}", "exact"))
    fresh, (low, high) = _on_fresh(results), _ends(_on_fresh(results))
    fresh_text = f"{100 * fresh.value:.3f} [{100 * low:.3f}, {100 * high:.3f}]"
    rows.append(("Bayes", "the process", "", f"{fresh_text} of {fresh.n:,} fresh", "1"))
    return (head, *rows)


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Reader, networks and ceiling on one axis; errors class by class; the curves."""
    return _human_figures.figure(results, LABELS, _share(_human.RIGHT, len(_human.SEEN)), _on_fresh(results))
