"""A dataset as scikit-learn and PyTorch take it."""

import sys

import numpy as np
import pytest

from flyroom.data import load
from flyroom.data.views import to_sklearn, to_torch


def test_scikit_learn_takes_flat_floats():
    from sklearn.neighbors import KNeighborsClassifier

    made = load("digits")
    x, y = to_sklearn(made)
    np.testing.assert_array_equal(x, made.x_train.reshape(len(y), 64))
    assert KNeighborsClassifier(3).fit(x, y).score(*to_sklearn(made, "test")) > 0.95


def test_an_unknown_part_is_refused():
    with pytest.raises((ValueError, TypeError), match="part"):
        to_sklearn(load("moons", n=10), "validation")  # pyright: ignore[reportArgumentType]


def test_without_pytorch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'flyroom\[torch\]'"):
        to_torch(load("moons", n=10))


def test_pytorch_takes_a_dataset():
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, Dataset

    made = load("mnist1d", num_samples=50)
    view = to_torch(made, "test")
    assert isinstance(view, Dataset)
    assert len(view) == 10
    x, y = next(iter(DataLoader(view, batch_size=10)))
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    np.testing.assert_array_equal(x.numpy(), made.x_test.astype(np.float32))
    np.testing.assert_array_equal(y.numpy(), made.y_test)
    x[:] = 0
    assert np.abs(made.x_test).max() > 0
