"""First weights: the uniform distribution of PyTorch, layer by layer; no two layers or keys draw alike."""

import jax
import numpy as np
import pytest
from pytorch_layout import NAMES, unload
from scipy.stats import kstest

from flyroom.nets.spec import parse


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_uniform_within_its_bound(name):
    drawn = [unload(name, parse(name).init(jax.random.key(seed))) for seed in range(40)]
    for key, (_, fan_in) in NAMES[name].items():
        bound = fan_in**-0.5
        values = np.concatenate([one[key].ravel() for one in drawn])
        assert np.abs(values).max() <= np.float32(bound), key
        assert np.abs(values).max() > 0.98 * bound, key
        assert kstest(values, "uniform", (-bound, 2 * bound)).pvalue > 1e-4, key


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_layers_draw_apart(name):
    one, same, other = (unload(name, parse(name).init(jax.random.key(seed))) for seed in (3, 3, 4))
    for key in one:
        np.testing.assert_array_equal(one[key], same[key])
        assert not np.isin(one[key], other[key]).all(), key
    units = [np.sort((a * NAMES[name][key][1] ** 0.5).ravel())[:5] for key, a in one.items()]
    assert all(not np.allclose(a, b) for i, a in enumerate(units) for b in units[:i])


def test_float64_draws_where_float64_is_on():
    with jax.enable_x64(True):
        assert parse("mnist1d-linear").init(jax.random.key(0)).dense.weight.dtype == np.float64
