"""ResNets: published sizes and costs from shapes alone, first weights, and what PyTorch computes with small ones."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resnet_layout import GOLDEN, NETS, check_against_golden, check_live, images, ours, state
from scipy.stats import kstest

from flyroom.nets.blocks import Projection
from flyroom.nets.norms import AtInference, BatchNorm
from flyroom.nets.padding import output_length
from flyroom.nets.resnet import DEPTHS, ResNet
from flyroom.nets.spec import parameters

KEY = jax.random.key(0)
trained = eqx.filter_jit(lambda net, x, running: net.train(x, running))
called = eqx.filter_jit(lambda model, x: model(x))


def tiny(**changes):
    arguments = {"bottleneck": False, "width": 4, "classes": 3, "stem": "cifar", **changes}
    return ResNet.of_blocks(KEY, arguments.pop("counts", (1, 1)), **arguments)


def shapes(depth, **choices):
    """The network without its weights."""
    return eqx.filter_eval_shape(lambda key: ResNet.init(key, depth, **choices), KEY)


def test_the_golden_file_names_its_pytorch_and_is_small():
    with np.load(GOLDEN) as file:
        assert str(file["torch"]).startswith("2.")
    assert GOLDEN.stat().st_size < 200_000


@pytest.mark.parametrize("name", NETS)
def test_outputs_statistics_and_gradients_are_pytorchs(name):
    check_against_golden(name, np.float32, 1e-5)


@pytest.mark.parametrize("name", ["basic-cifar", "bottleneck-imagenet"])
def test_in_float64_to_ten_digits(name):
    check_against_golden(name, np.float64, 1e-10)


@pytest.mark.parametrize("name", NETS)
def test_outputs_statistics_and_gradients_live(name):
    torch = pytest.importorskip("torch")
    from golden import make_parts_resnet as make

    given, x = state(name, "live"), images(name, "live")
    check_live(ours(name, given, x, np.float32), make.theirs(name, given, x, torch.float32))


def test_the_script_makes_the_golden_file():
    pytest.importorskip("torch")
    from golden import make_parts_resnet as make

    fresh = make.golden()
    with np.load(GOLDEN) as stored:
        assert set(fresh) == set(stored.files)
        for key in set(fresh) - {"torch"}:
            np.testing.assert_allclose(fresh[key], stored[key], rtol=1e-9, atol=1e-9, err_msg=key)


@pytest.mark.parametrize(
    ("depth", "count"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_parameter_counts_are_the_published_ones(depth, count):
    assert parameters(shapes(depth)) == parameters(shapes(depth, version="v1")) == count
    without = sum(
        leaf.size
        for stage in shapes(depth).stages
        for block in stage
        if isinstance(block.shortcut, Projection)
        for leaf in jax.tree.leaves(block.shortcut)
    )
    assert parameters(shapes(depth, shortcut="A")) == count - without < count


def test_the_network_for_cifar():
    net = shapes(18, stem="cifar", classes=10)
    assert parameters(net) == 11_173_962
    assert not net.pooled and net.stem.weight.shape == (64, 3, 3, 3) and net.stem.stride == (1, 1)
    depth = shapes(34, channels=1, classes=7)
    assert depth.stem.weight.shape == (64, 1, 7, 7) and depth.last.weight.shape == (7, 512)


@pytest.mark.parametrize("depth", DEPTHS)
def test_depth_counts_convolutions_and_the_dense_layer(depth):
    net = shapes(depth)
    assert 2 + sum(len(block.convolutions) for stage in net.stages for block in stage) == depth
    assert [block.convolutions[0].weight.shape[0] for block in (stage[0] for stage in net.stages)] == [
        64,
        128,
        256,
        512,
    ]


def multiply_adds(net, size):
    """One multiply-add for each weight at each place of an output; (the sum, the sizes of the stages)."""

    def length(layer, n):
        return output_length(n, layer.weight.shape[2], layer.stride[0], layer.padding[0][0])

    size = length(net.stem, size)
    total, sizes = net.stem.weight.size * size**2, []
    size = output_length(size, 3, 2, 1) if net.pooled else size
    for stage in net.stages:
        for block in stage:
            entered = size
            for layer in block.convolutions:
                size = length(layer, size)
                total += layer.weight.size * size**2
            if isinstance(block.shortcut, Projection):
                assert length(block.shortcut.convolution, entered) == size
                total += block.shortcut.convolution.weight.size * size**2
        sizes.append(size)
    return total + net.last.weight.size, sizes


@pytest.mark.parametrize(
    ("depth", "a", "b", "newer"),
    [
        (18, 1.795, 1.814, 1.814),
        (34, 3.644, 3.664, 3.664),
        (50, 3.498, 3.858, 4.089),
        (101, 7.211, 7.570, 7.801),
        (152, 10.923, 11.282, 11.514),
    ],
)
def test_multiply_adds_of_the_table_and_of_torchvision(depth, a, b, newer):
    """PyTorch's own count of torchvision's networks is the last column; the paper prints 1.8, 3.6, 3.8, 7.6, 11.3."""
    for expected, choices in ((a, {"version": "v1", "shortcut": "A"}), (b, {"version": "v1"}), (newer, {})):
        total, sizes = multiply_adds(shapes(depth, **choices), 224)
        assert round(total / 1e9, 3) == expected
        assert sizes == [56, 28, 14, 7]


def test_multiply_adds_on_cifar():
    total, sizes = multiply_adds(shapes(18, stem="cifar", classes=10), 32)
    assert (round(total / 1e9, 3), sizes) == (0.555, [32, 16, 8, 4])


@pytest.mark.parametrize(("depth", "size"), [(18, 224), (50, 64)])
def test_large_networks_take_images_to_logits(depth, size):
    net = shapes(depth)
    x = jax.ShapeDtypeStruct((2, 3, size, size), jnp.float32)
    running = eqx.filter_eval_shape(lambda net: net.begin(), net)
    y, after = eqx.filter_eval_shape(lambda net, x, running: net.train(x, running), net, x, running)
    assert y.shape == (2, 1000)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(lambda leaf: leaf.shape, running)
    assert eqx.filter_eval_shape(AtInference(net, running), x).shape == (2, 1000)


def convolutions(net):
    """The weights of all convolutions."""
    found = [net.stem]
    for stage in net.stages:
        for block in stage:
            projections = [block.shortcut.convolution] if isinstance(block.shortcut, Projection) else []
            found += [*block.convolutions, *projections]
    return [np.asarray(layer.weight) for layer in found]


def test_first_weights_are_torchvisions():
    net, again, other = (
        ResNet.of_blocks(jax.random.key(seed), (2, 1), bottleneck=True, width=16, classes=50) for seed in (0, 0, 1)
    )
    for weight in convolutions(net):
        spread = (2 / (weight.shape[0] * weight[0, 0].size)) ** 0.5
        assert kstest(weight.ravel(), "norm", (0, spread)).pvalue > 1e-4
    bound = net.last.weight.shape[1] ** -0.5
    assert kstest(np.ravel(net.last.weight), "uniform", (-bound, 2 * bound)).pvalue > 1e-4
    assert np.abs(net.last.bias).max() <= bound
    norms = [net.norm, *(norm for stage in net.stages for block in stage for norm in block.norms)]
    assert all(np.all(np.asarray(norm.gain) == 1) and not np.asarray(norm.bias).any() for norm in norms)
    for one, same, third in zip(convolutions(net), convolutions(again), convolutions(other), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.allclose(one, third)


def test_inference_sees_each_image_by_itself_and_training_the_batch():
    net, random = tiny(), np.random.default_rng(0)
    x = random.normal(size=(4, 3, 8, 8)).astype(np.float32)
    _, running = trained(net, x, net.begin())
    model = AtInference(net, running)
    y = np.asarray(called(model, x))
    np.testing.assert_allclose(called(model, x[::-1])[::-1], y, atol=1e-5)
    changed = x.copy()
    changed[1:] = 0
    np.testing.assert_allclose(called(model, changed)[0], y[0], atol=1e-5)
    assert np.abs(trained(net, changed, running)[0][0] - trained(net, x, running)[0][0]).max() > 1e-2


def test_statistics_have_a_place_for_every_norm():
    net = tiny(counts=(2, 1), bottleneck=True)
    running = net.begin()
    assert len(jax.tree.leaves(running)) == 2 * (1 + 3 * 3 + 2)  # stem, three blocks of three, two projections
    y, after = trained(net, np.ones((2, 3, 8, 8), np.float32), running)
    assert y.shape == (2, 3) and jax.tree.structure(after) == jax.tree.structure(running)
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), running.stages, after.stages)
    assert all(jax.tree.leaves(moved))


def test_the_lectures_norm_is_in_every_place():
    net = tiny(convention="lecture", counts=(1, 1))
    norms = [n for n in jax.tree.leaves(net, is_leaf=lambda n: isinstance(n, BatchNorm)) if isinstance(n, BatchNorm)]
    assert [norm.convention for norm in norms] == ["lecture"] * 6


def test_choices_reach_their_places():
    for version, expected in (("v1", [2, 1, 1]), ("v1.5", [1, 2, 1])):
        net = tiny(bottleneck=True, version=version)
        assert [layer.stride[0] for layer in net.stages[1][0].convolutions] == expected
        projections: list[Any] = [stage[0].shortcut for stage in net.stages]
        assert [one.convolution.stride for one in projections] == [(1, 1), (2, 2)]
    imagenet = tiny(stem="imagenet")
    assert imagenet.pooled and imagenet.stem.weight.shape == (4, 3, 7, 7)
    assert (imagenet.stem.stride, imagenet.stem.padding) == ((2, 2), ((3, 3), (3, 3)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ResNet.init(KEY, 20), "no ResNet of 20 layers; choose 18, 34, 50, 101, 152, or say its blocks"),
        (lambda: tiny(stem="mnist"), "no stem of a ResNet 'mnist'; choose imagenet or cifar"),
        (lambda: tiny(version="v2"), "no version of a ResNet 'v2'"),
        (lambda: tiny(shortcut="C"), "no option for shortcuts 'C'"),
        (lambda: tiny(counts=()), "at least one stage"),
        (lambda: tiny(counts=(1, 0)), r"\(1, 0\) blocks of width 4"),
        (lambda: tiny(classes=0), "to 0 classes cannot be"),
        (lambda: tiny().inference(jnp.zeros((2, 1, 8, 8)), tiny().begin()), r"\(2, 1, 8, 8\) does not hold images"),
        (
            lambda: tiny().train(jnp.zeros((1, 3, 1, 1)), tiny().begin()),
            "train with at least two examples or positions",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
