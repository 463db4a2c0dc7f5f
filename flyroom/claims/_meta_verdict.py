"""From stored results of the claim on a learned activation to its statements, its table and its figures."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from flyroom import plot, stats
from flyroom.claims import trials
from flyroom.claims._meta import as_published
from flyroom.claims._meta_activation import FIXED
from flyroom.claims._meta_table import distance
from flyroom.claims.statements import (
    against_published,
    bounds,
    difference,
    mean_accuracy,
    percent,
    percent_with_interval,
    unmeasured,
    within,
)
from flyroom.records import Json, Result, Statement

LABELS = {
    "learned": "learned",
    "relu": "ReLU",
    "swish": "Swish",
    "elu": "ELU",
    "softplus": "softplus",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "pieces": "six pieces",
}
RIVALS = ("relu", "swish", "elu", "softplus", "tanh", "sigmoid")
NAMED = ("relu", "swish", "elu")  # those that the sentence names

# Test accuracy on the first 500 test examples after one training: from the notebook's figure.
PUBLISHED_ACCURACY = {
    "relu": 0.588,
    "swish": 0.578,
    "elu": 0.508,
    "softplus": 0.438,
    "tanh": 0.507,
    "sigmoid": 0.349,
    "pieces": 0.664,
}
PUBLISHED_LEARNED = {151: 0.682, 301: 0.684}  # the learned one's, as printed, after so many outer steps
# Mean inner loss over all 301 steps, as printed.
PUBLISHED_LOSS = {"relu": 1.337, "swish": 1.368, "elu": 1.474, "softplus": 1.647, "tanh": 1.524, "sigmoid": 1.753}
# Outer loss at an outer step, as printed.
PUBLISHED_OUTER = {
    0: 1.352,
    10: 1.033,
    25: 0.982,
    50: 0.965,
    100: 0.944,
    150: 0.923,
    200: 0.910,
    250: 0.894,
    300: 0.884,
}

FIVE = 0.05  # "over 5 points"
POSITIVE = (-4.0, -1.0)  # where the source says that the learned activation is positive


def statements(results: Sequence[Result]) -> tuple[Statement, ...]:
    """The headlines first."""
    return (
        *_orders(results),
        *_shape(results),
        *_published(results),
        *_transfer(results),
    )


def _values(results: Sequence[Result], name: str, value: str) -> list[float]:
    """One value of every run with this activation. A training that broke down counts as one that learned nothing."""
    nothing = float(np.log(10)) if value.endswith("loss") else 0.1
    return [one if np.isfinite(one) else nothing for one in trials.by_seed(results, value, activation=name)]


def _broken(results: Sequence[Result], name: str) -> int:
    """How many trainings with this activation broke down: their loss is no number."""
    return int((~np.isfinite(trials.by_seed(results, "mean_loss", activation=name))).sum())


def _ways(results: Sequence[Result]) -> tuple[Float[np.ndarray, "run step"], int]:
    """The outer losses on their way where they are numbers throughout, and how many ways broke down."""
    ways = np.array([one.curves["outer_loss"] for one in trials.where(results, activation="learned")])
    whole = np.isfinite(ways).all(axis=1)
    return ways[whole], int((~whole).sum())


def _published_accuracies(results: Sequence[Result]) -> dict[str, float]:
    """Of the learned one the figure that was printed after as many outer steps as ours took, if one was."""
    steps = _ways(results)[0].shape[1]
    learned = {"learned": PUBLISHED_LEARNED[steps]} if steps in PUBLISHED_LEARNED else {}
    return {**learned, **PUBLISHED_ACCURACY}


def _orders(results: Sequence[Result]) -> list[Statement]:
    """Learned above each fixed one, six comparisons corrected together; by five points; and with a lower loss."""
    learned = _values(results, "learned", "test_accuracy")
    pairs = [(_values(results, name, "test_accuracy"), learned) for name in RIVALS]
    found = [
        difference(f"above-{name}", f"The learned one is above {LABELS[name]}", order, headline=name in NAMED)
        for name, order in zip(RIVALS, stats.judge_orders(pairs), strict=True)
    ]
    gain = stats.mean_interval(np.subtract(learned, _values(results, "relu", "test_accuracy")))
    loss, other = (_values(results, name, "mean_loss") for name in ("learned", "relu"))
    order = stats.judge_order(loss, other)
    own, first = (_values(results, "learned", value) for value in ("own_first_accuracy", "first_accuracy"))
    lost = stats.mean_interval(np.subtract(own, first))
    return [
        *found,
        within("five-points", "By 5 points or more above ReLU", gain, low=FIVE, headline=True, published="> 5 %"),
        difference("loss-below-relu", "Its mean training loss is below ReLU's", order, unit="nats", headline=True),
        within("not-only-its-own", "Fresh first weights cost it < 5 points", lost, high=FIVE),
    ]


def _grid(result: Result) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    return np.asarray(result.curves["x"]), np.asarray(result.curves["curve"])


def fixed(name: str, x: Float[np.ndarray, " point"]) -> Float[np.ndarray, " point"]:
    """A fixed activation at these places."""
    return np.asarray(FIXED[name](jnp.asarray(x, jnp.float32)), float)


def _whole(results: Sequence[Result]) -> list[Result]:
    """Learned activations that are functions: all values finite."""
    return [one for one in trials.where(results, activation="learned") if np.isfinite(one.curves["curve"]).all()]


def _shape(results: Sequence[Result]) -> list[Statement]:
    """Nearest to Swish of the six, and positive where the source says so; broken curves cannot be measured."""
    margins, lowest = [], []
    for one in _whole(results):
        x, curve = _grid(one)
        apart = {name: distance(curve, fixed(name, x)) for name in RIVALS}
        margins.append(min(apart[name] for name in RIVALS if name != "swish") - apart["swish"])
        lowest.append(float(curve[(x >= POSITIVE[0]) & (x <= POSITIVE[1])].min()))
    if not margins:
        return []
    nearer, positive = stats.mean_interval(margins), stats.mean_interval(lowest)
    return [
        within("resembles-swish", "In shape it is nearest to Swish", nearer, low=0.0, unit="distance", headline=True),
        within("positive", "It is positive between -4 and -1", positive, low=0.0, unit="lowest value", headline=True),
    ]


def _published(results: Sequence[Result]) -> list[Statement]:
    """The notebook's single runs among ours.

    Of losses, ours that broke down are left out, and the sentence says so; they are in the headlines.
    """
    known, found = _published_accuracies(results), []
    for name in LABELS:
        value = "own_first_accuracy" if name == "learned" else "first_accuracy"
        sentence = f"{LABELS[name]}, first 500 tests: as published"
        if name in known:
            values = _values(results, name, value)
            found.append(against_published(f"published-{name}", sentence, values, known[name], 0.0))
        else:
            steps, printed = max(PUBLISHED_LEARNED.items())
            found.append(unmeasured(f"published-{name}", sentence, f"{percent(printed, 0.0)} % after {steps}"))
    for name, loss in PUBLISHED_LOSS.items():
        values = np.asarray(trials.by_seed(results, "mean_loss", activation=name))
        found.append(_loss(f"published-loss-{name}", f"{LABELS[name]}, mean loss", values, loss))
    ways = np.array([one.curves["outer_loss"] for one in trials.where(results, activation="learned")])
    for step, loss in PUBLISHED_OUTER.items():
        if step < ways.shape[1]:
            found.append(_loss(f"published-outer-{step}", f"Outer loss at step {step}", ways[:, step], loss))
    return found


def _loss(name: str, what: str, values: Float[np.ndarray, " run"], published: float) -> Statement:
    """A published loss among those of ours that are numbers."""
    kept = values[np.isfinite(values)].tolist()
    out = len(values) - len(kept)
    sentence = f"{what}: as published" + (f", {out} left out" if out else "")
    if not kept:
        return unmeasured(name, sentence, f"{published:.3f}")
    return as_published(name, sentence, kept, published, 3, "nats")


TRANSFERS: Mapping[str, tuple[str, str, bool]] = {  # value -> (where, what, higher is better)
    "half_test_accuracy": ("half the width", "accuracy", True),
    "double_test_accuracy": ("twice the width", "accuracy", True),
    "long_test_accuracy": ("a long training", "accuracy", True),
    "cnn_test_accuracy": ("a CNN", "accuracy", True),
    "cnn_first_epoch_loss": ("a CNN's first epoch", "loss", False),
}


def _transfer(results: Sequence[Result]) -> list[Statement]:
    """Where nothing was learned: each place, against ReLU and Swish, corrected together. Nothing where not tried."""
    if "cnn_test_accuracy" not in trials.where(results, activation="learned")[0].values:
        return []
    places = [(value, rival) for value in TRANSFERS for rival in ("relu", "swish")]
    pairs = []
    for value, rival in places:
        learned, other = _values(results, "learned", value), _values(results, rival, value)
        pairs.append((other, learned) if TRANSFERS[value][2] else (learned, other))
    found = []
    for (value, rival), order in zip(places, stats.judge_orders(pairs), strict=True):
        where, what, _ = TRANSFERS[value]
        name, unit = f"{value}-{rival}".replace("_", "-"), "nats" if what == "loss" else "accuracy"
        found.append(difference(name, f"In {where} it beats {LABELS[rival]}", order, unit=unit))
    return found


def table(results: Sequence[Result]) -> tuple[tuple[str, ...], ...]:
    """Accuracy with all test examples, mean loss, and what was published of both; the accuracy on the first 500."""
    known, rows = _published_accuracies(results), []
    for name in LABELS:
        losses, broken = _values(results, name, "mean_loss"), _broken(results, name)
        rows.append(
            (
                LABELS[name],
                percent_with_interval(_values(results, name, "test_accuracy")),
                percent(known[name], 0.0) if name in known else "",
                f"{stats.mean_interval(losses).value:.3f}",
                f"{PUBLISHED_LOSS[name]:.3f}" if name in PUBLISHED_LOSS else "",
                str(len(losses)) + (f", {broken} broke down" if broken else ""),
            )
        )
    return (("activation", "test accuracy, %", "published, first 500", "mean loss", "published", "runs"), *rows)


def figures(results: Sequence[Result]) -> dict[str, Json]:
    """The learned curves beside known ones, one of them on its way, the accuracies, the outer loss on its way."""
    drawn = {}
    if whole := _whole(results):
        drawn["The learned activations, their mean, and known ones"] = _curves(results)
        drawn["One activation on its way"] = _stages(whole[0])
    drawn["Test accuracy with each activation, on first weights that nothing was learned on"] = _finals(results)
    ways, broken = _ways(results)
    if not len(ways):
        return drawn
    rows = [
        {"net": "outer loss", "data": "mean of the last inner losses", "step": k, "mean": found.value, **bounds(found)}
        for k in range(ways.shape[1])
        for found in [stats.mean_interval(ways[:, k])]
    ]
    marks = [
        {"net": "outer loss", "data": "mean of the last inner losses", "step": k, "mean": loss}
        for k, loss in PUBLISHED_OUTER.items()
        if k < ways.shape[1]
    ]
    drawn["The outer loss on its way, and the notebook's"] = plot.curves(
        rows, published=marks, x_title="outer step", y_title="outer loss", percent=False,
        title="Learning the activation",
        subtitle=f"{len(ways)} activations" + (f"; {broken} broke down" if broken else ""),
    )  # fmt: skip
    return drawn


def _stages(one: Result) -> Json:
    """What one seed's activation was at the outer steps at which it was stored."""
    x = _grid(one)[0]
    stages = sorted(int(name.removeprefix("curve_")) for name in one.curves if name.startswith("curve_"))
    rows = [
        {"net": f"step {stage}", "data": f"seed {one.run.seed}", "x": float(a), "y": float(b)}
        for stage in stages
        for a, b in zip(x[::2], one.curves[f"curve_{stage}"][::2], strict=True)
    ]
    return plot.curves(
        rows, x="x", y="y", x_title="input", y_title="activation", percent=False, y_domain=(-2.5, 5.5),
        title="One activation on its way", subtitle="as tried at these outer steps",
    )  # fmt: skip


def _curves(results: Sequence[Result]) -> Json:
    """Left: every learned curve beside their mean; right: the mean beside the published fit and known functions."""
    learned = _whole(results)
    x = _grid(learned[0])[0]
    shown = slice(None, None, 2)
    values = np.array([_grid(one)[1] for one in learned])
    rows = [
        {"net": f"seed {one.run.seed}", "data": "every seed", "x": float(a), "y": float(b)}
        for one, curve in zip(learned, values, strict=True)
        for a, b in zip(x[shown], curve[shown], strict=True)
    ]
    lines = {"learned, mean": values.mean(axis=0)}
    lines |= {"published fit": fixed("pieces", x), "Swish": fixed("swish", x), "ELU": fixed("elu", x)}
    rows += [
        {"net": name, "data": "their mean and known ones", "x": float(a), "y": float(b)}
        for name, curve in lines.items()
        for a, b in zip(x[shown], curve[shown], strict=True)
    ]
    return plot.curves(
        rows, x="x", y="y", x_title="input", y_title="activation", percent=False, y_domain=(-2.5, 5.5),
        title="The learned activation", subtitle=f"{len(learned)} seeds",
    )  # fmt: skip


def _finals(results: Sequence[Result]) -> Json:
    place = {"data": "test accuracy"}
    dots, means = [], []
    for name, label in LABELS.items():
        values = _values(results, name, "test_accuracy")
        dots += [{**place, "net": label, "value": value, "seed": seed} for seed, value in enumerate(values)]
        found = mean_accuracy(values)
        means.append({**place, "net": label, "value": found.value, **bounds(found)})
    marks = [{**place, "net": LABELS[name], "value": value} for name, value in _published_accuracies(results).items()]
    return plot.finals(
        dots, means, marks, title="Test accuracy after one training",
        subtitle="ours: fresh weights, all tests; published: one run, own draw, first 500",
    )  # fmt: skip
