"""Skip connections and blocks: by hand, by definition, and against what PyTorch computed (golden/resnet.npz)."""

from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resnet_layout import BLOCKS, check_against_golden, check_live, images, ours, shapes, state

from flyroom.nets.blocks import KINDS, Block, Form, Identity, Projection, Subsampled, connect, he_normal
from flyroom.nets.norms import BatchNorm, Running

KEY = jax.random.key(0)
applied = eqx.filter_jit(lambda net, x, running: net.inference(x, running))
trained = eqx.filter_jit(lambda net, x, running: net.train(x, running))


@pytest.mark.parametrize("name", BLOCKS)
def test_every_kind_of_block_is_pytorchs(name):
    check_against_golden(name, np.float32, 1e-5)


@pytest.mark.parametrize("name", ["lecture", "pre"])
def test_in_float64_to_eleven_digits(name):
    check_against_golden(name, np.float64, 1e-11)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_kind_of_block_live(name):
    torch = pytest.importorskip("torch")
    from golden import make_parts_resnet as make

    given, x = state(name, "live"), images(name, "live")
    check_live(ours(name, given, x, np.float32), make.theirs(name, given, x, torch.float32))


def test_the_three_orders_by_hand():
    """f1 = h - 3, f2 = -h, ReLU, x = (-1, 5): f2(a(f1 x)) is (0, -2), and pre-activation sees (0, 5) first."""
    x = jnp.asarray([-1.0, 5.0])
    layers = (lambda h: h - 3, lambda h: -h)
    found = {kind: connect(kind, *layers, x, skip=lambda x: 10 * x).tolist() for kind in KINDS}
    assert found == {"post": [0, 48], "lecture": [-10, 50], "pre": [-10, 48]}
    assert connect("post", *layers, x, activation=lambda h: h).tolist() == [-1 + 4, 5 - 2]
    with pytest.raises(ValueError, match="no kind of residual block 'after'; choose post, lecture or pre"):
        connect("after", *layers, x)


def by_hand(block, x, running):
    """The block at inference, written out with `connect`; every layer does its own norm."""
    norm = [lambda h, n=n, r=r: n.inference(h, r) for n, r in zip(block.norms, running.norms, strict=True)]
    one, two = block.convolutions
    if block.kind == "pre":
        relu = jax.nn.relu
        entered = relu(norm[0](x))
        beside = x if isinstance(block.shortcut, Identity) else block.shortcut.convolution(entered)
        return two(relu(norm[1](one(entered)))) + beside

    def skip(x):
        if isinstance(block.shortcut, Identity):
            return x
        return block.shortcut.norm.inference(block.shortcut.convolution(x), running.shortcut)

    return connect(block.kind, lambda h: norm[0](one(h)), lambda h: norm[1](two(h)), x, skip=skip)


@pytest.mark.parametrize(("kind", "stride"), [*product(KINDS, (1, 2))])
def test_a_block_is_its_formula(kind, stride):
    random = np.random.default_rng(stride)
    block = Block.init(KEY, Form(4, 4, stride, kind=kind, axes=1))
    running = jax.tree.map(lambda leaf: leaf + 0.5 * random.random(leaf.shape).astype(np.float32), block.begin())
    x = random.normal(size=(4, 9, 3)).astype(np.float32)
    found = applied(block, x, running)
    assert found.shape == (4, 9 if stride == 1 else 5, 3)
    np.testing.assert_allclose(found, eqx.filter_jit(by_hand)(block, x, running), atol=1e-5)
    assert (np.asarray(found) < 0).any() == (kind != "post")


@pytest.mark.parametrize("kind", KINDS)
def test_identity_is_easy_to_learn(kind):
    """With the branch's last layer at zero a block is the identity; a post-activated one for what is not negative."""
    block = Block.init(KEY, Form(3, 3, kind=kind, axes=1))
    if kind == "pre":
        silent = eqx.tree_at(lambda b: b.convolutions[-1].weight, block, replace_fn=jnp.zeros_like)
    else:
        silent = eqx.tree_at(lambda b: b.norms[-1].gain, block, replace_fn=jnp.zeros_like)
    x = np.random.default_rng(0).normal(size=(3, 6, 4)).astype(np.float32)
    y, _ = trained(silent, x, block.begin())
    np.testing.assert_array_equal(y, np.maximum(x, 0) if kind == "post" else x)
    assert np.abs(trained(block, x, block.begin())[0] - x).max() > 0.1


def test_a_lectures_block_can_only_add():
    block = Block.init(KEY, Form(3, 3, kind="lecture", axes=1))
    x = np.random.default_rng(1).normal(size=(3, 6, 4)).astype(np.float32)
    assert (np.asarray(trained(block, x, block.begin())[0]) >= x).all()


def test_option_a_takes_every_second_place_and_adds_zeros():
    x = jnp.arange(2 * 5 * 4 * 3, dtype=jnp.float32).reshape(2, 5, 4, 3)
    skip = Subsampled(5, 2)
    y = np.asarray(skip(x))
    assert y.shape == (5, 3, 2, 3)
    for row, column in product(range(3), range(2)):
        np.testing.assert_array_equal(y[:2, row, column], x[:, 2 * row, 2 * column])
    assert not y[2:].any()
    slope = np.asarray(jax.grad(lambda x: skip(x).sum())(x))
    assert slope.sum() == 2 * 3 * 2 * 3 and slope[:, ::2, ::2].all()
    assert np.asarray(Subsampled(2, 2)(x[:, :, 0])).shape == (2, 3, 3)  # a signal
    assert jax.tree.leaves(skip) == []
    with pytest.raises(ValueError, match=r"2 channels come in and 1 go out.*use a projection, option B"):
        Subsampled(1, 2)(x)


def test_option_b_is_a_matrix_at_every_second_place_then_a_norm_and_nothing_else():
    block = Block.init(KEY, Form(2, 6, 2))
    assert isinstance(block.shortcut, Projection) and isinstance(block.shortcut.norm, BatchNorm)
    assert block.shortcut.convolution.weight.shape == (6, 2, 1, 1) and block.shortcut.convolution.bias is None
    x = np.random.default_rng(3).normal(size=(2, 5, 4, 7)).astype(np.float32)
    silent = eqx.tree_at(lambda b: b.norms[-1].gain, block, replace_fn=jnp.zeros_like)
    y, running = trained(silent, x, block.begin())
    projected = np.einsum("oc,cijb->oijb", np.asarray(block.shortcut.convolution.weight)[:, :, 0, 0], x[:, ::2, ::2])
    mean, variance = projected.mean((1, 2, 3)), projected.var((1, 2, 3))
    normal = (projected - mean[:, None, None, None]) / np.sqrt(variance + 1e-5)[:, None, None, None]
    np.testing.assert_allclose(y, np.maximum(normal, 0), atol=1e-5)  # the activation is the block's own
    np.testing.assert_allclose(running.shortcut.mean, 0.1 * mean, atol=1e-6)


def test_where_nothing_changes_the_input_is_added_as_it_is():
    for shortcut in ("A", "B"):
        assert isinstance(Block.init(KEY, Form(8, 8, shortcut=shortcut)).shortcut, Identity)
        assert isinstance(Block.init(KEY, Form(8, 2, bottleneck=True, shortcut=shortcut)).shortcut, Identity)
        changed = Block.init(KEY, Form(4, 2, bottleneck=True, shortcut=shortcut)).shortcut
        assert isinstance(changed, Projection if shortcut == "B" else Subsampled)


def test_versions_differ_in_where_the_stride_stands_and_in_nothing_else():
    strides = {v: [layer.stride for layer in Form(8, 4, 2, True, v).branch] for v in ("v1", "v1.5")}
    assert strides == {"v1": [2, 1, 1], "v1.5": [1, 2, 1]}
    assert Form(8, 4, 2, True, "v1").weights == Form(8, 4, 2, True, "v1.5").weights
    assert Form(8, 4, 2, False, "v1").branch == Form(8, 4, 2, False, "v1.5").branch
    assert [layer.stride for layer in Form(8, 4, 2).branch] == [2, 1]


def test_statistics_go_in_and_come_out():
    block = Block.init(KEY, Form(3, 4, 2, axes=1))
    x = np.random.default_rng(4).normal(size=(3, 8, 6)).astype(np.float32)
    begun = block.begin()
    y, first = trained(block, x, begun)
    again, second = trained(block, x, first)
    np.testing.assert_array_equal(y, again)  # training never looks at the statistics
    moved = jax.tree.map(lambda a, b, c: (c - b) / (b - a), begun, first, second)
    for ratio in jax.tree.leaves(moved):  # each batch takes a tenth of the way that is left
        np.testing.assert_allclose(ratio, 0.9, rtol=1e-2)
    assert np.abs(applied(block, x, begun) - applied(block, x, second)).max() > 1e-2
    assert all(isinstance(one, Running) for one in (*first.norms, first.shortcut))
    assert jax.tree.structure(first) == jax.tree.structure(begun)


def test_the_lectures_norm_is_in_every_place():
    block = Block.init(KEY, Form(3, 4, 2, convention="lecture"))
    shortcut: Any = block.shortcut
    norms = (*block.norms, shortcut.norm)
    assert [(norm.convention, norm.eps) for norm in norms] == [("lecture", 1e-6)] * 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kind": "last"}, "no kind of residual block 'last'; choose post, lecture or pre"),
        ({"version": "v2"}, "no version of a ResNet 'v2'; choose v1.5 or v1"),
        ({"shortcut": "C"}, "no option for shortcuts 'C'; choose B or A"),
        ({"stride": 0}, "stride 0 and 2 axes of space cannot be"),
        ({"width": 0}, "width 0, stride 1"),
        ({"axes": 3}, "axes 1 or 2"),
        ({"inputs": 9, "shortcut": "A"}, "option A adds channels and takes none away, but 9 come in and 4 go out"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Form(**{"inputs": 4, "width": 4, **arguments})


def test_first_weights_have_hes_spread_on_the_way_back():
    shapes = [(64, 8, 3, 3), (16, 64, 3, 3), (256, 16, 1, 1)]
    first, second, third = he_normal(KEY, shapes)
    for weight, fan_out in ((first, 64 * 9), (second, 16 * 9), (third, 256)):
        spread = (2 / fan_out) ** 0.5
        # Standard error of a standard deviation of n normal values: sigma / sqrt(2 n). Five of them.
        assert abs(np.std(weight) - spread) < 5 * spread / (2 * weight.size) ** 0.5
        assert abs(np.mean(weight)) < 5 * spread / weight.size**0.5
        kurtosis = np.mean((np.asarray(weight) / spread) ** 4)
        assert abs(kurtosis - 3) < 5 * (96 / weight.size) ** 0.5  # 1.8 if it were uniform
    assert abs(np.corrcoef(np.ravel(first)[:1000], np.ravel(second)[:1000])[0, 1]) < 0.2
    assert not np.allclose(first, next(he_normal(jax.random.key(1), shapes)))
    assert next(he_normal(KEY, shapes[:1])).shape == shapes[0]


def test_the_draw_of_the_golden_file_names_what_pytorch_names():
    assert list(shapes("post")) == [
        "conv1.weight", "conv2.weight", "bn1.weight", "bn1.bias", "bn2.weight", "bn2.bias",
        "downsample.0.weight", "downsample.1.weight", "downsample.1.bias",
        "bn1.running_mean", "bn1.running_var", "bn2.running_mean", "bn2.running_var",
        "downsample.1.running_mean", "downsample.1.running_var",
    ]  # fmt: skip
