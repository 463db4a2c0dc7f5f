"""The gradient that is worked out by hand in docs/back-propagation.md, as the oracle of the one that JAX derives."""

import ast
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom.losses import cross_entropy
from flyroom.nets.activations import ACTIVATIONS
from flyroom.nets.mlp import MLP

PAGE = Path(__file__).parent.parent / "docs" / "back-propagation.md"
CODE = "\n".join(
    block for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S) if ">>>" not in block
)


def page() -> SimpleNamespace:
    """What the page defines."""
    names: dict = {}
    exec(compile(CODE, PAGE.name, "exec"), names)
    return SimpleNamespace(**names)


BY_HAND = page()


def test_the_page_uses_numpy_alone():
    modules = [
        alias.name
        for node in ast.walk(ast.parse(CODE))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert modules == ["numpy"] and len(CODE.splitlines()) > 50


@pytest.mark.parametrize("widths", [(3, 2), (4, 6, 5, 3), (2, 3, 4, 3, 4, 2)])
@pytest.mark.parametrize("activation", BY_HAND.ACTIVATIONS)
def test_losses_and_gradients_are_those_worked_out_by_hand(activation, widths):
    random = np.random.default_rng(len(widths))
    # Small, because squares of squares grow.
    layers = [(random.normal(size=(n, m)) / (2 * m) ** 0.5, random.normal(size=n) / 2) for m, n in pairwise(widths)]
    x, labels = random.normal(size=(9, widths[0])), random.integers(0, widths[-1], 9)
    with jax.enable_x64(True):
        drawn = MLP.init(jax.random.key(0), widths, ACTIVATIONS[activation])
        net = jax.tree.unflatten(jax.tree.structure(drawn), [jnp.asarray(leaf) for pair in layers for leaf in pair])
        loss, derived = jax.jit(jax.value_and_grad(cross_entropy))(net, jnp.asarray(x), jnp.asarray(labels))
    expected, by_hand = BY_HAND.loss_and_gradient(layers, x, labels, activation)
    np.testing.assert_allclose(loss, expected, rtol=0, atol=1e-10)
    leaves = jax.tree.leaves(derived)
    assert len(leaves) == 2 * len(by_hand) == 2 * len(layers)
    for leaf, array in zip(leaves, (array for pair in by_hand for array in pair), strict=True):
        assert leaf.dtype == np.float64 and leaf.shape == array.shape
        np.testing.assert_allclose(leaf, array, rtol=0, atol=1e-10)
        assert np.abs(array).max() > 1e-6


def test_logits_of_any_size_overflow_nothing():
    logits, labels = np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([0, 0])
    loss, slope = BY_HAND.cross_entropy(logits, labels)
    assert loss == 1e4
    np.testing.assert_array_equal(slope, [[0, 0], [-0.5, 0.5]])
