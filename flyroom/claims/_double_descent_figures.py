"""Double descent: the table and the figures."""

from collections.abc import Sequence

from flyroom import plot
from flyroom.claims import _double_descent_sweeps as sweeps
from flyroom.claims._double_descent import EXAMPLES, NOISE, PUBLISHED, THRESHOLD, parameters
from flyroom.claims._double_descent_sweeps import Sweep
from flyroom.claims.statements import band, bounds, mean_accuracy, percent_with_interval
from flyroom.records import Json, Judgement, Result

LETTER = {"mlp": "n", "cnn": "c"}
LABELS = {"noisy": "noise", "clean": "no noise"}
BANDS = "bands are 95 % intervals of the mean"
SHOWN = {"test": "test error", "train": "training error"}


def panel(one: Sweep) -> str:
    """What a sweep is called: MLP, noise."""
    few = "" if one.examples == EXAMPLES else f", {one.examples} examples"
    return f"{one.net.upper()}, {LABELS[one.labels]}{few}"


def found(results: Sequence[Result]) -> list[Sweep]:
    """The sweeps that there are results of, in the order of the results."""
    places = dict.fromkeys(
        (one.run.settings["net"], one.run.settings["labels"], one.run.settings["examples"]) for one in results
    )
    return [
        Sweep(*place, tuple(sorted({one.run.settings["size"] for one in results if _place(one) == place})))
        for place in places
    ]


def _place(one: Result) -> tuple[str, str, int]:
    return one.run.settings["net"], one.run.settings["labels"], one.run.settings["examples"]


def table(results: Sequence[Result], every: Sequence[Sweep]) -> tuple[tuple[str, ...], ...]:
    """One row a size: test error with its interval, the published one, training error."""
    rows = [("network", "size", "parameters", "test error, %", "published", "training error, %", "runs")]
    for one in every:
        for size in one.sizes:
            test, train = (sweeps.errors(results, one, size, part) for part in SHOWN)
            known = published_errors(results, one).get(size)
            broken = sum("diverged_at_step" in run.values for run in sweeps.chosen(results, one, size))
            rows.append(
                (
                    panel(one),
                    str(size),
                    f"{parameters(one.net, size):,}",
                    percent_with_interval(test),
                    "" if known is None else f"{known:.1f}",
                    f"{100 * sum(train) / len(train):.1f}",
                    f"{len(test)}" + (f" ({broken} diverged)" if broken else ""),
                )
            )
    return tuple(rows)


def published_errors(results: Sequence[Result], one: Sweep) -> dict[int, float]:
    """The published errors of a sweep in per cent, by size; none unless its protocol and its noise are the published.

    The noise is in the recipe of the data, and in that alone.
    """
    ours = [run.run for run in results if _place(run) == (one.net, one.labels, one.examples)]
    noise = {run.data.get("probability") for run in ours if one.labels == "noisy"}
    protocols = {run.settings.get("protocol", "mnist1d") for run in ours}
    if one.examples != EXAMPLES or protocols != {"mnist1d"} or not noise <= {NOISE}:
        return {}
    return dict(PUBLISHED.get((one.net, one.labels), {}))


def draw(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """Three figures: over parameters, over epochs, over parameters for each number of examples."""
    every = found(results)
    whole = [one for one in every if one.examples == EXAMPLES]
    runs = f"{judgement.runs} networks; {BANDS}"
    known = any(published_errors(results, one) for one in whole)
    diamonds = "; diamonds are the published test errors" if known else ""
    figures = {
        f"Error against the number of parameters{diamonds}": _over_size(results, whole, runs),
        "Error of the widest MLP in the course of training": _over_epochs(results, whole[0]),
    }
    if len(every) > len(whole):
        noisy = [one for one in every if (one.net, one.labels) == ("mlp", "noisy")]
        figures["Test error of the MLP for each number of training examples"] = _over_examples(results, noisy)
    return figures


def _over_size(results: Sequence[Result], whole: Sequence[Sweep], runs: str) -> dict[str, Json]:
    rows, published, rules = [], [], []
    for one in whole:
        for part, name in SHOWN.items():
            rows += [{**row, "net": name, "data": panel(one)} for row in _points(results, one, part)]
        published += [
            {"net": SHOWN["test"], "data": panel(one), "size": parameters(one.net, size), "mean": error / 100}
            for size, error in published_errors(results, one).items()
            if size <= one.sizes[-1]  # beyond, they would lie under the names of the lines
        ]
        fitted = [row["size"] for row in _points(results, one, "train") if row["mean"] < THRESHOLD]
        if fitted:
            rules.append({"data": panel(one), "size": fitted[0], "label": "threshold"})
    return plot.curves(
        rows,
        x="size",
        x_title="parameters",
        y_title="error",
        title="Test and training error against size",
        subtitle=f"{runs}; threshold: training error below 1 %",
        log_x=True,
        points=True,
        rules=rules,
        published=published,
        y_domain=(0.0, 0.8),
    )


def _points(results: Sequence[Result], one: Sweep, part: str) -> list[dict[str, Json]]:
    """A row for each size: the mean error over seeds with its interval."""
    rows = []
    for size in one.sizes:
        mean = mean_accuracy(sweeps.errors(results, one, size, part))
        rows.append({"size": parameters(one.net, size), "mean": mean.value, **bounds(mean)})
    return rows


def _over_epochs(results: Sequence[Result], one: Sweep) -> dict[str, Json]:
    widest = one.sizes[-1]
    rows = []
    for part, name in SHOWN.items():
        right = band(sweeps.chosen(results, one, widest), f"{part}_accuracy", {"net": name, "data": panel(one)})
        epochs = sweeps.chosen(results, one, widest)[0].curves["epoch"]
        rows += [
            {
                "net": row["net"],
                "data": f"{row['data']}, n = {widest}",
                "epoch": epoch,
                **{"mean": 1 - row["mean"], "low": 1 - row["high"], "high": 1 - row["low"]},
            }
            for row, epoch in zip(right, epochs, strict=True)
            if epoch > 0  # the axis is logarithmic
        ]
    return plot.curves(
        rows,
        x="epoch",
        x_title="epoch",
        y_title="error",
        title="Error in the course of training",
        subtitle=f"{len(sweeps.chosen(results, one, widest))} networks; {BANDS}",
        log_x=True,
        points=True,
    )


def _over_examples(results: Sequence[Result], every: Sequence[Sweep]) -> dict[str, Json]:
    rows = [
        {**row, "net": f"{one.examples} examples", "data": "MLP, noise"}
        for one in sorted(every, key=lambda one: one.examples)
        for row in _points(results, one, "test")
    ]
    return plot.curves(
        rows,
        x="size",
        x_title="parameters",
        y_title="test error",
        title="Does the peak move with the number of examples?",
        subtitle=BANDS,
        log_x=True,
        points=True,
        y_domain=(0.3, 0.8),
    )
