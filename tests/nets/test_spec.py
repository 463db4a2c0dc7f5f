"""Networks by a short text: every form, every error with its near matches, and the statistics of redrawn weights."""

import sys

import jax
import numpy as np
import pytest

from flyroom.nets.conv import CNN
from flyroom.nets.gru import BiGRU
from flyroom.nets.linear import Linear
from flyroom.nets.mlp import MLP, ResidualMLP
from flyroom.nets.spec import parameters, parse

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("mnist1d-linear", Linear), ("mnist1d-mlp", ResidualMLP), ("mnist1d-cnn", CNN), ("mnist1d-gru", BiGRU)],
)
def test_benchmark_names(text, kind):
    spec = parse(text)
    assert (spec.text, spec.seed) == (text, None)
    assert isinstance(spec.init(KEY), kind)


def test_widths_and_activations():
    net = parse("mlp:4-8-2:tanh?seed=7").init(KEY)
    assert isinstance(net, MLP) and net.activation is jax.numpy.tanh
    assert [layer.weight.shape for layer in net.layers] == [(8, 4), (2, 8)]
    assert parse("mlp:4-8-2:tanh?seed=7").seed == 7
    assert parse("mlp:4-2").init(KEY).activation is jax.nn.relu


def test_the_users_own_function(tmp_path, monkeypatch):
    (tmp_path / "mynets.py").write_text(
        "from flyroom.nets.linear import Linear\ndef tiny(key):\n    return Linear.init(key, 3, 2)\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert parameters(parse("python:mynets:tiny").init(KEY)) == 8
    for text, match in (
        ("python:mynets:tinny", "'python:mynets:tinny': .*no attribute 'tinny'.*python:MODULE:NAME needs"),
        ("python:mynets:number", "'python:mynets:number': .*not a function.*python:MODULE:NAME needs"),
        ("python:no_such_module_here:f", "No module named 'no_such_module_here'; python:MODULE:NAME needs"),
        ("python::f", "python:MODULE:NAME needs"),
    ):
        with pytest.raises(ValueError, match=match):
            parse(text)
    sys.modules.pop("mynets", None)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("mnist1d-cn", "there is no network 'mnist1d-cn'; did you mean mnist1d-cnn"),
        ("zebra", "there is no network 'zebra'; use mnist1d-linear, .* or python:MODULE:NAME"),
        ("", "there is no network ''; use mnist1d-linear"),
        ("mlp:4-x-2", "'mlp:4-x-2': the widths '4-x-2' are not numbers with dashes, such as 40-100-10"),
        ("mlp:4", "widths '4' must be two or more positive numbers"),
        ("mlp:4-0-2", "widths '4-0-2' must be two or more positive numbers"),
        ("mlp:4-2:rellu", "there is no activation 'rellu'; did you mean relu"),
        ("mnist1d-mlp?sed=1", "'mnist1d-mlp.sed=1': there is no option 'sed'; did you mean seed"),
        ("mnist1d-mlp?zz=1", "there is no option 'zz'; did you mean seed or weight_std or bias_std"),
        ("mnist1d-mlp?seed=one", "invalid literal.*'one'; seed is a whole number"),
        ("mnist1d-mlp?weight_std=", "could not convert.*; seed is a whole number, weight_std and bias_std are numbers"),
        ("mnist1d-mlp?seed=-1", "seed, weight_std and bias_std must be finite and not negative"),
        ("mnist1d-mlp?weight_std=nan", "must be finite and not negative"),
        ("mnist1d-mlp?bias_std=-0.5", "must be finite and not negative"),
        ("mnist1d-mlp?seed", r"'mnist1d-mlp\?seed': options are written \?seed=0&weight_std=1.5"),
    ],
)
def test_errors_name_what_was_given_and_what_is_allowed(text, match):
    with pytest.raises(ValueError, match=match):
        parse(text)


def test_redrawn_weights_have_the_asked_spread():
    net = parse("mlp:100-200-100?weight_std=1.5&bias_std=0.3").init(KEY)
    for layer in net.layers:
        weight = np.asarray(layer.weight) * layer.weight.shape[1] ** 0.5
        # Standard error of a standard deviation of n normal values: sigma / sqrt(2 n). Five of them.
        assert abs(weight.std() - 1.5) < 5 * 1.5 / (2 * weight.size) ** 0.5
        assert abs(weight.mean()) < 5 * 1.5 / weight.size**0.5
        assert abs(np.asarray(layer.bias).std() - 0.3) < 5 * 0.3 / (2 * layer.bias.size) ** 0.5
    flat = [np.asarray(layer.weight).ravel()[:100] for layer in net.layers]
    assert abs(np.corrcoef(flat)[0, 1]) < 0.5  # drawn apart


def test_a_spread_alone_leaves_the_other_parameters_as_they_were():
    plain, redrawn = (parse(f"mlp:4-8-2{options}").init(KEY) for options in ("", "?weight_std=0"))
    for a, b in zip(plain.layers, redrawn.layers, strict=True):
        assert not np.asarray(b.weight).any()
        np.testing.assert_array_equal(a.bias, b.bias)
