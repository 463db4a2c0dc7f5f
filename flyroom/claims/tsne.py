"""Claim: a t-SNE map of pixels finds the classes of images of digits, and does not find those of MNIST-1D.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), section 2 and the
notebook `tsne-mnist-vs-mnist1d`, which shows two maps and gives no measure of them.

Protocol: openTSNE at its defaults (first positions by PCA, perplexity 30, 250 + 500 steps) on pixels. MNIST-1D: ten
data sets of 3000 examples, each drawn with its own seed, and the published set of 5000. Images: scikit-learn's
handwritten digits (1797 of 8 by 8 pixels) stand for MNIST, which would have to be downloaded; ten random parts of
1500, beside ten MNIST-1D sets of 1500, so that the number of examples is not what differs. Measured on every map: how
often the vote of the 10 nearest other examples is right, and the silhouette of the true classes.

"Clusters" and "does not" have margins that come from elsewhere. Votes: 78.3 %, the middle between 59.6 % (10
neighbours in the pixels of MNIST-1D, as published) and 97 % (in those of MNIST). Silhouette: Kaufman and Rousseeuw
(1990, table 4) call up to 0.25 no substantial structure and above 0.5 a reasonable one.

Predicted before the first map was measured: digits: votes 97 +- 1.5 %, silhouette 0.55 +- 0.1; MNIST-1D: votes on the
map 45 +- 8 %, below the 57 +- 3 % in pixels, silhouette -0.10 +- 0.08. So all six headlines hold. Classes 0, 3 and 6
are right more often than the others and lie further out. The published divergence of 2.53 is met within 0.03 on 5000
examples (a run that only took the time had shown 2.52).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from flyroom import plot, stats, train
from flyroom.claims import trials
from flyroom.claims.statements import bounds, difference, mean_accuracy, percent_with_interval, unmeasured, within
from flyroom.data import digits, mnist1d
from flyroom.measure.accuracy import accuracy, confusion, nearest_neighbours
from flyroom.measure.embedding import Map, leave_one_out, silhouette, tsne
from flyroom.records import About, Cell, Dataset, Evidence, Json, Judgement, Measurement, Result, Run, Statement

ABOUT = About(
    id="tsne",
    version=1,
    title="What t-SNE sees in pixels",
    sentence="On a t-SNE map of their pixels, images of handwritten digits form clusters that are their classes, and "
    "the signals of MNIST-1D do not.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), notebook "
    "tsne-mnist-vs-mnist1d",
    prediction="Digits: votes of 10 neighbours on the map 97 +- 1.5 %, silhouette 0.55 +- 0.1. MNIST-1D: votes "
    "45 +- 8 %, below the 57 +- 3 % in pixels, silhouette -0.10 +- 0.08. All headlines hold. Classes 0, 3, 6 are right "
    "more often and lie further out. Divergence on 5000 examples 2.53 +- 0.03.",
    cost_s=90.0,
    shortened="ten sets of 3000 examples in place of one of 5000. The published set, mapped beside them, falls on the "
    "same side of both margins: votes 54.6 %, silhouette -0.09, where two sets of 3000 had 50.3 % and -0.08",
)

IMAGES, SIGNALS = "digits", "MNIST-1D"
IMAGES_AT_HAND = 1797
VOTES = 0.783  # the middle between the published 59.6 % and 97 % in pixels
NO_STRUCTURE, STRUCTURE = 0.25, 0.5  # Kaufman and Rousseeuw 1990, table 4
PUBLISHED_VOTES = 0.596  # 10 neighbours in the pixels of the published set, from its training to its test part
PUBLISHED_DIVERGENCE = 2.5276
PUBLISHED_SEED, PUBLISHED_SAMPLES = 42, 5000
FRAGMENTS = (0, 3, 6)  # the classes that the paper sees at the rim


@dataclass(frozen=True)
class Settings:
    """What a run of this claim may change."""

    runs: int = 10  # maps of each kind; the seed draws the data and is t-SNE's
    samples: int = 3000  # examples of an MNIST-1D set, in tens
    matched: int = 1500  # examples where the two kinds are equally many, in tens, at most 1797
    neighbours: int = 10  # that vote
    perplexity: int = 30  # of t-SNE
    published: bool = True  # map the published set of 5000 as well


def quick(settings: Settings) -> dict[str, Any]:
    """The short form: small sets and two seeds."""
    return {
        "runs": min(settings.runs, 2),
        "samples": min(settings.samples, 400),
        "matched": min(settings.matched, 300),
        "published": False,
    }


def faithful(settings: Settings) -> dict[str, Any]:
    """The published number of examples in the ten larger sets; the matched ones stay as they are."""
    return {"samples": max(settings.samples, PUBLISHED_SAMPLES)}


def cells(settings: Settings) -> list[Cell]:
    """Every seed of both kinds at one size, of MNIST-1D at the larger one, and the published set.

    Raises ValueError for counts below 1, numbers of examples that are not tens, too many for the images there are or
    too few for the neighbours.
    """
    trials.require_positive(settings, "runs", "neighbours", "perplexity")
    least = max(3 * settings.perplexity, settings.neighbours + 1)
    for name, most in (("samples", None), ("matched", IMAGES_AT_HAND)):
        given = getattr(settings, name)
        if given % 10 or given <= least or (most is not None and given > most):
            limit = "" if most is None else f" and at most {most}"
            raise ValueError(
                f"{name} {given} must be a multiple of 10, above {least} (3 x perplexity, and the neighbours){limit}"
            )
    kinds = dict.fromkeys(((IMAGES, settings.matched), (SIGNALS, settings.matched), (SIGNALS, settings.samples)))
    wanted = [
        Cell(tuple(_run({"data": kind, "points": points}, seed, settings) for seed in range(settings.runs)))
        for kind, points in kinds
    ]
    if settings.published:
        here = {"data": SIGNALS, "points": PUBLISHED_SAMPLES, "published": True}
        wanted.append(Cell((_run(here, PUBLISHED_SEED, settings),)))
    return wanted


def _run(place: Mapping[str, Json], seed: int, settings: Settings) -> Run:
    changed = trials.differing(settings, "runs", "samples", "matched", "published")
    points = int(place["points"])
    if place["data"] == IMAGES:
        recipe: dict[str, Json] = {"name": "digits", "points": points, "drawn_by": seed}
    else:
        recipe = {"name": "mnist1d", "num_samples": points, "seed": seed}
    return Run(ABOUT.id, ABOUT.version, {**place, **changed}, seed, recipe)


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    return 1.0 + 0.0037 * run.settings["points"]


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Map each set on a core of its own, and measure the map.

    The seed draws the MNIST-1D set, or the part of the images, and is t-SNE's own. The parts overlap, so that the
    spread over them says how much a map moves, and not how much other handwriting would.
    """
    with threadpool_limits(1), ThreadPoolExecutor(len(train.devices())) as pool:
        return list(pool.map(lambda one: _measured(one, settings), cell.runs))


def _measured(run: Run, settings: Settings) -> Result:
    x, y = _examples(run)
    made = tsne(x, seed=run.seed, perplexity=settings.perplexity)
    values = _values(x, y, made, settings.neighbours)
    if run.settings.get("published"):
        values["split_votes"] = nearest_neighbours(mnist1d.make(), settings.neighbours).value
    if run.seed != 0 and "published" not in run.settings:
        return Result(run, values)
    points = np.round(made.points, 2)
    return Result(
        run, values, {"digit": y.astype(float).tolist(), "x": points[:, 0].tolist(), "y": points[:, 1].tolist()}
    )


def _examples(run: Run) -> tuple[np.ndarray, np.ndarray]:
    points = int(run.settings["points"])
    if run.settings["data"] == SIGNALS:
        return _both(mnist1d.make(num_samples=points, seed=run.seed))
    x, y = _both(_images())
    chosen = np.random.default_rng(run.seed).permutation(len(x))[:points]
    return x[chosen], y[chosen]


@cache
def _images() -> Dataset:
    return digits.make()


def _both(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    x = np.concatenate([data.x_train, data.x_test])
    return x.reshape(len(x), -1), np.concatenate([data.y_train, data.y_test])


def _values(x: np.ndarray, y: np.ndarray, made: Map, k: int) -> dict[str, float]:
    """Votes and silhouettes, of pixels and of the map; by class, how many votes are right and how far out it lies."""
    voted = leave_one_out(made.points, y, k)
    right = confusion(voted, y, classes=10)
    away = np.linalg.norm(made.points - made.points.mean(axis=0), axis=1)
    away /= np.sqrt(np.mean(away**2))
    by_class = {f"votes_{c}": right[c, c] / max(1, right[c].sum()) for c in range(10)}
    by_class |= {f"distance_{c}": away[y == c].mean() for c in np.unique(y)}
    return {
        "votes": accuracy(voted, y).value,
        "votes_pixels": accuracy(leave_one_out(x, y, k), y).value,
        "silhouette": silhouette(made.points, y),
        "silhouette_pixels": silhouette(x, y),
        "divergence": made.divergence,
        **{name: float(value) for name, value in by_class.items()},
    }


def _by_seed(results: Sequence[Result], value: str, kind: str, points: int) -> list[float]:
    return trials.by_seed(results, value, data=kind, points=points, published=None)


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """From stored results to statements, and from the headlines among them to the verdict."""
    statements = (
        *_margins(results, settings),
        *_orders(results, settings),
        *_further(results, settings),
        *_against_published(results, settings),
    )
    return trials.judgement(
        ABOUT,
        results,
        statements,
        "On a map of pixels the digits fall into clusters that are their classes, and MNIST-1D does not.",
        table=_table(results, settings),
    )


def _margins(results: Sequence[Result], settings: Settings) -> list[Statement]:
    images = (IMAGES, settings.matched)
    signals = (SIGNALS, settings.samples)
    found = {
        (value, kind): mean(_by_seed(results, value, kind, points))
        for value, mean in (("silhouette", stats.mean_interval), ("votes", mean_accuracy))
        for kind, points in (images, signals)
    }
    return [
        within(
            "digits-silhouette",
            f"Digits: silhouette of the map ≥ {STRUCTURE}",
            found["silhouette", IMAGES],
            low=STRUCTURE,
            unit="",
            headline=True,
        ),
        within(
            "digits-votes", f"Digits: votes on the map ≥ {VOTES:.1%}", found["votes", IMAGES], low=VOTES, headline=True
        ),
        within(
            "mnist1d-silhouette",
            f"MNIST-1D: silhouette of the map ≤ {NO_STRUCTURE}",
            found["silhouette", SIGNALS],
            high=NO_STRUCTURE,
            unit="",
            headline=True,
        ),
        within(
            "mnist1d-votes",
            f"MNIST-1D: votes on the map ≤ {VOTES:.1%}",
            found["votes", SIGNALS],
            high=VOTES,
            headline=True,
        ),
    ]


def _orders(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """The two kinds at one size: two comparisons, paired by seed and corrected together.

    The seed is a number only: the two share no draw.
    """
    values = ("silhouette", "votes")
    pairs = [tuple(_by_seed(results, v, kind, settings.matched) for kind in (SIGNALS, IMAGES)) for v in values]
    silhouettes, votes = stats.judge_orders([(low, high) for low, high in pairs])
    name = "Same size, {}: MNIST-1D below digits"
    return [
        difference("matched-silhouette", name.format("silhouette"), silhouettes, unit="", headline=True),
        difference("matched-votes", name.format("votes"), votes, headline=True),
    ]


def _further(results: Sequence[Result], settings: Settings) -> list[Statement]:
    """What the map does to the neighbours, and where classes 0, 3 and 6 lie; they decide nothing."""

    def mean(value: str, classes: Sequence[int]) -> list[float]:
        each = [_by_seed(results, f"{value}_{c}", SIGNALS, settings.samples) for c in classes]
        return np.mean(each, axis=0).tolist()

    others = [c for c in range(10) if c not in FRAGMENTS]
    pairs = [
        tuple(_by_seed(results, value, SIGNALS, settings.samples) for value in ("votes", "votes_pixels")),
        (mean("votes", others), mean("votes", FRAGMENTS)),
        (mean("distance", others), mean("distance", FRAGMENTS)),
    ]
    lost, fragments, rim = stats.judge_orders([(low, high) for low, high in pairs])
    return [
        difference("map-loses", "MNIST-1D: votes are worse than in pixels", lost),
        difference("fragments", "Classes 0, 3, 6 are right more often", fragments),
        difference("rim", "Classes 0, 3, 6 lie further out", rim, unit="times the r.m.s. radius"),
    ]


def _against_published(results: Sequence[Result], settings: Settings) -> list[Statement]:
    votes, kl = f"{100 * PUBLISHED_VOTES:.1f} %", f"{PUBLISHED_DIVERGENCE:.3f}"
    sentences = ("Published set, votes in pixels: the same", "Divergence of 5000 examples: as published")
    whole = trials.where(results, data=SIGNALS, points=PUBLISHED_SAMPLES, published=True)
    if not whole or settings.neighbours != 10 or settings.perplexity != 30:
        return [unmeasured("published-votes", sentences[0], votes), unmeasured("published-kl", sentences[1], kl)]
    value = whole[0].values["split_votes"]
    exact = Measurement(value, (value, value), Evidence.exact, 1000)
    made = [one.values["divergence"] for one in trials.where(results, data=SIGNALS, points=PUBLISHED_SAMPLES)]
    several = stats.mean_interval(made)
    return [
        within(
            "published-votes",
            sentences[0],
            exact,
            low=PUBLISHED_VOTES - 0.0005,
            high=PUBLISHED_VOTES + 0.0005,
            published=votes,
        ),
        Statement(
            "published-kl",
            sentences[1],
            stats.published(made, PUBLISHED_DIVERGENCE),
            value=several.value,
            interval=stats.prediction_interval(made) if len(made) > 1 else None,
            published=kl,
            evidence=several.evidence,
            n=len(made),
            unit="nats",
        ),
    ]


def _rows(settings: Settings) -> list[tuple[str, str, int]]:
    """(label, kind, points) of what is shown."""
    kinds = dict.fromkeys(((IMAGES, settings.matched), (SIGNALS, settings.matched), (SIGNALS, settings.samples)))
    return [(f"{kind}, {points}", kind, points) for kind, points in kinds]


def _table(results: Sequence[Result], settings: Settings) -> tuple[tuple[str, ...], ...]:
    rows: list[tuple[str, ...]] = [
        ("data, examples", "votes in pixels, %", "votes on the map, %", "silhouette", "on the map", "maps")
    ]
    for label, kind, points in _rows(settings):
        chosen = trials.where(results, data=kind, points=points, published=None)
        rows.append((label, *_entries(chosen), str(len(chosen))))
    whole = trials.where(results, published=True)
    if whole:
        rows.append((f"{SIGNALS}, as published", *_entries(whole), "1"))
    return tuple(rows)


def _entries(chosen: Sequence[Result]) -> list[str]:
    votes = [percent_with_interval([one.values[v] for one in chosen]) for v in ("votes_pixels", "votes")]
    means = [np.mean([one.values[v] for one in chosen]) for v in ("silhouette_pixels", "silhouette")]
    return [*votes, *(f"{mean:.2f}" for mean in means)]


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Two maps of equally many examples, the published set's, and the measures of all maps."""
    matched = next(one.run.settings["points"] for one in results if one.run.settings["data"] == IMAGES)
    sides = [trials.where(results, data=kind, points=matched, published=None)[0] for kind in (IMAGES, SIGNALS)]
    kinds = dict.fromkeys(
        tuple(one.run.settings.get(name) for name in ("data", "points", "published")) for one in results
    )
    subtitle = f"{judgement.runs} maps; bars are 95 % intervals of the mean"
    figures = {
        "t-SNE of pixels, images of digits beside MNIST-1D": _maps(sides),
        "Votes of neighbours, in pixels and on the map": _dots(
            results, {"votes_pixels": "in pixels", "votes": "on the map"}, kinds, subtitle, votes=True
        ),
        "Silhouettes, in pixels and on the map": _dots(
            results, {"silhouette_pixels": "in pixels", "silhouette": "on the map"}, kinds, subtitle, votes=False
        ),
    }
    whole = trials.where(results, published=True)
    if whole:
        figures["t-SNE of the published MNIST-1D"] = _maps(whole)
    return figures


def _maps(chosen: Sequence[Result]) -> Json:
    rows = []
    for one in chosen:
        label = f"{one.run.settings['data']}, {one.run.settings['points']} examples"
        points = sorted(zip(one.curves["digit"], one.curves["x"], one.curves["y"], strict=True))
        rows += [{"x": x, "y": y, "digit": str(int(digit)), "data": label} for digit, x, y in points]
    return plot.scatter(rows, group="digit", axes=False, title="t-SNE of pixels", columns=2)


def _dots(
    results: Sequence[Result],
    panels: Mapping[str, str],
    kinds: Mapping[tuple[Json, ...], None],
    subtitle: str,
    *,
    votes: bool,
) -> Json:
    dots, means = [], []
    for value, panel in panels.items():
        for kind, points, published in kinds:
            place = {"net": f"{kind}, {'as published' if published else points}", "data": panel}
            chosen = trials.where(results, data=kind, points=points, published=published)
            dots += [{**place, "value": one.values[value], "seed": one.run.seed} for one in chosen]
            given = [one.values[value] for one in chosen]
            found = mean_accuracy(given) if votes else stats.mean_interval(given)
            if found.interval is not None:
                means.append({**place, "value": found.value, **bounds(found)})
    title = "Votes of neighbours" if votes else "Silhouettes of the true classes"
    value_title = "right votes" if votes else "silhouette"
    return plot.finals(dots, means, title=title, subtitle=subtitle, value_title=value_title, percent=votes)
