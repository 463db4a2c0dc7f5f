"""A made-up account for the tests of the report: the shape of the first claim, with drawn numbers."""

from dataclasses import replace

import numpy as np

from flyroom import plot, stats
from flyroom.records import About, Account, Evidence, Judgement, Provenance, Result, Run, Statement, Verdict

MEANS = {
    False: {"linear": 0.316, "mlp": 0.64, "gru": 0.91, "cnn": 0.933},
    True: {"linear": 0.316, "mlp": 0.65, "gru": 0.53, "cnn": 0.575},
}
STEPS = list(range(0, 6001, 500))
ROW = {"net": "", "data": "", "step": 0, "mean": 0.5}


def results(seeds=10):
    rng = np.random.default_rng(0)
    made = []
    for shuffled, nets in MEANS.items():
        for net, mean in nets.items():
            for seed in range(seeds):
                final = mean + 0.01 * float(rng.normal())
                path = [0.1 + (final - 0.1) * (1 - float(np.exp(-step / 500))) for step in STEPS[:-1]]
                made.append(
                    Result(
                        Run("spatial-prior", 1, {"net": net, "shuffled": shuffled}, seed, {"recipe": "mnist1d"}),
                        {"test_accuracy": final, "train_accuracy": 0.99, "test_loss": 1 - final},
                        {"step": [float(step) for step in STEPS], "test_accuracy": [*path, final]},
                        wall_s=0.5,
                        cpu_s=0.9,
                    )
                )
    return made


def figures(made):
    curves, rows, means = [], [], []
    for shuffled, nets in MEANS.items():
        panel = "shuffled" if shuffled else "plain"
        for net in nets:
            own = [r for r in made if r.run.settings == {"net": net, "shuffled": shuffled}]
            paths = np.array([r.curves["test_accuracy"] for r in own])
            low, high = stats.mean_band(paths)
            place = {"net": net, "data": panel}
            curves += [
                {**place, "step": s, "mean": m, "low": lo, "high": hi}
                for s, m, lo, hi in zip(STEPS, paths.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
            ]
            rows += [{**place, "seed": r.run.seed, "value": r.values["test_accuracy"]} for r in own]
            interval = stats.mean_interval(paths[:, -1])
            means.append({**place, "value": interval.value, "low": low[-1].item(), "high": high[-1].item()})
    published = [
        {"net": net, "data": panel, "value": value, "plus_minus": 0.02}
        for panel, found in (
            ("plain", {"linear": 0.32, "mlp": 0.68, "gru": 0.91, "cnn": 0.94, "human": 0.96}),
            ("shuffled", {"linear": 0.32, "mlp": 0.68, "gru": 0.57, "cnn": 0.56}),
        )
        for net, value in found.items()
    ]
    return {
        "Test accuracy while training: mean of 10 seeds, with pointwise 95 % intervals.": plot.curves(
            curves, title="The right spatial prior learns faster, and further"
        ),
        "Test accuracy after 6000 steps: every seed, the mean, and the published figure.": plot.finals(
            rows, means, published, title="What shuffling the signal costs"
        ),
    }


def account(made, mark=""):
    """`mark` is put into every text, so that a test can look for it on the page."""
    statements = (
        Statement(
            "order" + mark, "The MLP is less accurate than the GRU." + mark, Verdict.supported, 0.27,
            (0.262, 0.279), None, Evidence.estimate, 10, 0.0059, mark, True,
        ),
        Statement(
            "mlp", "The published accuracy of the MLP, 68 ± 2 %, is compatible with ours." + mark,
            Verdict.excluded, 0.64, (0.61, 0.67), "68 ± 2 %" + mark, n=10,
        ),
        Statement("time", "Training the GRU takes at least 10 times as long." + mark, Verdict.undecided, headline=True),
    )  # fmt: skip
    table = (
        ("network" + mark, "plain", "shuffled", "published"),
        ("linear" + mark, "31.6 [31.5, 31.7]", "31.6 [31.5, 31.7]", "32 ± 1"),
        ("cnn", "93.3 [92.8, 93.9]", "57.5 [56.9, 58.0]", "94 ± 2" + mark),
    )
    return Account(
        About(
            "spatial-prior", 1, "Spatial priors separate networks on MNIST-1D" + mark,
            "On MNIST-1D a linear classifier, an MLP, a GRU and a CNN are told apart by their accuracy." + mark,
            "Greydanus and Kobak (2020), Scaling down deep learning, Table 1" + mark,
            "linear 32 ± 1, MLP 68 ± 2, GRU 91 ± 2, CNN 94 ± 2" + mark, 90.0,
            "3000 steps of 6000; at 6000 the order is the same." + mark,
        ),
        Judgement(
            "spatial-prior", 1, Verdict.undecided, "The order holds; the ratio of times is not resolved." + mark,
            statements, len(made), table, 84.2, 160.1,
        ),
        figures(made) if made and not mark else {mark: plot.curves([ROW | {"net": mark, "data": mark}])},
        Provenance(
            "0.1.0" + mark, "ab" * 32 + mark, {"jax": "0.10.0" + mark, "numpy": "2.4.6"},
            {"processor": "AMD EPYC" + mark, "cores": 2}, "flyroom run spatial-prior --runs 10" + mark,
            "2026-11-21T06:40:00Z",
        ),
        {"steps": 6000, "optimiser": "adam" + mark},
        tuple(f"{i:064x}" for i in range(len(made))),
    )  # fmt: skip


ANIMATION = plot.animation(
    [{"x": [0.0, 1.0, 2.0], "y": [[0.0, height, 0.0]]} for height in (1.0, -1.0, 0.5)], ["up", "down", "half"]
)


def scattered(points):
    """A figure of many points, as some claims have."""
    places = np.random.default_rng(0).normal(size=(points, 2)).tolist()
    rows = [{"x": x, "y": y, "class": f"class {i % 3}", "data": "drawn"} for i, (x, y) in enumerate(places)]
    return plot.scatter(rows)


def shelf(made):
    """Accounts of several claims, every verdict and kind of figure among them, as a gallery gets them."""
    first = account(made)
    pictures = list(first.figures.items())
    kinds = {
        "lottery": (Verdict.supported, "Sparse networks train as well as dense ones", [pictures[1]]),
        "deep-double-descent": (Verdict.refuted, "Test error rises again where data are just fitted", []),
        "moving-signals": (Verdict.supported, "A signal moves", [("From stage to stage.", ANIMATION), pictures[0]]),
        "points": (Verdict.supported, "Thousands of points", [("Every one of them.", scattered(1500))]),
    }
    headline = replace(first.judgement.statements[0], evidence=Evidence.exact, published="0.27", headline=True)
    made_up = [
        replace(
            first,
            about=replace(first.about, id=name, title=title, sentence=f"{title}, whatever the seed.", shortened=""),
            judgement=replace(
                first.judgement, claim=name, verdict=verdict, sentence=f"So it is: {verdict.value}.", runs=12,
                statements=(headline,) * (1 + place), wall_s=3.21, cpu_s=8000.0 * place,
            ),
            figures=dict(shown),
        )
        for place, (name, (verdict, title, shown)) in enumerate(kinds.items())
    ]  # fmt: skip
    return [first, *made_up]
