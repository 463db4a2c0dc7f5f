"""Convolutions: by definition, either way, by PyTorch's stored arrays, by the lecture's tables; what does not fit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import breadth
from convolution_cases import CONVOLUTIONS, GOLDEN, POOLINGS, inputs, ours
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.nets import convolution
from flyroom.nets.convolution import Convolution, by_taps, by_xla, convolve
from flyroom.nets.padding import output_length
from flyroom.nets.spec import parameters

CASES = {**CONVOLUTIONS, **POOLINGS}
LIVE = (
    *("signal, groups", "signal, mirror", "image, unequal dilation", "image, depthwise, same"),
    *("max, image", "mean, image", "l2, image", "global, image"),
)


def by_definition(x, weight, stride, dilation, groups, padding):
    """y[o, i, j, b] as a sum over the channels of o's group and the taps, in loops; x (channel, row, column, batch)."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    outputs, of_group, *kernel = weight.shape
    counts = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(padded.shape[1:3], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((outputs, *counts, x.shape[-1]))
    for o, i, j in np.ndindex(outputs, *counts):
        first = o // (outputs // groups) * of_group
        for c, k, m in np.ndindex(of_group, *kernel):
            seen = padded[first + c, i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]]
            y[o, i, j] += weight[o, c, k, m] * seen
    return y


WAYS = [jax.jit(way, static_argnums=(2, 3, 4, 5)) for way in (by_taps, by_xla)]

numbers = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=8, deadline=None)
@given(
    kernel=numbers,
    stride=numbers,
    dilation=numbers,
    padding=st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    groups=st.integers(1, 3),
    of_group=st.integers(1, 2),
    outputs=st.integers(1, 2),
)
def test_both_ways_are_the_definition(kernel, stride, dilation, padding, extra, groups, of_group, outputs):
    lengths = [
        max(1, d * (k - 1) + 1 - sum(p)) + e for k, d, p, e in zip(kernel, dilation, padding, extra, strict=True)
    ]
    random = np.random.default_rng(sum(kernel) + 10 * sum(stride) + 100 * groups)
    x = random.normal(size=(groups * of_group, *lengths, 2)).astype(np.float32)
    weight = random.normal(size=(groups * outputs, of_group, *kernel)).astype(np.float32)
    expected = by_definition(x, weight, stride, dilation, groups, padding)
    for way in WAYS:
        found = way(jnp.asarray(x), jnp.asarray(weight), stride, dilation, groups, padding)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # A signal is an image of one row.
    row, line = jnp.asarray(x[:, 0]), jnp.asarray(weight[:, :, 0])
    expected = by_definition(x[:, :1], weight[:, :, :1], (1, stride[1]), (1, dilation[1]), groups, ((0, 0), padding[1]))
    for way in WAYS:
        found = way(row, line, stride[1:], dilation[1:], groups, padding[1:])
        np.testing.assert_allclose(found, expected[:, 0], atol=1e-5)


@pytest.mark.parametrize(("x", "weight", "groups"), [((4, 11, 3), (6, 2, 4), 2), ((2, 7, 6, 3), (3, 2, 3, 2), 1)])
def test_both_ways_have_the_same_gradients(x, weight, groups):
    random = np.random.default_rng(0)
    x, weight = (jnp.asarray(random.normal(size=s), jnp.float32) for s in (x, weight))
    axes = x.ndim - 2

    def slope(way):
        given = ((2,) * axes, (2,) * axes, groups, ((1, 2),) * axes)
        return jax.jit(jax.grad(lambda x, weight: jnp.sin(way(x, weight, *given)).sum(), argnums=(0, 1)))(x, weight)

    for one, other in zip(slope(by_taps), slope(by_xla), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


# The same numbers as ever. --------------------------------------------------------------------------------------------


def as_stored(x, weight, stride, dilation, padding):
    """The operations by which results have been made that are stored: of signals, without groups."""
    outputs, channels, kernel = weight.shape
    count = (x.shape[1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    padded = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)))
    starts = [j * dilation for j in range(kernel)]
    taps = [padded[:, j : j + stride * (count - 1) + 1 : stride] for j in starts]
    columns = jnp.concatenate(taps).reshape(kernel * channels, -1)
    rows = jnp.asarray(weight).transpose(0, 2, 1).reshape(outputs, kernel * channels)
    return (rows @ columns).reshape(outputs, count, -1)


@pytest.mark.parametrize(
    ("x", "weight", "stride", "dilation", "padding"),
    [((1, 40, 100), (25, 1, 5), 2, 1, 1), ((25, 19, 100), (25, 25, 3), 2, 1, 1), ((24, 20, 7), (24, 24, 3), 1, 2, 2)],
)
def test_signals_take_the_same_operations_as_stored_results_did(x, weight, stride, dilation, padding):
    """Forward and backward, and with the bias: the program that XLA is given is the same to the letter."""
    x, weight = (jnp.asarray(np.random.default_rng(3).normal(size=shape), jnp.float32) for shape in (x, weight))
    bias = jnp.ones(weight.shape[0])

    def before(x, weight, bias):
        return as_stored(x, weight, stride, dilation, padding) + bias[:, None, None]

    def now(x, weight, bias):
        return Convolution.of(weight, bias, stride=stride, dilation=dilation, padding=padding)(x)

    def program(layer):
        def forward_and_backward(*given):
            return jax.value_and_grad(lambda *given: jnp.sin(layer(*given)).sum(), argnums=(0, 1, 2))(*given)

        return jax.jit(forward_and_backward).lower(x, weight, bias)

    assert program(now).as_text() == program(before).as_text()
    (_, ones), (_, others) = (program(layer).compile()(x, weight, bias) for layer in (now, before))
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)


# Which way is taken. --------------------------------------------------------------------------------------------------


@pytest.fixture
def ways(monkeypatch):
    """The names of the ways that were taken."""
    taken = []

    def noted(name):
        way = getattr(convolution, name)

        def note(*given):
            taken.append(name)
            return way(*given)

        monkeypatch.setattr(convolution, name, note)

    noted("by_taps")
    noted("by_xla")
    return taken


def test_a_gpu_gets_xlas_convolution(ways, monkeypatch):
    x, weight = jnp.ones((2, 5, 3)), jnp.ones((4, 2, 3))
    on_cpu = convolve(x, weight)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_allclose(convolve(x, weight), on_cpu)
    assert ways == ["by_taps", "by_xla"]


def test_columns_that_are_too_large_are_not_laid_out(ways, monkeypatch):
    x, weight = jnp.ones((2, 5, 3)), jnp.ones((4, 2, 3))  # 3 taps x 2 channels x 3 places x 3 examples
    monkeypatch.setattr(convolution, "LARGEST_COLUMNS", 54)
    expected = convolve(x, weight)
    monkeypatch.setattr(convolution, "LARGEST_COLUMNS", 53)
    np.testing.assert_allclose(convolve(x, weight), expected)
    monkeypatch.setattr(convolution, "LARGEST_COLUMNS", 0)
    convolve(x, jnp.ones((4, 2, 1)))  # one tap: the columns are the input itself
    assert ways == ["by_taps", "by_xla", "by_taps"]


# The lecture's tables. ------------------------------------------------------------------------------------------------


def test_the_lectures_convolution():
    image = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    kernel = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    x, weight = jnp.asarray(image, float).reshape(1, 5, 5, 1), jnp.asarray(kernel, float).reshape(1, 1, 3, 3)
    assert convolve(x, weight)[0, :, :, 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_it_is_a_cross_correlation():
    random = np.random.default_rng(0)
    x, kernel = random.normal(size=9).astype(np.float32), random.normal(size=4).astype(np.float32)
    found = convolve(jnp.asarray(x).reshape(1, 9, 1), jnp.asarray(kernel).reshape(1, 1, 4)).ravel()
    np.testing.assert_allclose(found, np.correlate(x, kernel, "valid"), rtol=1e-5)
    assert np.abs(found - np.convolve(x, kernel, "valid")).max() > 0.1


def test_the_lectures_parameters():
    """3 x 3, 3 -> 64: 1,728, whatever the size of the image; the same map as a dense layer has 201,326,592."""
    layer = Convolution.init(jax.random.key(0), 3, 64, (3, 3), padding="same", bias=False)
    assert parameters(layer) == 3 * 3 * 3 * 64 == 1728
    out = jax.eval_shape(layer, jax.ShapeDtypeStruct((3, 32, 32, 1), jnp.float32))
    assert np.prod(out.shape) * 3 * 32 * 32 == 201_326_592
    assert parameters(Convolution.init(jax.random.key(0), 3, 64, (3, 3))) == 1792
    # 4 inputs, 3 outputs: 12 weights of a dense layer, 2 of a convolution with a kernel of 2.
    assert output_length(4, 2) == 3 and parameters(Convolution.init(jax.random.key(0), 1, 1, 2, bias=False)) == 2


# PyTorch. -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {key: file[key] for key in file.files}


def test_the_file_names_its_pytorch_and_is_small(golden):
    assert str(golden["torch"]).startswith("2.")
    assert GOLDEN.stat().st_size < 300_000
    assert {key.rpartition("/")[0] for key in golden if key != "torch"} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_pytorchs(name, golden):
    found = ours(name, CASES[name], inputs(name, CASES[name]))
    assert set(found) == {key.rpartition("/")[2] for key in golden if key.rpartition("/")[0] == name}
    for key, array in found.items():
        np.testing.assert_allclose(array, golden[f"{name}/{key}"], rtol=1e-5, atol=1e-5, err_msg=key)
        assert np.abs(array).max() > 1e-2, f"{key}: so small an array would agree with anything"


@pytest.mark.parametrize("name", breadth(CASES, *LIVE))
def test_outputs_and_gradients_are_pytorchs_on_fresh_weights(name):
    pytest.importorskip("torch")
    from golden import make_parts_convolution as make

    fresh = inputs(name, CASES[name], "live")
    expected = make.theirs(name, CASES[name], fresh)
    for key, array in ours(name, CASES[name], fresh).items():
        np.testing.assert_allclose(array, expected[key], rtol=1e-5, atol=1e-5, err_msg=key)
    exact = {key: value.astype(np.float64) for key, value in fresh.items()}
    expected = make.theirs(name, CASES[name], exact)
    with jax.enable_x64(True):
        found = ours(name, CASES[name], exact)
    for key, array in found.items():
        assert array.dtype == np.float64
        np.testing.assert_allclose(array, expected[key], rtol=1e-12, atol=1e-12, err_msg=key)


def test_the_script_makes_the_golden_file(golden):
    pytest.importorskip("torch")
    from golden import make_parts_convolution as make

    fresh = make.golden()
    assert set(fresh) == set(golden)
    for key in set(fresh) - {"torch"}:
        np.testing.assert_allclose(fresh[key], golden[key], rtol=1e-6, atol=1e-6, err_msg=key)


# The layer. -----------------------------------------------------------------------------------------------------------


def test_first_weights_are_within_pytorchs_bounds():
    layer = Convolution.init(jax.random.key(2), 12, 32, (3, 3), groups=4)
    assert layer.weight.shape == (32, 3, 3, 3) and layer.bias is not None and layer.bias.shape == (32,)
    for array in (layer.weight, layer.bias):
        assert 0.9 * 27**-0.5 < np.abs(array).max() <= 27**-0.5
    assert Convolution.init(jax.random.key(2), 12, 32, 3, bias=False).bias is None


def test_a_layer_says_its_geometry_in_one_form():
    weight = jnp.ones((4, 2, 3, 3))
    layer = Convolution.of(weight, stride=2, padding=1, mode="mirror", groups=2)
    assert (layer.stride, layer.dilation, layer.groups) == ((2, 2), (1, 1), 2)
    assert (layer.padding, layer.mode, layer.bias) == (((1, 1), (1, 1)), "reflect", None)
    signal = Convolution.of(jnp.ones((4, 2, 3)), padding=(2, 0), dilation=2)
    assert (signal.stride, signal.dilation, signal.padding) == ((1,), (2,), ((2, 0),))
    assert jax.tree.structure(layer) == jax.tree.structure(eqx.tree_at(lambda net: net.weight, layer, 2 * weight))


def test_a_layer_is_read_as_one_step_with_its_weights(monkeypatch):
    """What a reader of networks is given: the kind, weights in PyTorch's layout, hashable attributes."""
    seen = []

    def noted(kind, function, x, weights, **attributes):
        there = {name: array for name, array in weights.items() if array is not None}
        seen.append((kind, {name: array.shape for name, array in there.items()}, attributes))
        hash(tuple(attributes.items()))
        return function(x, there)

    monkeypatch.setattr(convolution, "named", noted)
    layer = Convolution.init(jax.random.key(0), 2, 4, 3, stride=2, padding=(1, 0), mode="duplicate", bias=False)
    assert layer(jnp.ones((2, 8, 1))).shape == (4, 4, 1)
    Convolution.init(jax.random.key(0), 2, 4, (3, 1))(jnp.ones((2, 8, 8, 1)))
    signal = {"stride": (2,), "dilation": (1,), "groups": 1, "padding": ((1, 0),), "mode": "replicate"}
    image = {"stride": (1, 1), "dilation": (1, 1), "groups": 1, "padding": ((0, 0), (0, 0)), "mode": "zero"}
    assert seen == [
        ("conv", {"weight": (4, 2, 3)}, signal),
        ("conv", {"weight": (4, 2, 3, 1), "bias": (4,)}, image),
    ]


@pytest.mark.parametrize(
    ("x", "weight", "options", "sentence"),
    [
        ((2, 5, 1), (4, 2, 6), {}, "a kernel of 6 with stride 1 and padding 0 does not fit 5 positions"),
        ((2, 5, 1), (4, 2, 3), {"dilation": 3, "padding": 0}, "and dilation 3 does not fit 5 positions"),
        ((2, 5, 1), (4, 2, 3), {"padding": 5, "mode": "mirror"}, "a reflect padding of 5 .* at most 4"),
        ((2, 5, 1), (4, 2, 3), {"padding": 1, "mode": "miror"}, "no padding mode 'miror'; did you mean mirror"),
        ((2, 5, 1), (4, 2, 3), {"padding": "same", "stride": 2}, r'"same" with stride \(2,\)'),
        ((3, 5, 1), (4, 2, 3), {}, r"3 channels come in, and a weight of shape \(4, 2, 3\) in 1 group takes 2"),
        ((4, 5, 1), (4, 1, 3), {"groups": 2}, r"4 channels come in, .* in 2 groups takes 2"),
        ((6, 5, 1), (4, 2, 3), {"groups": 3}, "3 groups do not divide 6 channels in and 4 out"),
        ((2, 5, 1), (4, 2, 3), {"groups": 0}, "2 channels in, 4 out, groups 0: all must be at least 1"),
        ((2, 5, 1), (4, 2, 3, 3), {}, r"x of shape \(2, 5, 1\) and a weight of shape \(4, 2, 3, 3\) do not fit"),
        ((2, 5, 5, 5, 1), (4, 2, 3, 3, 3), {}, "do not fit; a signal is"),
        ((2, 5, 1), (4, 2, 3), {"stride": (1, 1)}, r"stride \(1, 1\): 2 numbers for 1 axis of space"),
        ((2, 5, 1), (4, 2, 3), {"dilation": 0}, "dilation 0: must be at least 1"),
        ((2, 5, 5, 1), (4, 2, 3, 3), {"padding": (0, 1)}, "can be read in two ways"),
    ],
)
def test_what_does_not_fit_is_refused(x, weight, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        convolve(jnp.ones(x), jnp.ones(weight), **options)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((4, 6, 3), {"groups": 3}, "3 groups do not divide 4 channels in and 6 out"),
        ((0, 6, 3), {}, "0 channels in, 6 out, groups 1: all must be at least 1"),
        ((4, 6, (3, 0)), {}, r"kernel \(3, 0\): must be at least 1"),
        ((4, 6, (3, 3, 3)), {}, r"a weight of shape \(6, 4, 3, 3, 3\) is none of a convolution"),
        ((4, 6, (3, 3)), {"padding": "same", "stride": 2}, r'"same" with stride \(2, 2\)'),
        ((4, 6, 3), {"mode": "edge"}, r"there is no padding mode 'edge'; did you mean replicate\?"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Convolution.init(jax.random.key(0), *arguments, **options)
