"""Figures of the claim about the human ceiling."""

from collections.abc import Mapping, Sequence

import numpy as np

from flyroom import plot
from flyroom.claims import _human, trials
from flyroom.claims.statements import band, bounds, mean_accuracy
from flyroom.records import Json, Measurement, Result

PANELS = {"published": "4,000 examples", "more": "more examples", "shuffled": "4,000, shuffled"}
NEAR = ("cnn", "pooling-cnn", "residual-cnn")  # networks near the reader; the others are in the table
# In Table 1 and the fork's notebook, on all 1000 test examples; the reader's is of the paper.
PUBLISHED = {"cnn": (0.94, 0.02), "residual-cnn": (0.987, 0.0)}
READER_PUBLISHED = (0.96, 0.01)


def figure(
    results: Sequence[Result], labels: Mapping[str, str], reader: Measurement, ceiling: Measurement
) -> dict[str, Json]:
    """Reader, networks and ceiling on one axis; errors digit by digit; the curves while training."""
    trained = sum(one.run.settings["net"] != "bayes" for one in results)
    return {
        "Accuracy on the 400 examples that the reader saw: networks, reader, ceiling": _ladder(
            results, labels, reader, ceiling
        ),
        "Errors of each digit": plot.tiles(
            _errors(results, labels),
            x="digit",
            y="who",
            x_title="digit",
            value_title="share that is missed",
            percent=True,
            title="Which digits are missed",
            subtitle="the Bayes classifier's share is that expected of its posterior",
            columns=1,
        ),
        "Test accuracy while training": plot.curves(
            _curves(results, labels),
            title="Test accuracy while training",
            subtitle=f"{trained} networks; bands are 95 % intervals of the mean; all 1000 published test examples",
        ),
    }


def _ladder(
    results: Sequence[Result], labels: Mapping[str, str], reader: Measurement, ceiling: Measurement
) -> dict[str, Json]:
    dots, means, published = [], [], []
    for data in ("published", "more"):
        for net in NEAR:
            chosen = trials.where(results, net=net, data=data)
            if not chosen:
                continue
            place = {"net": labels[net], "data": PANELS[data]}
            values = [one.values["seen_accuracy"] for one in chosen]
            dots += [{**place, "value": value, "seed": one.run.seed} for one, value in zip(chosen, values, strict=True)]
            means.append({**place, "value": mean_accuracy(values).value, **bounds(mean_accuracy(values))})
            if net in PUBLISHED and data == "published":
                mean, spread = PUBLISHED[net]
                published.append({**place, "value": mean, "plus_minus": spread})
        for name, known in (("human", reader), ("Bayes", ceiling)):
            means.append({"net": name, "data": PANELS[data], "value": known.value, **bounds(known)})
    mean, spread = READER_PUBLISHED
    published.append({"net": "human", "data": PANELS["published"], "value": mean, "plus_minus": spread})
    return plot.finals(
        dots,
        means,
        published,
        value_title="accuracy on the reader's 400 examples",
        title="Networks, a human reader, and the ceiling",
        subtitle="bars are 95 % intervals; Bayes is of fresh examples; published networks are of all 1000",
    )


def _errors(results: Sequence[Result], labels: Mapping[str, str]) -> list[dict[str, Json]]:
    rows = {"human": [error / 100 for error in _human.READER_ERRORS]}
    for name, value, place in (
        (labels["cnn"], "error", {"net": "cnn", "data": "published"}),
        (labels["residual-cnn"], "error", {"net": "residual-cnn", "data": "published"}),
        ("Bayes", "expected_error", {"net": "bayes", "data": "fresh"}),
    ):
        chosen = trials.where(results, **place)
        rows[name] = [float(np.mean([one.values[f"{value}_{digit}"] for one in chosen])) for digit in range(10)]
    return [
        {"digit": digit, "who": name, "value": error, "data": "test examples"}
        for name, errors in rows.items()
        for digit, error in enumerate(errors)
    ]


def _curves(results: Sequence[Result], labels: Mapping[str, str]) -> list[dict[str, Json]]:
    rows = []
    for data, panel in PANELS.items():
        for net, label in labels.items():
            chosen = trials.where(results, net=net, data=data)
            rows += band(chosen, "test_accuracy", {"net": label, "data": panel}) if chosen else []
    return rows
