"""Networks by a short text: every form, every error with its near matches, and the statistics of redrawn weights."""

import sys

import equinox as eqx
import jax
import numpy as np
import pytest

from flyroom.nets.activations import activation
from flyroom.nets.blocks import Subsampled
from flyroom.nets.conv import CNN
from flyroom.nets.gru import BiGRU
from flyroom.nets.linear import Linear
from flyroom.nets.mlp import MLP, ResidualMLP
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import ResNet
from flyroom.nets.spec import parameters, parse

KEY = jax.random.key(0)


def shapes(text):
    """The network of that text, not drawn."""
    return eqx.filter_eval_shape(parse(text).init, KEY)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mnist1d-linear", Linear),
        ("mnist1d-mlp", ResidualMLP),
        ("mnist1d-cnn", CNN),
        ("mnist1d-gru", BiGRU),
        ("cnn1d", CNN),
    ],
)
def test_benchmark_names(text, kind):
    spec = parse(text)
    assert (spec.text, spec.seed) == (text, None)
    assert isinstance(spec.init(KEY), kind)


def test_widths_and_activations():
    net = parse("mlp:4-8-2:tanh?seed=7").init(KEY)
    assert isinstance(net, MLP) and net.activation is activation("tanh")
    assert [layer.weight.shape for layer in net.layers] == [(8, 4), (2, 8)]
    assert parse("mlp:4-8-2:tanh?seed=7").seed == 7
    assert parse("mlp:4-2").init(KEY).activation is activation("relu")


def test_the_cnn_by_its_short_name_is_the_benchmarks():
    one, other = (parse(text).init(KEY) for text in ("cnn1d", "mnist1d-cnn"))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_squares():
    net = parse("quadratic:4-16-16-1?seed=3").init(KEY)
    assert isinstance(net, MLP) and net.activation is activation("square")
    assert [layer.weight.shape for layer in net.layers] == [(16, 4), (16, 16), (1, 16)]
    x = np.ones((2, 4), np.float32)
    hidden = x.T
    for layer in net.layers[:-1]:
        hidden = (np.asarray(layer.weight) @ hidden + np.asarray(layer.bias)[:, None]) ** 2
    last = net.layers[-1]
    np.testing.assert_allclose(net(jax.numpy.asarray(x)), (last.weight @ hidden + last.bias[:, None]).T, rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("resnet18", 11_689_512),
        ("resnet34:v1", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet50:v1:A", 25_557_032 - 2_776_576),
        ("resnet101:B:v1.5:imagenet", 44_549_160),
        ("resnet152", 60_192_808),
        ("resnet18:cifar", 11_173_962),
        ("resnet18:cifar?classes=100&channels=1", 11_173_962 + 90 * 513 - 2 * 64 * 9),
        ("resnet50?classes=10&seed=4", 25_557_032 - 990 * 2049),
    ],
)
def test_resnets(text, count):
    net = shapes(text)
    assert isinstance(net, ResNet) and parameters(net) == count
    model = eqx.filter_eval_shape(lambda net: AtInference(net, net.begin()), net)
    assert parameters(model) == count  # running statistics are not trained


def test_a_resnets_parts_reach_their_places():
    cifar, old = shapes("resnet50:cifar"), shapes("resnet50:v1:A:lecture-norm")
    assert not cifar.pooled and old.pooled and cifar.last.weight.shape[0] == 10 and old.last.weight.shape[0] == 1000
    assert [layer.stride[0] for layer in cifar.stages[1][0].convolutions] == [1, 2, 1]
    assert [layer.stride[0] for layer in old.stages[1][0].convolutions] == [2, 1, 1]
    assert isinstance(old.stages[0][0].shortcut, Subsampled) and old.norm.convention == "lecture"
    assert cifar.norm.convention == "pytorch"


def test_redrawn_gains_stay(tmp_path, monkeypatch):
    (tmp_path / "mynorms.py").write_text(
        "from flyroom.nets.resnet import ResNet\ndef tiny(key):\n"
        "    return ResNet.of_blocks(key, (1,), bottleneck=False, width=64, classes=40, stem='cifar')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    net = parse("python:mynorms:tiny?weight_std=2&bias_std=0.5").init(KEY)
    for norm in (net.norm, *net.stages[0][0].norms):
        assert np.all(np.asarray(norm.gain) == 1)
        assert abs(np.std(norm.bias) - 0.5) < 5 * 0.5 / (2 * norm.bias.size) ** 0.5
    weight = np.asarray(net.stages[0][0].convolutions[0].weight)
    assert abs(weight.std() * (64 * 9) ** 0.5 - 2) < 5 * 2 / (2 * weight.size) ** 0.5
    sys.modules.pop("mynorms", None)


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
        ("quadratic:4-2:tanh", "quadratic takes widths alone, its activation is the square; write mlp:WIDTHS:NAME"),
        ("quadratic:4-x", "'quadratic:4-x': the widths '4-x' are not numbers"),
        ("quadratik:4-2", "there is no network 'quadratik:4-2'; did you mean quadratic:4-16-16-1"),
        ("cnn2d", "there is no network 'cnn2d'; did you mean cnn1d"),
        ("resnet20:cifar", "there is no 'resnet20'; choose resnet18, resnet34, resnet50, resnet101, resnet152"),
        ("resnet18:cifer", "'resnet18:cifer': a ResNet has no part 'cifer'; did you mean cifar"),
        (
            "resnet18:",
            "a ResNet has no part ''; did you mean imagenet or cifar or v1 or v1.5 or A or B or lecture-norm",
        ),
        ("resnet18:v1:v1.5", "v1 and v1.5 both say the version; leave one out"),
        ("resnet18:A:cifar:A", "A and A both say the shortcut"),
        ("rsnet18", "there is no network 'rsnet18'; did you mean resnet18"),
        ("resnet18?classes=0", "classes and channels must be at least 1"),
        ("resnet18?channels=x", "'x'; seed is a whole number, .* are numbers, classes and channels whole ones"),
        ("resnet18?clases=5", "there is no option 'clases'; did you mean classes"),
        ("mnist1d-cnn?classes=5", "there is no option 'classes'; did you mean seed or weight_std or bias_std"),
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
