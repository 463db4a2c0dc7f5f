"""PyTorch modules as networks here: the same outputs and gradients, nothing changed, nothing shared."""

import copy

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.losses import cross_entropy
from flyroom.measure.architecture import architecture
from flyroom.nets.torch import Unconverted, convert
from flyroom.train import Protocol, contiguous, train_many

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from breadth import breadth  # noqa: E402
from torch_modules import As, Recurrent, ResNet, drawn, shaken  # noqa: E402


def compared(module, shape, dtype=torch.float64, weights=True):
    """The converted module, whose outputs and gradients by the input are the module's on batches of other sizes."""
    module = (shaken(module) if weights else module.eval()).to(dtype)
    exact = dtype == torch.float64
    with jax.enable_x64(exact):
        net = convert(module, drawn(3, *shape))
        for batch in (1, 5):
            x = drawn(batch, *shape, seed=batch).to(dtype).requires_grad_()
            expected = module(x.clone())  # which may be changed in place
            upstream = drawn(*expected.shape, seed=7).to(dtype)
            (gradient,) = torch.autograd.grad((expected * upstream).sum(), x)
            if batch == 1:
                close(eqx.filter_jit(net)(jnp.asarray(x.detach().numpy())), expected, exact)
                continue
            found, by_x = value_and_gradient(net, jnp.asarray(x.detach().numpy()), jnp.asarray(upstream.numpy()))
            assert found.dtype == by_x.dtype == np.dtype(np.float64 if exact else np.float32)
            close(found, expected, exact)
            close(by_x, gradient, exact)
    return net


@eqx.filter_jit
def value_and_gradient(net, x, upstream):
    value, back = jax.vjp(net, x)
    return value, *back(upstream)


def close(found, expected, exact):
    expected = expected.detach().numpy()
    tolerance = (1e-10 if exact else 1e-5) * max(float(np.abs(expected).max()), 1e-3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def ops(net):
    return [node.op for node in net.nodes[1:]]


# Layers. --------------------------------------------------------------------------------------------------------------

LAYERS = {
    "linear": (nn.Linear(5, 4), (5,), ["dense"]),
    "linear without bias": (nn.Linear(5, 4, bias=False), (5,), ["dense"]),
    "linear on the last of three axes": (nn.Linear(5, 4), (2, 3, 5), ["dense"]),
    "conv1d": (nn.Conv1d(2, 3, 3), (2, 9), ["conv"]),
    "conv1d, all": (nn.Conv1d(4, 6, 3, stride=2, padding=3, dilation=2, groups=2, bias=False), (4, 11), ["conv"]),
    "conv1d, same": (nn.Conv1d(2, 3, 4, padding="same", dilation=3), (2, 12), ["conv"]),
    "conv1d, valid": (nn.Conv1d(2, 3, 4, padding="valid"), (2, 12), ["conv"]),
    "conv2d": (nn.Conv2d(2, 3, 3), (2, 6, 7), ["conv"]),
    "conv2d, unequal": (nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 1)), (2, 7, 8), ["conv"]),
    "conv2d, same": (nn.Conv2d(2, 3, (4, 3), padding="same"), (2, 6, 7), ["conv"]),
    "conv2d, depthwise": (nn.Conv2d(3, 6, 3, groups=3), (3, 5, 5), ["conv"]),
    **{
        f"conv{n}d, {mode}": (layer(2, 3, 3, padding=2, padding_mode=mode), (2, *(5, 6)[:n]), ["conv"])
        for n, layer in ((1, nn.Conv1d), (2, nn.Conv2d))
        for mode in ("reflect", "replicate", "circular")
    },
    "conv2d, same and reflect": (nn.Conv2d(2, 3, (4, 3), padding="same", padding_mode="reflect"), (2, 6, 7), ["conv"]),
    "batch norm of features": (nn.BatchNorm1d(4), (4,), ["batch_norm"]),
    "batch norm of signals": (nn.BatchNorm1d(4, eps=0.1), (4, 6), ["batch_norm"]),
    "batch norm of images": (nn.BatchNorm2d(4), (4, 3, 5), ["batch_norm"]),
    "batch norm without gain": (nn.BatchNorm2d(4, affine=False), (4, 3, 5), ["batch_norm"]),
    "group norm": (nn.GroupNorm(2, 4), (4, 3, 5), ["group_norm"]),
    "group norm without gain": (nn.GroupNorm(2, 4, affine=False), (4, 6), ["group_norm"]),
    "instance norm": (nn.InstanceNorm2d(4), (4, 3, 5), ["group_norm"]),
    "instance norm with gain": (nn.InstanceNorm1d(4, affine=True), (4, 6), ["group_norm"]),
    "instance norm with statistics": (nn.InstanceNorm1d(4, track_running_stats=True), (4, 6), ["batch_norm"]),
    "layer norm": (nn.LayerNorm((4, 6)), (4, 6), ["layer_norm"]),
    "layer norm of the last axis": (nn.LayerNorm(6), (4, 3, 6), ["layer_norm"]),
    "layer norm without bias": (nn.LayerNorm(6, bias=False), (4, 6), ["layer_norm"]),
    "layer norm without gain": (nn.LayerNorm((4, 6), elementwise_affine=False), (4, 6), ["layer_norm"]),
    "layer norm of an axis without gain": (
        nn.LayerNorm(6, elementwise_affine=False),
        (4, 3, 6),
        ["reshape", "group_norm", "reshape"],
    ),
    "max pool": (nn.MaxPool1d(2), (3, 9), ["max_pool"]),
    "max pool, all": (nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0)), (3, 7, 8), ["max_pool"]),
    "max pool, last window beyond the input": (nn.MaxPool2d(3, stride=2, ceil_mode=True), (3, 6, 8), ["max_pool"]),
    "mean pool": (nn.AvgPool1d(3), (3, 10), ["mean_pool"]),
    "mean pool, all": (nn.AvgPool2d((3, 2), stride=(2, 1), padding=(1, 1)), (3, 7, 8), ["mean_pool"]),
    "mean pool, padding not counted": (nn.AvgPool2d(3, padding=1, count_include_pad=False), (3, 7, 8), ["mean_pool"]),
    "L2 pool": (nn.LPPool1d(2, 3), (3, 10), ["l2_pool"]),
    "L2 pool of images": (nn.LPPool2d(2, (3, 2), stride=2), (3, 7, 8), ["l2_pool"]),
    "mean over space": (nn.AdaptiveAvgPool2d(1), (3, 4, 5), ["mean", "reshape"]),
    "mean over positions": (nn.AdaptiveAvgPool1d(1), (3, 4), ["mean", "reshape"]),
    "mean to a divisor": (nn.AdaptiveAvgPool2d((2, 5)), (3, 4, 10), ["mean_pool"]),
    "maximum over space": (nn.AdaptiveMaxPool2d(1), (3, 4, 5), ["max", "reshape"]),
    "flatten": (nn.Flatten(), (3, 4, 5), ["reshape"]),
    "flatten from the second": (nn.Flatten(2), (3, 4, 5), ["reshape"]),
    "unflatten": (nn.Unflatten(1, (2, 3)), (6, 5), ["reshape"]),
    "softmax": (nn.Softmax(-1), (3, 4), ["softmax"]),
    "softmax of channels": (nn.Softmax(1), (3, 4), ["softmax"]),
    "PReLU, one slope": (nn.PReLU(), (3, 4), ["prelu"]),
    "PReLU, a slope a channel": (nn.PReLU(3), (3, 4, 2), ["prelu"]),
    "leaky ReLU": (nn.LeakyReLU(0.3), (4,), ["activation"]),
    "leaky ReLU in place": (
        nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(0.3, inplace=True)),
        (4,),
        ["dense", "activation"],
    ),
    "ReLU": (nn.ReLU(), (4,), ["activation"]),
    "hard tanh": (nn.Hardtanh(), (4,), ["activation"]),
    "sigmoid": (nn.Sigmoid(), (4,), ["activation"]),
    "tanh": (nn.Tanh(), (4,), ["activation"]),
    "GELU": (nn.GELU(), (4,), ["activation"]),
    "ELU": (nn.ELU(), (4,), ["activation"]),
    "softplus": (nn.Softplus(), (4,), ["activation"]),
    "SiLU": (nn.SiLU(), (4,), ["activation"]),
    "dropout": (nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2), nn.Dropout(0.1)), (4,), ["dense"]),
    "identity": (nn.Sequential(nn.Identity(), nn.Tanh()), (4,), ["activation"]),
}
EACH_KIND = (
    *("linear", "conv1d, all", "conv2d, unequal", "conv2d, reflect", "batch norm of images", "group norm"),
    *("instance norm with gain", "layer norm", "max pool, all", "mean pool, padding not counted", "L2 pool"),
    *("mean over space", "maximum over space", "flatten", "softmax of channels", "PReLU, a slope a channel"),
    *("leaky ReLU in place", "dropout", "identity"),
)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")  # PyTorch's own
@pytest.mark.parametrize("name", breadth(LAYERS, *EACH_KIND))
def test_a_layer_is_one_step(name):
    module, shape, expected = LAYERS[name]
    assert ops(compared(copy.deepcopy(module), shape)) == expected


@pytest.mark.parametrize("name", ["conv2d, unequal", "batch norm of images", "GELU"])
def test_in_float32(name):
    module, shape, _ = LAYERS[name]
    compared(copy.deepcopy(module), shape, torch.float32)


@pytest.mark.parametrize("ends", breadth([False, True], True))
@pytest.mark.parametrize("both", breadth([False, True], True))
@pytest.mark.parametrize(
    ("kind", "layer", "options"),
    [
        ("gru", nn.GRU, {"batch_first": True}),
        ("gru", nn.GRU, {"bias": False}),
        ("rnn", nn.RNN, {"batch_first": True}),
        ("rnn", nn.RNN, {"nonlinearity": "relu", "batch_first": True}),
    ],
)
def test_a_recurrent_layer_is_one_step(kind, layer, options, both, ends):
    net = compared(Recurrent(layer(3, 4, bidirectional=both, **options), ends), (6, 3))
    assert ops(net).count(kind) == 1
    assert set(ops(net)) <= {kind, "transpose", "slice", "reshape", "concatenate"}


# Functions, sums, shapes. ---------------------------------------------------------------------------------------------

KERNEL = drawn(3, 2, 3, seed=3)
FUNCTIONS = {
    "F.linear": As(lambda m, x: F.linear(x, m.w, m.b), w=drawn(4, 6), b=drawn(4)),
    "F.relu, F.silu, torch.sin": As(lambda m, x: torch.sin(F.silu(x)) + F.relu(x)),
    "erf, tanh, sigmoid": As(lambda m, x: torch.erf(x) + torch.tanh(x) * torch.sigmoid(x)),
    "square": As(lambda m, x: torch.square(x) + x**2 + x.pow(2)),
    "clamp": As(lambda m, x: x.clamp(-1, 1) + x.clamp(min=0)),
    "F.hardtanh, F.elu, F.gelu": As(lambda m, x: F.hardtanh(x) - F.elu(x) * F.gelu(x)),
    "F.softmax": As(lambda m, x: F.softmax(x, dim=1) + x.softmax(2)),
    "elementwise": As(lambda m, x: x.abs().sqrt() + x.exp().log1p() + x.cos() * torch.sign(x)),
    "numbers": As(lambda m, x: 3 - 2 * (x + 1) / 4 - 0.5),
    "alpha": As(lambda m, x: torch.add(x, x * x, alpha=3) - torch.sub(x, 2.0, alpha=2)),
    "a number by a value": As(lambda m, x: 2 / (1 + x * x)),
    "two branches": As(lambda m, x: x * torch.sin(x) - x / (x * x + 1)),
    "a fixed tensor": As(lambda m, x: (x - m.mean) / m.std, {"mean": drawn(2, 1), "std": drawn(2, 1) ** 2 + 1}),
    "a parameter": As(lambda m, x: m.gain * x + m.bias, gain=drawn(3), bias=drawn(1, 2, 1)),
    "a trained number": As(lambda m, x: m.scale * x, scale=drawn(1)),
    "maximum": As(lambda m, x: torch.maximum(x, m.low) + torch.minimum(x, -x), low=drawn(3)),
    "branches broadcast": As(lambda m, x: x * x.mean(2, keepdim=True) + x.sum(1, keepdim=True)),
    "expand": As(lambda m, x: x.mean(2, keepdim=True).expand_as(x) * x),
    "mean": As(lambda m, x: x.mean(-1)),
    "means": As(lambda m, x: x.mean((1, 2))),
    "sum": As(lambda m, x: x.sum(1)),
    "amax": As(lambda m, x: x.amax(-1, keepdim=True)),
    "max": As(lambda m, x: x.max(2).values + x.max(dim=2)[0]),
    "view": As(lambda m, x: x.view(x.shape[0], -1)),
    "view with -1 for the batch": As(lambda m, x: x.reshape(-1, 6)),
    "reshape back": As(lambda m, x: torch.sin(x.flatten(1)).reshape(x.size(0), 3, 2)),
    "a view by len": As(lambda m, x: x.view(len(x), -1) + torch.zeros(len(x), 6, dtype=x.dtype)),
    "unsqueeze": As(lambda m, x: x[:, None].squeeze(1).unsqueeze(-1)),
    "permute": As(lambda m, x: x.permute(0, 2, 1)),
    "the batch goes round": As(lambda m, x: torch.sin(x.permute(1, 0, 2)).transpose(1, 2).permute(2, 1, 0)),
    "movedim": As(lambda m, x: x.movedim(1, 2).mT),
    "T": As(lambda m, x: torch.sin(x.flatten(1).T).t()),
    "cat": As(lambda m, x: torch.cat([x, torch.sin(x), x[:, :1]], dim=1)),
    "cat with a fixed tensor": As(lambda m, x: torch.cat([m.c.expand(len(x), -1, -1), x], 1), c=drawn(1, 1, 3)),
    "stack": As(lambda m, x: torch.stack([x, -x], dim=2)),
    "slices": As(lambda m, x: x[:, :, 1:] + x[:, 1:, ::2] * x[..., 0:1]),
    "select": As(lambda m, x: x[:, 1] - x[:, 0] + x.select(1, -1)),
    "chunk": As(lambda m, x: x.chunk(2, dim=1)[1] + x.split(1, dim=1)[0] + x.unbind(1)[0][:, None]),
    "narrow": As(lambda m, x: x.narrow(2, 1, 2)),
    "shuffle": As(lambda m, x: x[:, :, m.order] + x.index_select(2, m.order), {"order": torch.tensor([2, 0, 1])}),
    "mask": As(lambda m, x: x[:, :, torch.tensor([True, False, True])]),
    "negative index": As(lambda m, x: x[:, torch.tensor([-1, 0])]),
    "flip": As(lambda m, x: x.flip(2)),
    "zeros like": As(lambda m, x: x + torch.zeros_like(x) + torch.ones(x.shape[0], 1, 1, dtype=x.dtype)),
    "F.pad": As(lambda m, x: F.pad(x, (1, 2))),
    "F.pad of channels": As(lambda m, x: F.pad(x, (0, 0, 1, 2))),
    "F.pad, reflect": As(lambda m, x: F.pad(x, (1, 2), mode="reflect")),
    "F.conv1d": As(lambda m, x: F.conv1d(x, m.w, padding=1), w=KERNEL),
    "F.max_pool1d": As(lambda m, x: F.max_pool1d(x, 2) + F.avg_pool1d(x, 2) + F.lp_pool1d(x, 2.0, 2)),
    "F.layer_norm": As(lambda m, x: F.layer_norm(x, (3,))),
    "F.dropout": As(lambda m, x: F.dropout(x, 0.5, m.training)),
    "matmul": As(lambda m, x: x @ m.right, right=drawn(3, 4)),
    "matmul from the left": As(lambda m, x: m.left @ x, left=drawn(4, 2)),
    "matmul with the batch last": As(lambda m, x: (m.left @ x.flatten(1).T).T, left=drawn(4, 6)),
    "a weight that is computed": As(
        lambda m, x: F.linear(x, m.g * m.v / m.v.norm(dim=1, keepdim=True)), g=drawn(4, 1), v=drawn(4, 3)
    ),
    "detach, clone, contiguous": As(lambda m, x: x.clone().contiguous().to(x.dtype) * 2),
    "in place": As(lambda m, x: torch.sin(x).add_(1).mul_(x).relu_()),
    "a view changed in place": As(lambda m, x: torch.sin(x).flatten(1).relu_()),
}
EACH_FUNCTION = (
    *("F.linear", "elementwise", "numbers", "two branches", "a fixed tensor", "a parameter", "maximum", "means", "max"),
    *("view with -1 for the batch", "the batch goes round", "cat", "slices", "chunk", "shuffle", "F.pad, reflect"),
    *("F.conv1d", "F.max_pool1d", "matmul from the left", "a weight that is computed", "a view changed in place"),
)


@pytest.mark.parametrize("name", breadth(FUNCTIONS, *EACH_FUNCTION))
def test_a_function_of_the_input(name):
    module = copy.deepcopy(FUNCTIONS[name])
    shape = (6,) if name == "F.linear" else (2, 3)
    compared(module, shape, weights=False)


def test_numbers_are_attributes_and_parameters_are_weights():
    net = compared(As(lambda m, x: 2 * x + m.bias, bias=drawn(3)), (3,), weights=False)
    assert ops(net) == ["scale", "constant", "add"]
    assert [node.attributes for node in net.nodes if node.op == "scale"] == [{"value": 2.0}]
    assert [list(node.weights) for node in net.nodes if node.op == "constant"] == [["value"]]


# Networks. ------------------------------------------------------------------------------------------------------------


def test_a_residual_network():
    net = compared(ResNet(), (3, 17, 16))
    assert ops(net).count("conv") == 1 + 2 + 3 + 4
    assert ops(net).count("batch_norm") == 1 + 2 + 3 + 3
    assert ops(net).count("add") == 3


def test_places_are_paths_in_the_module():
    places = [node.place for node in convert(shaken(ResNet()), np.ones((1, 3, 17, 16))).nodes]
    assert len(set(places)) == len(places)
    assert places[:5] == ["input", "stem.0", "stem.1", "stem.2", "stem.3"]
    assert {"layer1.1.conv2", "layer1.1.downsample.1", "layer1.0.relu", "layer1.0.relu_2", "layer1.0.add"} <= {*places}
    assert {"layer2.norms.2", "layer2.shortcut", "layer2.relu_3", "layer2.add", "avgpool", "fc"} <= {*places}


def gradients(module, x, y):
    module.zero_grad()
    F.cross_entropy(module(x), y).backward()
    return {name: parameter.grad.numpy() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize(
    ("name", "multiply_adds"),
    breadth(
        [("mnist1d-linear", 400), ("mnist1d-mlp", 15_000), ("mnist1d-cnn", 31_750), ("mnist1d-gru", 14_880)],
        *[("mnist1d-mlp", 15_000), ("mnist1d-cnn", 31_750)],
    ),
)
def test_the_benchmark_networks(name, multiply_adds):
    from golden import make
    from pytorch_layout import examples, weights

    module = make.network(name, weights(name), torch.float64)
    x, y = (array[:50] for array in examples())
    with jax.enable_x64(True):
        net = convert(module, x.astype(np.float64))
        found = eqx.filter_jit(eqx.filter_grad(cross_entropy))(net, jnp.asarray(x, float), jnp.asarray(y))
    expected = gradients(module, torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.int64))
    by_place = {f"{node.place}.{key}": leaf for node in found.nodes for key, leaf in node.weights.items()}
    assert set(by_place) == set(expected)
    for key, gradient in expected.items():
        np.testing.assert_allclose(by_place[key], gradient, rtol=0, atol=1e-9, err_msg=key)
    ours = architecture(net, (40,))
    assert ours.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert ours.multiply_adds == multiply_adds


def test_it_is_trained_as_pytorch_trains_it():
    from golden import make
    from pytorch_layout import BATCH, EXAMPLES, RATE, examples, weights

    x, y = examples()
    module = make.network("mnist1d-cnn", weights("mnist1d-cnn"), torch.float32)
    net = convert(module, x[:2])
    (trained,) = train_many([net], x, y, contiguous(EXAMPLES, BATCH, 10), Protocol(cross_entropy), learning_rate=RATE)
    losses = make.train(module, torch.tensor(x), torch.tensor(y, dtype=torch.int64), 10)
    np.testing.assert_allclose(trained.losses, losses, rtol=1e-5, atol=1e-5)


def test_a_weight_that_is_used_twice_is_one_array():
    layer = nn.Linear(4, 4)
    module = As(lambda m, x: m.second(torch.tanh(m.first(x))) + F.linear(x, m.first.weight), first=layer, second=layer)
    net = compared(module, (4,))
    held = [node.weights["weight"] for node in net.nodes if node.op == "dense"]
    assert len(held) == 3 and all(one is held[0] for one in held)
    assert architecture(net, (4,)).parameters == 4 * 4 + 4


# Random stacks of layers. ---------------------------------------------------------------------------------------------


@st.composite
def stacks(draw, axes):
    """Layers that fit one another, from a signal or an image of 3 channels to whatever is left of it."""
    kinds = ("Conv", "BatchNorm", "MaxPool", "AvgPool", "Dropout")
    conv, norm, pool, mean, dropout = (getattr(nn, f"{kind}{axes}d") for kind in kinds)
    channels, size, layers = 3, 12, []
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    for _ in range(number(1, 5)):
        kind = draw(st.sampled_from(["conv", "norm", "pool", "activation", "group", "skip", "dropout"]))
        if kind == "conv":
            kernel, dilation, stride, padding = number(1, 3), number(1, 2), number(1, 2), number(0, 2)
            after = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            if after < 2 or padding >= size:
                continue
            outputs, groups = 2 * channels, draw(st.sampled_from([1, channels]))
            mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
            layers.append(
                conv(
                    channels, outputs, kernel, stride, padding, dilation, groups, draw(st.booleans()), padding_mode=mode
                )
            )
            channels, size = outputs, after
        elif kind == "norm":
            layers.append(norm(channels))
        elif kind == "group":
            layers.append(nn.GroupNorm(draw(st.sampled_from([1, channels])), channels))
        elif kind == "dropout":
            layers.append(dropout(0.3))
        elif kind == "pool" and size >= 4:
            layers.append(draw(st.sampled_from([pool, mean]))(2, stride=number(1, 2), padding=number(0, 1)))
            size = layers[-1](torch.zeros(1, 1, *(size,) * axes)).shape[-1]
        elif kind == "activation":
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.Tanh(), nn.GELU(), nn.LeakyReLU(0.2)])))
        elif kind == "skip":
            inner = conv(channels, channels, 3, padding=1)
            layers.append(As(lambda m, x: m.inner(x) + x, inner=inner))
        if channels > 12:
            break
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size**axes, 2))


@settings(max_examples=3, deadline=None)
@given(module=stacks(axes=1))
def test_stacks_on_signals(module):
    compared(module, (3, 12))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data(), axes=st.sampled_from([1, 2]))
def test_stacks_on_signals_and_images(data, axes):
    compared(data.draw(stacks(axes=axes)), (3, *(12,) * axes))


# Nothing is changed, nothing is shared. -------------------------------------------------------------------------------


def test_nothing_of_the_module_or_of_pytorch_is_changed():
    module = shaken(ResNet())
    module.layer1.train()  # a mode of one part; its batch norms go back to eval
    for layer in module.layer1.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    before = {
        name: (tensor, tensor.clone(), tensor._version) for name, tensor in module.state_dict(keep_vars=True).items()
    }
    modes = [layer.training for layer in module.modules()]
    state = (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state())
    example = drawn(2, 3, 17, 16).float()
    kept = example.clone()
    convert(module, example)
    after = module.state_dict(keep_vars=True)
    assert list(after) == list(before)
    for name, (tensor, values, version) in before.items():
        assert after[name] is tensor and torch.equal(tensor, values) and tensor._version == version, name
    assert [layer.training for layer in module.modules()] == modes and True in modes and False in modes
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    threads, dtype, enabled, generator = state
    assert (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()) == (threads, dtype, enabled)
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(example, kept)


def test_a_module_that_draws_is_refused_and_leaves_the_generator_as_it_was():
    state = torch.get_rng_state()
    with pytest.raises(Unconverted, match=r"aten\.randn\.default: it cannot be converted; its output is random"):
        convert(As(lambda m, x: x + torch.randn(3)), drawn(2, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_are_copies():
    module = shaken(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)))
    net = convert(module, drawn(2, 3))
    x = jnp.ones((1, 3))
    before = np.asarray(net(x))
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(1)
    np.testing.assert_array_equal(net(x), before)


def test_running_statistics_have_no_gradient():
    net = convert(shaken(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))), drawn(2, 3))
    found = jax.grad(lambda net: net(jnp.ones((1, 3))).sum())(net).nodes[-1].weights
    assert float(jnp.abs(found["mean"]).max()) == float(jnp.abs(found["variance"]).max()) == 0
    assert float(jnp.abs(found["gain"]).max()) > 0


def test_precision_is_that_of_jax():
    module = shaken(nn.Linear(3, 2)).double()
    assert convert(module, drawn(2, 3)).nodes[1].weights["weight"].dtype == np.float32
    with jax.enable_x64(True):
        assert convert(module, drawn(2, 3)).nodes[1].weights["weight"].dtype == np.float64
        assert convert(module.float(), drawn(2, 3)).nodes[1].weights["weight"].dtype == np.float32


@pytest.mark.parametrize(
    "example", [np.ones((2, 3), np.float32), jnp.ones((1, 3)), torch.ones(4, 3, dtype=torch.float64)]
)
def test_an_example_is_a_batch_of_any_kind_and_size(example):
    net = convert(shaken(nn.Linear(3, 2)), example)
    assert net(jnp.ones((6, 3))).shape == (6, 2)
