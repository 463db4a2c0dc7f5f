"""What the lottery-ticket claim shows, and the published figures that stand beside it."""

from collections.abc import Mapping, Sequence

from flyroom import plot, stats
from flyroom.claims.statements import band, bounds, mean_accuracy, percent_with_interval
from flyroom.records import Json, Judgement, Result

TICKET = "ticket"
KINDS = ("dense", "random", TICKET)
NAMES = {"dense": "dense", "random": "random mask", TICKET: "ticket"}
# Where networks are trained: "found" is the data set that the tickets were found on, the others are `CONDITIONS`.
ROWS = {
    "found": "own data",
    "new": "new data",
    "redrawn": "re-drawn",
    "flipped": "flipped",
    "shuffled": "shuffled",
    "chunks": "swapped",
}
PANELS = {
    "found": "the data it was found on",
    "new": "new data",
    "redrawn": "new data, first weights re-drawn",
    "flipped": "new data, flipped",
    "shuffled": "new data, positions shuffled",
    "chunks": "new data, chunks swapped",
}
# The notebook's printed output, two trials, last test accuracy of a round: sparsity, accuracy.
SPARSITIES = (0.0, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 0.92, 0.95, 0.96, 0.97, 0.98, 0.99)
PRINTED_ROUNDS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    TICKET: (
        (0.664, 0.649, 0.686, 0.680, 0.702, 0.729, 0.743, 0.756, 0.692, 0.693, 0.681, 0.630, 0.419),
        (0.648, 0.649, 0.691, 0.646, 0.684, 0.721, 0.741, 0.744, 0.705, 0.715, 0.673, 0.638, 0.415),
    ),
    "random": (
        (0.606, 0.619, 0.636, 0.663, 0.652, 0.686, 0.605, 0.606, 0.559, 0.515, 0.412, 0.346, 0.167),
        (0.614, 0.640, 0.621, 0.645, 0.663, 0.663, 0.657, 0.618, 0.546, 0.499, 0.437, 0.272, 0.154),
    ),
}
# Final test accuracy on new data, means of two trials. As printed: its "original" first weights were in truth drawn
# anew, for the seeding had been lost. As drawn in the first version of the figures; chunks were not drawn.
PRINTED: Mapping[str, Mapping[str, float]] = {
    "new": {"dense": 0.642, "random": 0.600, TICKET: 0.659},
    "redrawn": {"dense": 0.6375, "random": 0.6045, TICKET: 0.655},
    "shuffled": {"dense": 0.6375, "random": 0.607, TICKET: 0.628},
    "flipped": {"dense": 0.6305, "random": 0.6025, TICKET: 0.628},
    "chunks": {"dense": 0.641, "random": 0.592, TICKET: 0.6185},
}
DRAWN: Mapping[str, Mapping[str, float]] = {
    "new": {"dense": 0.636, "random": 0.592, TICKET: 0.706},
    "redrawn": {"dense": 0.639, "random": 0.582, TICKET: 0.672},
    "shuffled": {"dense": 0.646, "random": 0.581, TICKET: 0.628},
    "flipped": {"dense": 0.646, "random": 0.608, TICKET: 0.688},
}


def published(at: str) -> list[Mapping[str, float]]:
    """The published accuracies of one condition: two trials where the ticket was found, else two versions' means."""
    if at == "found":
        i = SPARSITIES.index(0.92)
        return [
            {"dense": PRINTED_ROUNDS[TICKET][t][0], **{kind: PRINTED_ROUNDS[kind][t][i] for kind in (TICKET, "random")}}
            for t in (0, 1)
        ]
    return [figures[at] for figures in (PRINTED, DRAWN) if at in figures]


def control(results: Sequence[Result], condition: str) -> str:
    """The value that holds the dense network to compare a condition's tickets with: its own where it was trained.

    All of them are alike in distribution: a dense network cannot tell permuted positions from plain ones.
    """
    own = f"dense_{condition}"
    return own if results and all(own in one.values for one in results) else "dense_new"


def table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """One row a condition, and one that counts the networks that diverged, if any did.

    The published tickets are those of the notebook and of the figures of its first version.
    """

    def cell(name: str) -> str:
        if not results or not all(name in one.values for one in results):
            return ""
        return percent_with_interval([one.values[name] for one in sorted(results, key=lambda one: one.run.seed)])

    rows: list[tuple[str, ...]] = [("trained on", "dense, %", "random, %", "ticket, %", "published")]
    for at, row in ROWS.items():
        if at == "found" or cell(f"{TICKET}_{at}"):
            printed = ", ".join(f"{100 * one[TICKET]:.1f}" for one in published(at))
            rows.append((row, *(cell(name if at == "found" else f"{name}_{at}") for name in KINDS), printed))
    diverged = sum(int(one.values.get("diverged", 0)) for one in results)
    return (*rows, (f"{diverged} diverged", "", "", "", "")) if diverged else tuple(rows)


def figures(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    said = f"{judgement.runs} seeds; bars and bands are 95 % intervals of the mean"
    shown = {
        "Test accuracy against the share of weights that is cut, and the published trials": _against_sparsity(
            results, said
        ),
        "Tickets, dense networks and random masks, where the ticket was found and on new data": _transfers(
            results, said
        ),
    }
    if all("step" in one.curves for one in results):
        shown["Test accuracy while training on new data"] = _on_the_way(results, said)
    held = "unit and each position" if _both(results) else "unit"
    shown[f"Kept neighbours in the first layer, as a multiple of chance, given how many each {held} keeps"] = (
        _neighbours(results, said)
    )
    return shown


def _against_sparsity(results: Sequence[Result], said: str) -> dict[str, Json]:
    data = "MNIST-1D, the data it was found on"
    rows = []
    for group, along, curve in (("ticket", "sparsity", "magnitude"), ("random mask", "random_sparsity", "random")):
        if not all(curve in one.curves for one in results):
            continue
        for i, level in enumerate(results[0].curves[along]):
            found = mean_accuracy([one.curves[curve][i] for one in results])
            rows.append({"net": group, "data": data, "sparsity": level, "mean": found.value, **bounds(found)})
    dense = mean_accuracy([one.values["dense"] for one in results])
    for level in (0.0, 1.0):
        rows.append({"net": "dense", "data": data, "sparsity": level, "mean": dense.value, **bounds(dense)})
    marks = [
        {"net": NAMES[kind], "data": data, "sparsity": level, "mean": value}
        for kind, trials in PRINTED_ROUNDS.items()
        if kind == TICKET or any(row["net"] == NAMES[kind] for row in rows)
        for trial in trials
        for level, value in zip(SPARSITIES, trial, strict=True)
    ]
    return plot.curves(
        rows,
        x="sparsity",
        x_title="share of weights cut",
        published=marks,
        points=True,
        title="Pruned by magnitude, and at random",
        subtitle=said,
    )


def _transfers(results: Sequence[Result], said: str) -> dict[str, Json]:
    dots, means, marks = [], [], []
    for at, panel in PANELS.items():
        if at != "found" and not all(f"{TICKET}_{at}" in one.values for one in results):
            continue
        for kind in KINDS:
            name = kind if at == "found" else control(results, at) if kind == "dense" else f"{kind}_{at}"
            if not all(name in one.values for one in results):
                continue
            here = {"net": NAMES[kind], "data": panel}
            found = mean_accuracy([one.values[name] for one in results])
            dots += [{**here, "value": one.values[name], "seed": one.run.seed} for one in results]
            means.append({**here, "value": found.value, **bounds(found)})
            marks += [{**here, "value": one[kind], "plus_minus": 0.0} for one in published(at)]
    return plot.finals(dots, means, marks, title="Tickets elsewhere", subtitle=said)


def _on_the_way(results: Sequence[Result], said: str) -> dict[str, Json]:
    lines = {"dense_new": "dense", **{f"{TICKET}_{at}": f"ticket, {ROWS[at]}" for at in ROWS if at != "found"}}
    rows = [
        row
        for name, group in lines.items()
        if all(name in one.curves for one in results)
        for row in band(results, name, {"net": group, "data": "new data"})
    ]
    return plot.curves(rows, title="Test accuracy while training on new data", subtitle=said, y_domain=(0.0, 0.8))


def _both(results: Sequence[Result]) -> bool:
    """Whether the chance that holds the counts of units and of positions is stored with every run."""
    return all(f"{TICKET}_expected_both_2" in one.values for one in results)


def _neighbours(results: Sequence[Result], said: str) -> dict[str, Json]:
    dots, means = [], []
    chance = "expected_both" if _both(results) else "expected"
    for k in (2, 3, 4):
        for kind in (TICKET, "random"):
            if not all(one.values.get(f"{kind}_{chance}_{k}", 0.0) > 0 for one in results):
                continue
            here = {"net": NAMES[kind], "data": f"{k} neighbours kept"}
            pairs = [(one.values[f"{kind}_adjacent_{k}"], one.values[f"{kind}_{chance}_{k}"]) for one in results]
            found = stats.ratio([have for have, _ in pairs], [expected for _, expected in pairs])
            dots += [
                {**here, "value": have / expected, "seed": one.run.seed}
                for one, (have, expected) in zip(results, pairs, strict=True)
            ]
            # Student's interval of two seeds reaches below none, where no count lies.
            means.append({**here, "value": found.value, **{end: max(0.0, at) for end, at in bounds(found).items()}})
    title = "Neighbours kept together: times chance"
    return plot.finals(dots, means, value_title="times chance", percent=False, title=title, subtitle=said)
