"""Claim: how MNIST-1D is built, stage by stage; every statement is a fact about the generator, and decided exactly.

Source: Greydanus and Kobak, "Scaling Down Deep Learning with MNIST-1D", ICML 2024 (arXiv 2011.14439), section 2 and
Figure 2, appendix A, and the notebook `building-mnist1d`.

Protocol: nothing is trained. The published set (seed 42, 5000 signals) is drawn once more, one number after another
from NumPy's legacy generator, put through the stages one at a time, and compared with `mnist1d.make()` bit by bit and
with the published file in float32 (by its SHA-256: doubles are the file's within 1e-15). Everything about digits alone
is enumerated: 10 classes, 25 paddings, 48 shifts. Ten digits of the seed are kept at every stage, for the figures; they
are drawn from the indexed stream, in which a setting changes what it does and no other draw.

Predicted before the first run: all headlines hold, with no value of 200,000 that differs; a digit covers 7 to 10 of
the 40 points.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from flyroom import plot
from flyroom.claims import trials
from flyroom.claims.statements import within
from flyroom.data import mnist1d
from flyroom.data.mnist1d import Draws, stages
from flyroom.records import About, Cell, Evidence, Json, Judgement, Measurement, Result, Run, Statement

ABOUT = About(
    id="building",
    version=2,
    title="How MNIST-1D is built",
    sentence="MNIST-1D is ten templates of twelve points that are padded, stretched, scaled, shifted, given correlated "
    "noise on the background and independent noise everywhere, sheared and subsampled to forty points.",
    source="Greydanus and Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024 (arXiv 2011.14439), section 2, "
    "Figure 2, and the notebook building-mnist1d",
    prediction="All headlines hold: the templates are the published ones; templates 6, 7 and 8 are 0, 1 and 3 with "
    "the sign changed; no digit wraps round the end; correlated noise changes no point of a digit; 0 of 200,000 values "
    "of the published set differ. A digit covers 7 to 10 of the 40 points.",
    cost_s=2.0,
)

# SHA-256 of the published templates, rounded to twelve decimals, as 120 little-endian doubles.
TEMPLATES = "e88fb54d3652097d755ee43a34c1165c44acaee649edbd482b6e392bc4aaf29b"
# SHA-256 of the published file, training part first: signals as little-endian float32, labels as little-endian int64.
SIGNALS = "0b2b548d14a498bf71ce4d5e7df61d47851b3e5dd7e7f581a1011383cb03467c"
FILE_LABELS = "6feec4a017698c7fe237c8854cbd2e338c6dd5c16240f6fa79daefaaa129e169"
MIRRORED = ((6, 0), (7, 1), (8, 3))
COVERED = (7, 10)  # of 40 points
SMOOTHED = 0.3756  # of the deviation is what the smoothing leaves
ROUNDING = 1e-12

# The order in which the notebook adds transformations, and what each leaves switched off. What is on is the default.
OFF: Mapping[str, Json] = {
    "padding": (60, 60),
    "scale_coeff": 0.0,
    "max_translation": 1,
    "corr_noise_scale": 0.0,
    "iid_noise_scale": 0.0,
    "shear_scale": 0.0,
}
ADDED = (
    ("pad", "padded to one length", ""),
    ("range", "padded, and stretched to 72 points", "padding"),
    ("scale", "scaled", "scale_coeff"),
    ("shift", "shifted", "max_translation"),
    ("corr.", "correlated noise on the background", "corr_noise_scale"),
    ("iid", "independent noise everywhere", "iid_noise_scale"),
    ("shear", "sheared", "shear_scale"),
)


@dataclass(frozen=True)
class Settings:
    """What may be changed: which digits are drawn. The statements are about the published set whatever it is."""

    seed: int = 0  # of the ten digits in the figures


def quick(settings: Settings) -> dict[str, Any]:
    """It is quick already."""
    return {}


def cells(settings: Settings) -> list[Cell]:
    """One run. Raises ValueError for a seed below 0."""
    mnist1d.stream(seed=settings.seed)  # refuses what is no seed, in words
    return [Cell((Run(ABOUT.id, ABOUT.version, {}, settings.seed, _published().recipe),))]


def cost(run: Run) -> float:
    """Seconds of one core, roughly."""
    return 2.0


def run(cell: Cell, settings: Settings) -> list[Result]:
    """Count and compare; and build ten digits."""
    found = {**_template_facts(), **_digit_facts(), **_published_facts()}
    return [Result(one, found, _digits(one.seed)) for one in cell.runs]


@cache
def _published() -> Any:
    return mnist1d.make()


def digest(values: Shaped[np.ndarray, "..."], form: str) -> str:
    """SHA-256 of these numbers, row by row, in a form such as "<f4" (little-endian, four bytes)."""
    return hashlib.sha256(values.astype(form).tobytes(order="C")).hexdigest()


def _template_facts() -> dict[str, float]:
    x = mnist1d.templates().x
    mirrored = max(float(np.abs(x[one] + x[other]).max()) for one, other in MIRRORED)
    weights = stages.gaussian_weights()
    return {
        "templates_as_published": float(digest(np.round(x, 12) + 0.0, "<f8") == TEMPLATES),
        "mirror_difference": mirrored,
        "smoothing_leaves": float(np.sqrt((weights**2).sum())),
    }


def _digit_facts() -> dict[str, float]:
    """Over all classes, paddings and shifts: how many of the 40 points a digit reaches, and whether it wraps."""
    process = mnist1d.stream().process
    dilated = stages.dilator(mnist1d.templates().x, process)
    reached, wrapped, classes_differ = [], 0, 0
    for padding in range(process.padding[0], process.padding[1] + 1):
        digits = dilated(np.arange(10), np.full(10, padding))
        for shift in range(process.max_translation):
            moved = stages.translate(digits, np.full(10, shift))
            reached.append((stages.subsample(moved, process.final_seq_length) != 0).sum(1))
            covered = moved != 0
            wrapped += int((np.diff(covered.astype(int), axis=1) == 1).sum(1).max() + covered[:, 0].max() > 1)
            classes_differ += int((covered != covered[0]).any())
    return {
        "fewest_points": float(np.min(reached)),
        "most_points": float(np.max(reached)),
        "wrapped_placements": float(wrapped),
        "placements_where_classes_cover_different_points": float(classes_differ),
        "placements": float(len(reached)),
    }


def drawn(count: int, seed: int) -> tuple[Int[np.ndarray, " example"], Draws, Int[np.ndarray, " example"]]:
    """Labels, draws and final order of the published set, one number after another as the reference takes them."""
    process, state = mnist1d.stream().process, np.random.RandomState(seed)
    low, high = process.padding
    taken = []
    for _ in range(count):
        padding, scale = low + int(state.rand() * (high - low + 1)), state.rand()
        shift = state.choice(process.max_translation)
        taken.append((padding, scale, shift, state.randn(process.length), state.randn(process.length), state.rand()))
    paddings, scales, shifts, correlated, iid, shears = (np.array(column) for column in zip(*taken, strict=True))
    return (
        np.repeat(np.arange(10), count // 10),
        Draws(paddings, scales, shifts, correlated, iid, shears),
        (state.permutation(count)),
    )


def _published_facts() -> dict[str, float]:
    published = _published()
    x = np.concatenate([published.x_train, published.x_test])
    y = np.concatenate([published.y_train, published.y_test])
    labels, draws, order = drawn(len(y), published.recipe["seed"])
    process = mnist1d.stream().process
    built = stages.build(mnist1d.templates().x[labels], draws, process)
    digit = built["translate"] != 0
    noise = stages.smooth(process.corr_noise_scale * draws.correlated)
    noisy = built["correlated noise"]
    signals = built["subsample"][order]
    normalised = (signals - signals.mean()) / signals.std()
    return {
        "values": float(x.size),
        "values_that_differ": float((normalised != x).sum()),
        "labels_that_differ": float((labels[order] != y).sum()),
        "signals_of_the_file": float(digest(normalised, "<f4") == SIGNALS),
        "labels_of_the_file": float(digest(labels[order], "<i8") == FILE_LABELS),
        "digit_points": float(digit.sum()),
        "digit_points_changed": float((noisy != built["translate"])[digit].sum()),
        "background_points_not_noise": float((noisy != noise)[~digit].sum()),
        "background_deviation": float(noisy[~digit].std()),
    }


def _digits(seed: int) -> dict[str, list[float]]:
    """Ten digits after each transformation that is added, forty points each in one row, to five digits."""
    templates = mnist1d.templates()
    kept = {"template": templates.x.ravel()}
    settings = dict(OFF)
    for name, _, switched in ADDED:
        settings.pop(switched, None)
        source = mnist1d.stream(seed=seed, **settings)
        labels = source[:10].y
        rows = [source.build(int(index))["subsample"] for index in np.argsort(labels)]
        kept[name] = np.concatenate(rows)
    return {name: [float(f"{value:.5g}") for value in values] for name, values in kept.items()}


def judge(results: Sequence[Result], settings: Settings) -> Judgement:
    """Each statement is true or false."""
    found = trials.where(results)[0].values
    values = int(found["values"])
    statements = (
        _exact("templates", "The templates are the published ones", found["templates_as_published"], 1, 1, unit="yes"),
        _exact("mirror", "Templates 6, 7, 8 are 0, 1, 3 mirrored", found["mirror_difference"], 0, ROUNDING, unit=""),
        _exact("wrap", "No digit wraps round the end", found["wrapped_placements"], 0, 0, n=int(found["placements"])),
        _exact(
            "digit-free-of-noise",
            "Correlated noise changes no digit",
            found["digit_points_changed"],
            0,
            0,
            n=int(found["digit_points"]),
        ),
        _exact("noise-on-background", "It fills the background", found["background_points_not_noise"], 0, 0),
        _exact("same-labels", "Stage by stage: the same labels", found["labels_that_differ"], 0, 0),
        _exact("same-bits", "Stage by stage: the same bits", found["values_that_differ"], 0, 0, n=values),
        _exact(
            "file-signals",
            "In float32 they are the published file's",
            found["signals_of_the_file"],
            1,
            1,
            n=values,
            unit="yes",
        ),
        _exact("file-labels", "So are the labels", found["labels_of_the_file"], 1, 1, unit="yes"),
        _exact("fewest", "A digit covers 7 points or more", found["fewest_points"], COVERED[0], 40, headline=False),
        _exact("most", "A digit covers 10 points or fewer", found["most_points"], 0, COVERED[1], headline=False),
        _exact(
            "smoothing",
            "Smoothing leaves 0.3756 of the deviation",
            found["smoothing_leaves"],
            SMOOTHED - 0.5e-4,
            SMOOTHED + 0.5e-4,
            unit="",
            headline=False,
        ),
        _exact(
            "same-places",
            "All classes cover the same points",
            found["placements_where_classes_cover_different_points"],
            0,
            0,
            n=int(found["placements"]),
            headline=False,
        ),
    )
    supported = f"The stages, one after another, are the published set: in float32 none of {values:,} values differs."
    return trials.judgement(ABOUT, results, statements, supported, table=_table(found))


def _exact(
    name: str,
    sentence: str,
    value: float,
    low: float | int,
    high: float | int,
    *,
    n: int = 1,
    unit: str = "points",
    headline: bool = True,
) -> Statement:
    known = Measurement(value, (value, value), Evidence.exact, n)
    return within(name, sentence, known, low=float(low), high=float(high), unit=unit, headline=headline)


def _table(found: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    return (
        ("what", "value", "of"),
        ("values that differ from mnist1d.make()", f"{found['values_that_differ']:.0f}", f"{found['values']:.0f}"),
        ("points of digits that correlated noise changes", f"{found['digit_points_changed']:.0f}",
         f"{found['digit_points']:.0f}"),
        ("placements in which a digit wraps", f"{found['wrapped_placements']:.0f}", f"{found['placements']:.0f}"),
        ("points that a digit covers", f"{found['fewest_points']:.0f} to {found['most_points']:.0f}", "40"),
        ("deviation of the background", f"{found['background_deviation']:.4f}", ""),
    )  # fmt: skip


def figure(results: Sequence[Result], judgement: Judgement) -> dict[str, Json]:
    """The templates, ten digits as each transformation is added, and the same in motion."""
    one = trials.where(results)[0]
    rows = {name: np.array(values).reshape(10, -1) for name, values in one.curves.items()}
    seed = f"seed {one.run.seed}"
    return {
        "The ten templates: twelve points each, drawn from the top down": plot.signals(
            _points({"": rows["template"]}), title="The ten templates of MNIST-1D", upright=True
        ),
        "The same templates as signals, from left to right": plot.signals(
            _points({"": rows["template"]}), title="The ten templates as signals", upright=False
        ),
        "Ten digits as one transformation after another is added": plot.signals(
            _points({name: rows[name] for name, *_ in ADDED}),
            title="From templates to MNIST-1D",
            subtitle=f"each row adds one transformation to the rows above; {seed}",
            upright=False,
        ),
        "The same in motion": plot.animation(
            [_frame(rows["template"]), *(_frame(rows[name]) for name, *_ in ADDED)],
            ["templates of twelve points", *(caption for _, caption, _ in ADDED)],
            title="How MNIST-1D is built",
            upright=True,
        ),
    }


def _points(rows: Mapping[str, Float[np.ndarray, "digit position"]]) -> list[dict[str, Json]]:
    return [
        {"digit": f"{name} {label}".strip(), "position": position, "value": float(value)}
        for name, digits in rows.items()
        for label, digit in enumerate(digits)
        for position, value in enumerate(digit)
    ]


def _frame(digits: Float[np.ndarray, "digit position"]) -> dict[str, Json]:
    return {"x": np.linspace(0, 1, digits.shape[1]).tolist(), "y": digits.tolist()}
