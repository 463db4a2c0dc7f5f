"""Datasets by name: near matches for what does not exist, recipes that make the same set again, light imports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flyroom.data import NAMES, load

SMALL = {
    "mnist1d": {"num_samples": 20},
    "digits": {"seed": 3},
    "moons": {"n": 21},
    "circles": {"n": 21, "factor": 0.3},
    "blobs": {"n": 21, "classes": 4},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_makes_the_same_dataset_again(name):
    made = load(name, **SMALL[name])
    again = load(**made.recipe)
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(made, part), getattr(again, part))
    assert again.recipe == made.recipe
    assert made.name == name
    assert len(made.axes) == made.x_train.ndim - 1
    assert set(np.concatenate([made.y_train, made.y_test])) == set(range(len(made.classes)))


def test_the_two_streams_differ():
    canonical = load("mnist1d", stream="canonical", num_samples=20)
    indexed = load("mnist1d", stream="indexed", num_samples=20)
    assert not np.array_equal(canonical.x_train, indexed.x_train)
    assert load("mnist1d", num_samples=20).recipe == canonical.recipe


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        (
            lambda: load("mnist"),
            ValueError,
            r"no dataset is called 'mnist' \(did you mean mnist1d.*\?\); there are mnist1d,",
        ),
        (lambda: load("xyzzy"), ValueError, "no dataset is called 'xyzzy'; there are"),
        (lambda: load("mnist1d", stream="index"), ValueError, r"no stream 'index' \(did you mean indexed\?\)"),
        (lambda: load("mnist1d", samples=10), TypeError, r"no argument 'samples' \(did you mean num_samples"),
        (lambda: load("moons", stream="canonical"), TypeError, "moons takes no argument 'stream'"),
        (lambda: load("nowhere.npz"), FileNotFoundError, "there is no file nowhere.npz"),
        (lambda: load("nowhere.npz", seed=3), TypeError, "is an archive and takes no arguments; got seed"),
    ],
)
def test_errors_name_what_is_near(act, error, sentence):
    with pytest.raises(error, match=sentence):
        act()


def test_importing_the_room_imports_nothing_heavy():
    script = (
        "import sys, flyroom.data, flyroom.data.mnist1d, flyroom.data.archive, flyroom.data.views, flyroom.data.splits;"
        "heavy = {'jax', 'torch', 'sklearn', 'scipy', 'pyarrow', 'mnist1d'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
