"""Names of activations; their values are compared with PyTorch's in test_golden.py."""

import jax
import jax.numpy as jnp
import pytest

from flyroom.nets.activations import ACTIVATIONS, activation, gelu


def test_names_and_near_matches():
    assert all(activation(name) is function for name, function in ACTIVATIONS.items())
    with pytest.raises(ValueError, match="there is no activation 'rellu'; did you mean relu"):
        activation("rellu")
    with pytest.raises(ValueError, match=r"did you mean elu or gelu or hard_tanh or .* or tanh"):
        activation("@")


def test_gelu_is_the_exact_one():
    x = jnp.linspace(-4, 4, 81)
    assert abs(gelu(x) - jax.nn.gelu(x, approximate=True)).max() > 1e-4
