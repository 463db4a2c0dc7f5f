"""The canonical stream against the reference package, the published set, and its digests."""

import hashlib
import random
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.data import mnist1d

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the reference imports plotting and network packages
    from mnist1d import data as reference

ROOT = Path(__file__).parents[2]
FROZEN = ROOT / ".." / "shared" / "data" / "mnist1d_frozen.npz"
DEFAULTS: dict[str, Any] = vars(reference.get_dataset_args())
KEYS = ("x", "x_test", "y", "y_test", "t")


def reference_set(**arguments):
    """The reference's set; its seeding of the global generators is undone."""
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        return reference.make_dataset(SimpleNamespace(**(DEFAULTS | arguments)))
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])


def arrays(dataset):
    return dict(
        zip(KEYS, (dataset.x_train, dataset.x_test, dataset.y_train, dataset.y_test, dataset.extras["t"]), strict=True)
    )


def assert_same(ours, theirs):
    for key in KEYS:
        assert ours[key].dtype == theirs[key].dtype
        assert ours[key].flags.c_contiguous
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


@st.composite
def arguments(draw):
    low = draw(st.integers(0, 40))
    high = low + draw(st.integers(0, 40))
    template_len = draw(st.integers(max(0, 2 - high), 30))
    coefficient = st.floats(-2, 2, allow_nan=False).map(lambda value: round(value, 3))
    return {
        "num_samples": 10 * draw(st.integers(1, 30)),
        "train_split": draw(st.floats(0.1, 1)),
        "template_len": template_len,
        "padding": [low, high],
        "scale_coeff": draw(coefficient),
        "max_translation": draw(st.integers(1, 150)),
        "corr_noise_scale": draw(coefficient),
        "iid_noise_scale": draw(st.floats(0.01, 1)),
        "shear_scale": draw(coefficient),
        "shuffle_seq": draw(st.booleans()),
        "final_seq_length": draw(st.integers(1, 120)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


@settings(max_examples=40, deadline=None)
@given(arguments())
def test_every_bit_is_the_references_for_any_arguments(chosen):
    assert_same(arrays(mnist1d.make(**chosen)), reference_set(**chosen))


@pytest.mark.parametrize(
    "chosen",
    [
        {"num_samples": 2050},  # several chunks, none of them whole
        {"num_samples": 500, "shuffle_seq": True, "template_len": 13},  # odd: a normal is carried over between samples
        {"num_samples": 200, "max_translation": 1},  # no draw for the shift at all
        {"num_samples": 200, "max_translation": 64},  # the mask rejects nothing
        {"num_samples": 200, "max_translation": 500},  # nearly every shift is longer than the signal
        {"num_samples": 100, "template_len": 0, "padding": (2, 2)},  # two points
        {"num_samples": 100, "template_len": 0, "padding": (0, 5)},  # shorter than the smoothing reaches
        {"num_samples": 100, "final_seq_length": 360},
        {"num_samples": 100, "final_seq_length": 72},  # every place falls on a point
        {"num_samples": 10, "train_split": 1.0},
        {"num_samples": 100, "iid_noise_scale": 0.0, "corr_noise_scale": 0.0, "shear_scale": 0.0},
    ],
)
def test_every_bit_is_the_references_at_the_corners(chosen):
    assert_same(arrays(mnist1d.make(**chosen)), reference_set(**chosen))


def test_the_default_set_has_the_published_digests_and_first_values():
    made = mnist1d.make()

    def digest(array):
        return hashlib.sha256(array.tobytes()).hexdigest()[:16]

    assert made.x_train.shape == (4000, 40)
    assert made.x_test.shape == (1000, 40)
    assert digest(made.y_train) == "d97dc7aecec8ad6b"
    assert digest(made.y_test) == "8de99be3ff9dab15"
    assert digest(made.extras["t"]) == "84b830bf54825bb3"
    assert digest(made.extras["templates_x"]) == "9a9af77384d2dd8a"
    first = [-0.33200566736939, -0.47191036565572, -0.77869707629350, -1.00974082653670]
    np.testing.assert_allclose(made.x_train[0, :4], first, rtol=0, atol=1e-14)
    assert np.bincount(made.y_test).tolist() == [102, 104, 89, 106, 106, 98, 99, 96, 98, 102]
    both = np.concatenate([made.x_train, made.x_test])
    assert abs(both.mean()) < 1e-14
    assert abs(both.std() - 1) < 1e-14


def test_the_default_set_is_the_frozen_one():
    if not FROZEN.is_file():
        pytest.skip("the published set (mnist1d_frozen.npz) is not beside this checkout")
    made = arrays(mnist1d.make())
    with np.load(FROZEN, allow_pickle=False) as frozen:
        assert set(KEYS) <= set(frozen.files)
        for key in ("y", "y_test", "t"):
            np.testing.assert_array_equal(made[key], frozen[key])
        for key in ("x", "x_test"):
            assert np.abs(made[key] - frozen[key]).max() <= 1e-15
            np.testing.assert_array_equal(made[key].astype(np.float32), frozen[key].astype(np.float32))


def test_no_global_seed_is_touched():
    """In a process of its own: the type checker of these tests draws from `random` itself."""
    script = """
import random, numpy as np, sklearn.datasets  # whose import draws from random
before = str(np.random.get_state()[1].tolist()), np.random.get_state()[2:], random.getstate()
from flyroom.data import NAMES, load, mnist1d
from flyroom.data.splits import validation_split
for name in NAMES:
    validation_split(load(name), seed=1)
load("mnist1d", stream="indexed", num_samples=20)
mnist1d.make_dataset()
after = str(np.random.get_state()[1].tolist()), np.random.get_state()[2:], random.getstate()
assert before == after
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_dataset_stands_in_for_the_reference():
    assert mnist1d.get_dataset_args(as_dict=True) == reference.get_dataset_args(as_dict=True)
    changed = mnist1d.get_dataset_args()
    changed.num_samples, changed.shuffle_seq = 300, True
    theirs = reference_set(num_samples=300, shuffle_seq=True)
    for given_arguments in (changed, vars(changed)):
        ours = mnist1d.make_dataset(given_arguments)
        assert list(ours) == list(theirs)
        assert_same(ours, theirs)
        for key in ("x", "t", "y"):
            np.testing.assert_array_equal(ours["templates"][key], theirs["templates"][key])


def test_make_dataset_takes_templates():
    digits = {"x": np.cos(np.outer([1, 2, 3], np.arange(7))), "t": np.linspace(-1, 1, 7), "y": np.array([5, 7, 9])}
    chosen = DEFAULTS | {"num_samples": 60}
    kept = np.random.get_state(), random.getstate()  # noqa: NPY002
    theirs = reference.make_dataset(SimpleNamespace(**chosen), template=digits)
    np.random.set_state(kept[0])  # noqa: NPY002
    random.setstate(kept[1])
    ours = mnist1d.make_dataset(chosen, template=digits)
    assert_same(ours, theirs)
    assert set(ours["y"]) <= {5, 7, 9}
    assert ours["templates"] is digits
    with pytest.raises(ValueError, match="template has no t, y"):
        mnist1d.make_dataset(chosen, template={"x": digits["x"]})
    with pytest.raises(ValueError, match=r"x must be \[digit, point\]"):
        mnist1d.make_dataset(chosen, template=digits | {"t": np.zeros(3)})


def test_make_dataset_says_which_arguments_are_missing():
    with pytest.raises(TypeError, match=r"args has no .*seed; start from get_dataset_args"):
        mnist1d.make_dataset(SimpleNamespace(num_samples=10))


# The type hints are checked before the function is called in these tests, so wrong types go round them.
make: Any = getattr(mnist1d.make, "__wrapped__", mnist1d.make)


@pytest.mark.parametrize(
    ("chosen", "error", "sentence"),
    [
        ({"num_samples": 4005}, ValueError, "4005 is not a multiple of the 10 classes.*4000 or 4010"),
        ({"num_samples": 7}, ValueError, "7 is not a multiple of the 10 classes.*use 10$"),
        ({"num_samples": 0}, ValueError, "num_samples=0 is out of range; it must be at least 1"),
        ({"max_translation": 0}, ValueError, "max_translation=0 leaves nothing to draw.*use 1 for no translation"),
        ({"padding": (60, 36)}, ValueError, r"padding=\(60, 36\) is reversed.*\(36, 60\)"),
        ({"padding": (-1, 36)}, ValueError, r"padding\[0\]=-1 is out of range"),
        ({"padding": (1, 2, 3)}, TypeError, "is not a pair"),
        ({"padding": 36}, TypeError, "is not a pair"),
        ({"padding": (36, 60.5)}, TypeError, r"padding\[1\]=60.5 is a float; give a whole number"),
        ({"template_len": 0, "padding": (1, 1)}, ValueError, "= 1 points are too few"),
        ({"scale_coeff": float("nan")}, ValueError, "scale_coeff=nan is not finite"),
        ({"iid_noise_scale": float("inf")}, ValueError, "iid_noise_scale=inf is not finite"),
        ({"shear_scale": "0.75"}, TypeError, "shear_scale='0.75' is a str; give a number"),
        ({"train_split": 1.2}, ValueError, r"train_split=1.2 is not a fraction in \(0, 1\]"),
        ({"train_split": 0}, ValueError, r"train_split=0 is not a fraction"),
        ({"train_split": 0.05, "num_samples": 10}, ValueError, "leaves none to train on"),
        ({"final_seq_length": 0}, ValueError, "final_seq_length=0 is out of range"),
        ({"num_samples": True}, TypeError, "num_samples=True is a bool"),
        ({"shuffle_seq": 1}, TypeError, "shuffle_seq=1 is a int; give True or False"),
        ({"seed": -1}, ValueError, r"seed=-1 is out of range; it must be in \[0, 4294967295\]"),
        ({"seed": None}, TypeError, "seed=None is a NoneType"),
        ({"num_samples": 10, "corr_noise_scale": 1e308}, ValueError, "cannot be normalised"),
        (
            {
                "num_samples": 10,
                "final_seq_length": 1,
                "max_translation": 1,
                **dict.fromkeys(("scale_coeff", "corr_noise_scale", "iid_noise_scale", "shear_scale"), 0),
            },
            ValueError,
            "standard deviation 0 and cannot be normalised",
        ),
    ],
)
def test_what_the_reference_mishandles_is_refused_in_words(chosen, error, sentence):
    with pytest.raises(error, match=sentence):
        make(**({"num_samples": 20} | chosen))


def test_the_recipe_is_plain_and_complete():
    made = make(num_samples=np.int64(20), padding=(1, 2), seed=np.int64(3))
    assert made.recipe == {
        "name": "mnist1d",
        "stream": "canonical",
        "num_samples": 20,
        "train_split": 0.8,
        "template_len": 12,
        "padding": [1, 2],
        "scale_coeff": 0.4,
        "max_translation": 48,
        "corr_noise_scale": 0.25,
        "iid_noise_scale": 0.02,
        "shear_scale": 0.75,
        "shuffle_seq": False,
        "final_seq_length": 40,
        "seed": 3,
    }
    assert made.classes == tuple("0123456789")
    assert made.axes == ("position",)
