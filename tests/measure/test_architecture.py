"""Shapes, parameters, multiply-adds, receptive fields: worked tables, closed forms, gradients, brute force, PyTorch."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import breadth
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.measure.architecture import architecture, effective_size, gradient_field, middle_field
from flyroom.nets.conv import CNN
from flyroom.nets.convolution import Convolution
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import ResNet
from flyroom.nets.spec import parse

KEY = jax.random.key(0)
GIGA = 1e9


class Stack(eqx.Module):
    """Layers one after another on (batch, channel, *space)."""

    layers: tuple

    def __call__(self, x):
        hidden = jnp.moveaxis(x, 0, -1)
        for layer in self.layers:
            hidden = layer(hidden)
        return jnp.moveaxis(hidden, -1, 0)


def stack(*layers) -> Stack:
    return Stack(tuple(layers))


def conv(inputs, outputs, kernel, **given) -> Convolution:
    return Convolution.init(KEY, inputs, outputs, kernel, **given)


@pytest.mark.parametrize(
    ("text", "parameters", "multiply_adds"),
    [
        ("mnist1d-linear", 410, 400),
        ("mnist1d-mlp", 15_210, 15_000),
        ("mnist1d-cnn", 5_210, 31_750),
        ("mnist1d-gru", 5_134, 14_880),
    ],
)
def test_the_benchmark_networks(text, parameters, multiply_adds):
    found = architecture(parse(text).init(KEY), (40,))
    assert (found.parameters, found.multiply_adds, found.state) == (parameters, multiply_adds, 0)


RESNETS = [
    # depth, version, shortcut, 10^9 multiply-adds, parameters
    (18, "v1", "A", 1.795, None),
    (18, "v1", "B", 1.814, 11_689_512),
    (34, "v1", "A", 3.644, None),
    (34, "v1", "B", 3.664, 21_797_672),
    (50, "v1", "A", 3.498, None),
    (50, "v1", "B", 3.858, 25_557_032),
    (50, "v1.5", "B", 4.089, 25_557_032),
    (101, "v1", "B", 7.570, 44_549_160),
    (101, "v1.5", "B", 7.801, 44_549_160),
    (152, "v1", "B", 11.282, 60_192_808),
    (152, "v1.5", "B", 11.514, 60_192_808),
]


@pytest.mark.parametrize(
    ("depth", "version", "shortcut", "giga", "parameters"),
    breadth(RESNETS, RESNETS[0], (34, "v1", "A", 3.644, None), (50, "v1.5", "B", 4.089, 25_557_032)),
)
def test_the_resnet_table(depth, version, shortcut, giga, parameters):
    def init(key):
        net = ResNet.init(key, depth, version=version, shortcut=shortcut)
        return AtInference(net, net.begin())

    found = architecture(eqx.filter_eval_shape(init, KEY), (3, 224, 224))
    assert round(found.multiply_adds / GIGA, 3) == giga
    assert parameters is None or found.parameters == parameters
    sizes = [layer.output_shape[1:] for layer in found.layers if layer.op == "conv"]
    assert list(dict.fromkeys(sizes)) == [(112, 112), (56, 56), (28, 28), (14, 14), (7, 7)]


def test_the_resnet_of_small_images():
    def init(key):
        net = ResNet.init(key, 18, classes=10, stem="cifar")
        return AtInference(net, net.begin())

    found = architecture(eqx.filter_eval_shape(init, KEY), (3, 32, 32))
    assert found.parameters == 11_173_962 and round(found.multiply_adds / GIGA, 3) == 0.556 - 0.001
    chain = [layer for layer in found.layers if layer.op == "conv" and layer.kernel == (3, 3)]
    assert chain[-1].receptive_field[0] == chain[-1].receptive_field[1]


def test_the_lectures_convolution_and_its_dense_equivalent():
    found = architecture(stack(conv(3, 64, (3, 3), padding=1, bias=False)), (3, 32, 32))
    (layer,) = (one for one in found.layers if one.op == "conv")
    assert layer.parameters == 1_728 and layer.formula == "64 x 3 x 3 x 3"
    assert layer.dense_parameters == 201_326_592
    assert layer.effective_input == (34, 34) and layer.output_shape == (64, 32, 32)


@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_two_and_three_layers_see_2k_minus_1_and_3k_minus_2(kernel):
    layers = [conv(1, 1, kernel) for _ in range(3)]
    fields = [layer.receptive_field for layer in architecture(stack(*layers), (1, 30)).layers if layer.op == "conv"]
    assert fields == [(kernel,), (2 * kernel - 1,), (3 * kernel - 2,)]


def test_dilated_layers_see_far_and_leave_holes():
    net = stack(conv(1, 1, 3, dilation=2), conv(1, 1, 3, dilation=2))
    found = architecture(net, (1, 21))
    last = found.layers[-1]
    assert last.receptive_field == (9,) and last.effective_kernel == (5,)
    seen = gradient_field(found.graph, (1, 21), last.name)
    assert effective_size(seen) == (5,)
    assert np.flatnonzero(seen[0]).tolist() == [6, 8, 10, 12, 14]
    doubled = architecture(stack(conv(1, 1, 3), conv(1, 1, 3, dilation=2), conv(1, 1, 3, dilation=4)), (1, 30))
    assert doubled.layers[-1].receptive_field == (15,)


@st.composite
def stacks(draw):
    """Random stacks of convolutions that fit a signal of 40."""
    layers, length = [], 40
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        dilation, padding = draw(st.integers(1, 3)), draw(st.integers(0, 2))
        if length + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        length = (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        layers.append({"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding})
    return layers


@settings(max_examples=40, deadline=None)
@given(stacks(), st.booleans())
def test_fields_are_those_of_a_brute_force_oracle(layers, skip):
    """Which inputs a unit sees, by following sets of places one by one; with a skip around what keeps the length."""

    def seen(i: int, depth: int) -> set[int]:
        if depth == 0:
            return {i}
        given = layers[depth - 1]
        taps = {i * given["stride"] - given["padding"] + j * given["dilation"] for j in range(given["kernel"])}
        found = set().union(*(seen(tap, depth - 1) for tap in taps))
        return found | (seen(i, depth - 1) if around(depth - 1) else set())

    def around(place: int) -> bool:
        given = layers[place]
        kept = 2 * given["padding"] == given["dilation"] * (given["kernel"] - 1)
        return skip and given["stride"] == 1 and kept

    made = [conv(1, 1, g["kernel"], stride=g["stride"], dilation=g["dilation"], padding=g["padding"]) for g in layers]

    def net(x):
        hidden = jnp.moveaxis(x, 0, -1)
        for place, layer in enumerate(made):
            hidden = hidden + layer(hidden) if around(place) else layer(hidden)
        return jnp.moveaxis(hidden, -1, 0)

    if not layers:
        return
    last = architecture(net, (1, 40)).layers[-1]
    for i in (0, last.output_shape[-1] - 1):
        places = seen(i, len(layers))
        first = last.offset[0] + last.jump[0] * i
        assert (first, first + last.receptive_field[0] - 1) == (min(places), max(places))


def test_what_the_gradient_sees_lies_in_the_closed_form():
    net = CNN.init(KEY)
    found = architecture(net, (40,))
    for layer in found.layers:
        if layer.op == "conv":
            (first, last), *_ = middle_field(layer, (40,))
            places = np.flatnonzero(gradient_field(found.graph, (40,), layer.name))
            assert first <= places.min() and places.max() <= last
            assert places.max() - places.min() + 1 == layer.receptive_field[0]  # no dilation: no holes


def test_dense_layers_see_everything_and_gradients_are_refused_where_they_cannot_be():
    found = architecture(parse("mnist1d-cnn").init(KEY), (40,))
    assert found.layers[-1].receptive_field == (40,) and found.layers[-1].jump == (0,)
    with pytest.raises(ValueError, match="there is no layer 'conv9'; there are input"):
        gradient_field(found.graph, (40,), "conv9")
    with pytest.raises(ValueError, match=r"there is no unit \(99,\)"):
        gradient_field(found.graph, (40,), found.layers[-1].name, unit=(99,))
    abstract = eqx.filter_eval_shape(parse("mnist1d-cnn").init, KEY)
    with pytest.raises(ValueError, match="shapes only"):
        gradient_field(abstract, (40,), "last")


def test_a_weight_that_is_used_twice_counts_once():
    weight = jnp.ones((5, 5))
    found = architecture(lambda x: jnp.tanh(x @ weight) @ weight, (5,))
    assert found.multiply_adds == 50 and found.parameters == 25


@pytest.mark.parametrize("kind", ["reflect", "replicate", "circular"])
def test_padding_of_any_kind_has_the_same_field(kind):
    net = stack(conv(1, 2, 5, padding=2, mode=kind))
    assert architecture(net, (1, 20)).layers[-1].receptive_field == (5,)


def test_multiply_adds_are_those_of_pytorchs_counter():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    counted = {}
    modules = {
        "cnn": (torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.ReLU(),
                                    torch.nn.Conv2d(8, 8, 3, groups=4), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 7)),
                (3, 16, 16)),
        "dilated": (torch.nn.Sequential(torch.nn.Conv1d(2, 4, 5, dilation=3), torch.nn.Tanh()), (2, 30)),
    }  # fmt: skip
    for name, (module, shape) in modules.items():
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            module(torch.zeros(1, *shape))
        counted[name] = counter.get_total_flops() // 2
        from flyroom.nets.torch import convert

        found = architecture(convert(module, torch.zeros(2, *shape)), shape)
        assert found.multiply_adds == counted[name]
        assert found.parameters == sum(p.numel() for p in module.parameters())


def test_torchinfo_finds_the_same_shapes_and_parameters():
    torch = pytest.importorskip("torch")
    torchinfo = pytest.importorskip("torchinfo")
    from flyroom.nets.torch import convert

    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(8 * 8 * 8, 7),
    ).eval()  # fmt: skip
    summary = torchinfo.summary(module, (1, 3, 16, 16), verbose=0)
    found = architecture(convert(module, torch.zeros(2, 3, 16, 16)), (3, 16, 16))
    assert found.parameters == summary.total_params
    theirs = [tuple(one.output_size[1:]) for one in summary.summary_list if one.is_leaf_layer]
    ours = [layer.output_shape for layer in found.layers[1:]]
    assert [shape for shape in theirs if shape in ours] == theirs
