"""PyTorch's names: complete, the same there and back, and every array that does not belong is named."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resnet_layout import NETS, images, state
from safetensors.numpy import save_file

from flyroom.nets import layouts
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import ResNet

NAME = "bottleneck-cifar-v1"
called = eqx.filter_jit(lambda model, x: model(x))


@pytest.fixture(scope="module")
def net():
    return made("v1")


def made(version):
    counts, stem = NETS[NAME].counts, NETS[NAME].stem
    key = jax.random.key(0)
    return ResNet.of_blocks(key, counts, bottleneck=True, width=4, classes=3, stem=stem, version=version)


@pytest.fixture
def arrays():
    return state(NAME)


def norm(name):
    return {f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")}


def torchvisions(blocks, convolutions, projected):
    """The names of torchvision's networks, but for num_batches_tracked."""
    names = {"conv1.weight", "fc.weight", "fc.bias"} | norm("bn1")
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            for i in range(1, convolutions + 1):
                names |= {f"layer{stage}.{block}.conv{i}.weight"} | norm(f"layer{stage}.{block}.bn{i}")
        if stage in projected:
            names |= {f"layer{stage}.0.downsample.0.weight"} | norm(f"layer{stage}.0.downsample.1")
    return names


@pytest.mark.parametrize(
    ("spec", "blocks", "convolutions", "projected", "count"),
    [
        ("resnet18", (2, 2, 2, 2), 2, (2, 3, 4), 122 - 20),
        ("resnet34:A", (3, 4, 6, 3), 2, (), 33 * 5 + 2),
        ("resnet50:v1", (3, 4, 6, 3), 3, (1, 2, 3, 4), 320 - 53),
        ("resnet152", (3, 8, 36, 3), 3, (1, 2, 3, 4), 932 - 155),
        ("resnet18:cifar", (2, 2, 2, 2), 2, (2, 3, 4), 102),
    ],
)
def test_the_names_are_torchvisions(spec, blocks, convolutions, projected, count):
    found = layouts.shapes(spec)
    assert set(found) == torchvisions(blocks, convolutions, projected)
    assert len(found) == count


def test_shapes_by_name():
    found = layouts.shapes("resnet50")
    assert found["conv1.weight"] == (64, 3, 7, 7) and found["fc.weight"] == (1000, 2048)
    assert found["layer2.0.conv2.weight"] == (128, 128, 3, 3) and found["layer1.0.bn3.running_var"] == (256,)
    assert found["layer4.0.downsample.0.weight"] == (2048, 1024, 1, 1) and found["layer3.5.bn1.weight"] == (256,)
    assert layouts.shapes("resnet18:cifar?classes=100&channels=1")["conv1.weight"] == (64, 1, 3, 3)


def test_there_and_back(net, arrays):
    given = arrays | {"bn1.num_batches_tracked": np.array(7), "layer1.0.bn2.num_batches_tracked": np.array(7)}
    loaded, running = layouts.from_pytorch(given, net)
    again = layouts.to_pytorch(loaded, running)
    assert again.keys() == arrays.keys()
    for key, array in arrays.items():
        np.testing.assert_array_equal(again[key], array, err_msg=key)
    assert jax.tree.structure((loaded, running)) == jax.tree.structure((net, net.begin()))
    np.testing.assert_array_equal(running.stages[1][0].norms[1].variance, arrays["layer2.0.bn2.running_var"])
    np.testing.assert_array_equal(loaded.stages[0][1].norms[2].gain, arrays["layer1.1.bn3.weight"])
    again["conv1.weight"][:] = 0  # a copy, and writable
    assert np.asarray(loaded.stem.weight).any()


def test_any_kind_of_floating_point_number_becomes_ours(net, arrays):
    for convert in (lambda a: a.astype(np.float64), lambda a: a.astype(np.float16), jnp.asarray):
        loaded, running = layouts.from_pytorch({key: convert(array) for key, array in arrays.items()}, net)
        assert {leaf.dtype for leaf in jax.tree.leaves((loaded, running))} == {np.dtype(np.float32)}
        np.testing.assert_allclose(loaded.stem.weight, arrays["conv1.weight"], rtol=1e-3)


def test_the_names_do_not_tell_the_version(net, arrays):
    first, second = (called(AtInference(*layouts.from_pytorch(arrays, made(v))), images(NAME)) for v in ("v1", "v1.5"))
    assert layouts.shapes(net) == layouts.shapes(made("v1.5"))
    assert np.abs(first - second).max() > 0.1


def test_from_a_file(tmp_path, net, arrays):
    path = tmp_path / "timm.safetensors"
    save_file(arrays, path, {"format": "pt"})
    loaded, running = layouts.read(path, net)
    found = called(AtInference(loaded, running), images(NAME))
    expected = called(AtInference(*layouts.from_pytorch(arrays, net)), images(NAME))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        layouts.read(tmp_path / "none.safetensors", net)
    (tmp_path / "net.pth").write_bytes(b"\x80\x02 a pickle")
    with pytest.raises(ValueError, match=r"a .pt or .pth is a pickle, which can run code and is never opened"):
        layouts.read(tmp_path / "net.pth", net)


def without(arrays, *names):
    return {key: array for key, array in arrays.items() if key not in names}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: without(a, "fc.bias"), "this ResNet; missing: fc.bias$"),
        (lambda a: a | {"fc2.bias": np.zeros(3)}, "this ResNet; not in this network: fc2.bias$"),
        (
            lambda a: a | {"fc.weight": np.zeros((10, 32), np.float32)},
            r"of another shape: fc.weight \(10, 32\) in the place of \(3, 32\)$",
        ),
        (lambda a: a | {"fc.bias": np.zeros(3, int)}, r"no floating point numbers: fc.bias \(int64\)$"),
        (
            lambda a: without(a, "fc.bias", "bn1.weight") | {"x": np.zeros(3)},
            "missing: bn1.weight, fc.bias; not in this network: x$",
        ),
        (lambda a: {}, "missing: conv1.weight, bn1.weight, bn1.bias, .* and 57 more$"),
        (lambda a: a | {"bn1.weight": np.full(4, np.nan)}, "this ResNet: bn1.weight holds values that are not finite"),
        (lambda a: a | {"bn1.running_var": -np.ones(4)}, "this ResNet: bn1.running_var holds variances below 0"),
        (lambda a: {f"module.{key}": one for key, one in a.items()}, "module.*belongs to a network wrapped in DataPar"),
        (lambda a: a | {"conv1.0.weight": np.zeros(3)}, "conv1.0.weight belongs to a stem of three 3 x 3 convolutions"),
        (
            lambda a: a | {"layer1.0.downsample.2.bias": np.zeros(3)},
            "layer1.0.downsample.2.bias belongs to mean pooling before the projection",
        ),
        (lambda a: a | {"layer1.0.se.fc1.bias": np.zeros(3)}, "layer1.0.se.fc1.bias belongs to squeeze-and-excitation"),
        (lambda a: {"stem.conv.weight": np.zeros(3)}, "stem.conv.weight belongs to timm's ResNetV2"),
        (lambda a: {"resnet.x.weight": np.zeros(3)}, "resnet.x.weight belongs to a ResNet inside another module"),
    ],
)
def test_what_does_not_belong_is_named(net, arrays, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        layouts.from_pytorch(change(arrays), net)


def test_only_resnets_have_these_names():
    with pytest.raises(ValueError, match="'mnist1d-mlp' is no ResNet, and only of these"):
        layouts.from_pytorch({}, "mnist1d-mlp")
    with pytest.raises(ValueError, match=r"there is no 'resnet20'; choose resnet18"):
        layouts.from_pytorch({}, "resnet20")
    with pytest.raises(ValueError, match=r"not those of resnet18:cifar; missing: conv1.weight"):
        layouts.from_pytorch({}, "resnet18:cifar")


def test_pytorch_takes_what_we_write(net, arrays):
    torch = pytest.importorskip("torch")
    from golden import make_parts_resnet as make

    loaded, running = layouts.from_pytorch(arrays, net)
    module = make.module(NAME).eval()
    module.load_state_dict({key: torch.from_numpy(array) for key, array in layouts.to_pytorch(loaded, running).items()})
    x = images(NAME)
    found = called(AtInference(loaded, running), x)
    np.testing.assert_allclose(found, module(torch.tensor(x)).detach().numpy(), atol=1e-5)
    again, _ = layouts.from_pytorch(module.state_dict(), net)  # tensors, and num_batches_tracked among them
    np.testing.assert_array_equal(again.stem.weight, loaded.stem.weight)
