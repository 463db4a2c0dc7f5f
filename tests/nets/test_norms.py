"""Normalisation layers against PyTorch, stored and live, and against the theorems that tell them apart."""

import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import norms_layout as layout
import numpy as np
import pytest
from breadth import breadth
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.nets.norms import (
    AtInference,
    BatchNorm,
    Convention,
    GroupNorm,
    LayerNorm,
    Running,
    at_inference,
    instance_norm,
    normalised_by_groups,
    normalised_by_layer,
)
from flyroom.train import contiguous, train_many


@pytest.fixture(scope="module")
def golden():
    with np.load(layout.GOLDEN) as file:
        return {key: file[key] for key in file.files}


def given_affine(layer: Any, label: str, dtype: Any) -> Any:
    gain, bias = layout.affine(label, layer.gain.shape)
    return eqx.tree_at(lambda one: (one.gain, one.bias), layer, (jnp.asarray(gain, dtype), jnp.asarray(bias, dtype)))


def differentiated(layer: Any, apply: Any, label: str, kind: str, dtype: Any) -> dict[str, np.ndarray]:
    """What `make_parts_norms` keeps of a layer: output, and gradients of a weighted sum of it."""
    x, weight = (layout.last(make(label, kind), dtype) for make in (layout.inputs, layout.upstream))

    @eqx.filter_jit
    def found(layer, x):
        y, back = eqx.filter_vjp(apply, layer, x)
        return y, *back(weight)

    y, by_layer, by_x = found(layer, x)
    return {"y": layout.first(y), "x": layout.first(by_x), "gain": by_layer.gain, "bias": by_layer.bias}


def of_batch_norm(kind: str, label: str, dtype: Any) -> dict[str, Any]:
    norm = given_affine(BatchNorm.init(layout.CHANNELS), label, dtype)
    _, before = norm.train(layout.last(layout.inputs(f"{label} before", kind), dtype), norm.begin())
    _, running = norm.train(layout.last(layout.inputs(label, kind), dtype), before)
    modes = {
        "train": lambda norm, x: norm.train(x, before)[0],
        "inference": lambda norm, x: norm.inference(x, running),
    }
    made = {mode: differentiated(norm, apply, label, kind, dtype) for mode, apply in modes.items()}
    found = {f"{mode}/{key}": array for mode, arrays in made.items() for key, array in arrays.items()}
    return found | {"mean": running.mean, "variance": running.variance}


def of_group_norm(case: str, label: str, dtype: Any) -> dict[str, Any]:
    kind, groups = layout.GROUPS[case]
    layer = given_affine(GroupNorm.init(layout.CHANNELS, groups), label, dtype)
    return differentiated(layer, lambda layer, x: layer(x), label, kind, dtype)


def of_layer_norm(case: str, label: str, dtype: Any) -> dict[str, Any]:
    kind, axes = layout.LAYERS[case]
    layer = given_affine(LayerNorm.init(layout.SHAPES[kind][-axes:]), label, dtype)
    return differentiated(layer, lambda layer, x: layer(x), label, kind, dtype)


def of_training(_: str, label: str, dtype: Any) -> dict[str, Any]:
    x, y = layout.examples()
    order = contiguous(layout.EXAMPLES, layout.BATCH, layout.STEPS)
    start, x = layout.load(layout.weights(label), dtype), x.astype(dtype)
    (trained,) = train_many([start], x, y, order, layout.PROTOCOL, learning_rate=layout.RATE)
    outputs = jax.tree.map(jnp.asarray, trained.net)(jnp.asarray(x))
    return {"losses": trained.losses, "outputs": np.asarray(outputs)} | layout.unload(trained.net)


CASES = (
    [(f"batch {kind}", of_batch_norm, kind) for kind in layout.SHAPES]
    + [(f"group {case}", of_group_norm, case) for case in layout.GROUPS]
    + [(f"layer {case}", of_layer_norm, case) for case in layout.LAYERS]
    + [("training", of_training, "")]
)


def agree(case: str, found: dict[str, Any], expected: dict[str, np.ndarray], tolerance: float) -> None:
    wanted = {key.removeprefix(f"{case}/"): array for key, array in expected.items() if key.startswith(f"{case}/")}
    assert wanted.keys() == found.keys() and len(wanted) >= 4
    for key, array in wanted.items():
        np.testing.assert_allclose(found[key], array, rtol=tolerance, atol=tolerance, err_msg=f"{case}/{key}")
        assert np.abs(array).max() > 1e-3, f"{key}: so small a value would agree with anything"


def test_the_golden_file_names_its_pytorch_is_small_and_holds_these_cases(golden):
    assert str(golden["torch"]).startswith("2.")
    assert layout.GOLDEN.stat().st_size < 70_000
    assert {key.split("/")[0] for key in golden} == {"torch", *(case for case, _, _ in CASES)}


@pytest.mark.parametrize(("case", "make", "which"), CASES)
def test_outputs_and_gradients_are_pytorchs(case, make, which, golden):
    agree(case, make(which, "golden", np.float32), golden, 1e-5)
    with jax.enable_x64(True):
        found = make(which, "golden", np.float64)
        assert all(np.asarray(array).dtype == np.float64 for array in found.values())
        agree(case, found, golden, 1e-11)


@pytest.mark.parametrize("label", breadth(["first", "second"], "first"))
def test_fresh_weights_live(label):
    torch = pytest.importorskip("torch")
    from golden import make_parts_norms

    expected = make_parts_norms.golden(label, torch.float32)
    for case, make, which in CASES:
        agree(case, make(which, label, np.float32), expected, 1e-5)


def test_the_script_makes_the_golden_file(golden):
    pytest.importorskip("torch")
    from golden import make_parts_norms

    fresh = make_parts_norms.golden()
    assert fresh.keys() == golden.keys() - {"torch"}
    for key, array in fresh.items():
        np.testing.assert_allclose(array, golden[key], rtol=1e-12, atol=1e-12, err_msg=key)


# Batch norm: two conventions, two behaviours -------------------------------------------------------------------------


def uneven(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """(channel, *space, batch) whose channels have unequal means and spreads, in float64."""
    random = np.random.default_rng(seed)
    spread = random.uniform(0.5, 3, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return random.normal(size=shape) * spread + 3 * random.normal(size=spread.shape)


@settings(max_examples=10, deadline=None)
@given(
    convention=st.sampled_from(["pytorch", "lecture"]),
    space=st.lists(st.integers(1, 4), max_size=2),
    batch=st.integers(2, 5),
    new_weight=st.floats(0.01, 1.0),
    eps=st.floats(1e-6, 1.0),
)
def test_both_conventions_are_their_formulas(convention, space, batch, new_weight, eps):
    with jax.enable_x64(True):
        norm = BatchNorm.init(3, convention=convention, eps=eps, new_weight=new_weight)
        norm = given_affine(norm, "formula", np.float64)
        x = uneven((3, *space, batch))
        y, running = norm.train(jnp.asarray(x), Running(jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 5.0, 6.0])))
        at_rest = norm.inference(jnp.asarray(x), running)
    values, alpha = x.reshape(3, -1), 1 - new_weight
    mu, sigma = values.mean(1), values.std(1)
    seen = values.var(1, ddof=1) if convention == "pytorch" else sigma**2
    np.testing.assert_allclose(running.mean, alpha * np.array([1, 2, 3]) + new_weight * mu, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(running.variance, alpha * np.array([4, 5, 6]) + new_weight * seen, rtol=1e-10)
    for found, mean, variance in ((y, mu, sigma**2), (at_rest, *map(np.asarray, (running.mean, running.variance)))):
        below = np.sqrt(variance + eps) if convention == "pytorch" else np.sqrt(variance) + eps
        gain, bias, mean, below = (np.asarray(one).reshape(3, 1) for one in (norm.gain, norm.bias, mean, below))
        expected = gain * (values - mean) / below + bias
        np.testing.assert_allclose(np.reshape(found, (3, -1)), expected, rtol=1e-9, atol=1e-9)


def test_the_conventions_part_where_activations_are_small():
    """Of values with standard deviation 0.002 one leaves 1 and the other 0.53."""
    x = uneven((1, 1000))
    x = jnp.asarray((x - x.mean()) / x.std() * 2e-3, jnp.float32)

    def left(**arguments):
        norm = BatchNorm.init(1, **arguments)
        return float(norm.train(x, norm.begin())[0].std())

    assert left(convention="pytorch") == pytest.approx(2e-3 / (2e-3**2 + 1e-5) ** 0.5, rel=1e-4)  # 0.5345
    assert left(convention="lecture") == pytest.approx(2e-3 / (2e-3 + 1e-6), rel=1e-4)  # 0.9995
    # The place of eps matters, and not its size alone: the lecture's 1e-6 under the root.
    assert left(convention="pytorch", eps=1e-6) == pytest.approx(2e-3 / (2e-3**2 + 1e-6) ** 0.5, rel=1e-4)  # 0.894


@pytest.mark.parametrize("shape", [(3, 6), (3, 5, 4), (3, 2, 3, 4)])
def test_training_and_inference_agree_where_the_running_statistics_are_the_batchs(shape):
    count = int(np.prod(shape[1:]))
    with jax.enable_x64(True):
        x = jnp.asarray(uneven(shape))
        conventions: list[tuple[Convention, float]] = [("lecture", 1.0), ("pytorch", count / (count - 1))]
        for convention, more in conventions:
            norm = given_affine(BatchNorm.init(3, convention=convention, new_weight=1.0), "agree", np.float64)
            y, running = norm.train(x, norm.begin())
            exact = Running(running.mean, running.variance / more)  # PyTorch's running variance is the unbiased one
            np.testing.assert_allclose(norm.inference(x, exact), y, atol=1e-12)
            assert not np.allclose(norm.inference(x, norm.begin()), y, atol=1e-2)
            # At inference examples are apart: one alone is what it is among others.
            np.testing.assert_array_equal(norm.inference(x[..., :1], exact), norm.inference(x, exact)[..., :1])
            assert not np.allclose(norm.train(x[..., :2], running)[0], y[..., :2], atol=1e-2)


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_the_variance_of_the_batch_mean(correlation):
    """Var(X) / N for N independent values; (Var(X) / N) (1 + (positions - 1) r) where positions correlate by r."""
    batches, batch, positions, variance = 4000, 8, 5, 2.0
    random = np.random.default_rng(0)
    shared, own = random.normal(size=(batches, 1, batch)), random.normal(size=(batches, positions, batch))
    x = np.sqrt(variance) * (np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
    # Every batch is a channel: one call gives all batch means.
    norm = BatchNorm.init(batches, new_weight=1.0)
    means = np.asarray(norm.train(jnp.asarray(x, jnp.float32), norm.begin())[1].mean)
    expected = variance / (positions * batch) * (1 + (positions - 1) * correlation)
    assert means.var(ddof=1) == pytest.approx(expected, rel=5 * (2 / (batches - 1)) ** 0.5)  # five deviations
    assert abs(means.mean()) < 5 * (expected / batches) ** 0.5


def test_the_running_mean_forgets_as_it_says():
    norm = BatchNorm.init(1, new_weight=0.25)
    running = norm.begin()
    x = jnp.array([[1.0, 3.0]])  # mean 2, unbiased variance 2
    for step in range(1, 9):
        _, running = norm.train(x, running)
        np.testing.assert_allclose(running.mean, 2 * (1 - 0.75**step), rtol=1e-6)
        np.testing.assert_allclose(running.variance, 0.75**step + 2 * (1 - 0.75**step), rtol=1e-6)


def test_running_statistics_are_not_learned():
    norm, x = BatchNorm.init(2), jnp.asarray(uneven((2, 5)), jnp.float32)

    def at_rest(model):
        return (model(x) ** 3).sum()

    def in_training(model):
        y, running = model.net.train(x, model.running)
        return (y**3).sum() + sum(leaf.sum() for leaf in jax.tree.leaves(running))

    for loss in (at_rest, in_training):
        gradient = jax.grad(loss)(AtInference(norm, Running(jnp.ones(2), jnp.full(2, 2.0))))
        assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient.running))
        assert all((leaf != 0).any() for leaf in (gradient.net.gain, gradient.net.bias))
    # Nor has the loss a gradient through the running statistics of this batch.
    assert (jax.grad(lambda x: norm.train(x, norm.begin())[1].mean.sum())(x) == 0).all()


@pytest.mark.parametrize("convention", ["pytorch", "lecture"])
def test_a_channel_that_never_varies_becomes_the_bias(convention):
    norm = given_affine(BatchNorm.init(2, convention=convention), "still", np.float32)
    x = jnp.array([[5.0, 5.0, 5.0], [1.0, 2.0, 6.0]])

    def found(norm, x):
        return norm.train(x, norm.begin())[0]

    np.testing.assert_allclose(found(norm, x)[0], norm.bias[0], rtol=1e-6)
    by_norm, by_x = jax.grad(lambda both: (found(*both) ** 2).sum())((norm, x))
    assert np.isfinite(by_x).all() and np.isfinite(by_norm.gain).all()


@pytest.mark.parametrize("make", [lambda: GroupNorm.init(4, 2), lambda: LayerNorm.init((4, 300)), None])
def test_halves_are_normalised_in_float32(make):
    """Around 100 a bfloat16 has steps of a half: a mean rounded to it would be off by a tenth of the deviation."""
    x = (jnp.asarray(uneven((4, 300, 8))) + 100).astype(jnp.bfloat16)

    def normalise(x):
        if make is None:
            norm = BatchNorm.init(4)
            return norm.train(x, norm.begin())[0]
        return make()(x)

    half, single = normalise(x), normalise(x.astype(jnp.float32))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, single.astype(jnp.bfloat16))


# The family that looks at one example ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 5, 3), (6, 4, 5, 3)])
def test_groups_from_one_channel_to_all(shape):
    x = jnp.asarray(uneven(shape), jnp.float32)
    gain, bias = (jnp.asarray(one) for one in layout.affine("family", (6,)))
    beside = (6, *[1] * (len(shape) - 1))

    def group(groups):
        return given_affine(GroupNorm.init(6, groups), "family", np.float32)(x)

    def by_hand(axes, shape=shape):
        gathered = np.asarray(x, np.float64).reshape(shape)
        scaled = (gathered - gathered.mean(axes, keepdims=True)) / np.sqrt(gathered.var(axes, keepdims=True) + 1e-5)
        return scaled.reshape(x.shape) * np.reshape(gain, beside) + np.reshape(bias, beside)

    space = tuple(range(1, len(shape) - 1))
    np.testing.assert_allclose(group(6), by_hand(space), atol=1e-5)  # instance norm
    instance = given_affine(instance_norm(6), "family", np.float32)
    np.testing.assert_array_equal(instance(x), group(6))
    np.testing.assert_allclose(group(1), by_hand((0, *space)), atol=1e-5)  # over channels and space
    inner = tuple(range(1, len(shape)))
    np.testing.assert_allclose(group(3), by_hand(inner, (3, 2, *shape[1:])), atol=1e-5)
    layer = LayerNorm.init(shape[:-1])
    wide = eqx.tree_at(
        lambda layer: (layer.gain, layer.bias),
        layer,
        tuple(jnp.broadcast_to(one.reshape(beside[:-1]), shape[:-1]) for one in (gain, bias)),
    )
    np.testing.assert_allclose(wide(x), group(1), atol=1e-5)  # one group is a layer norm whose gains share a channel
    assert len({tuple(np.ravel(group(n)).tolist()) for n in (1, 2, 3, 6)}) == 4


def test_batch_norm_of_one_example_is_instance_norm():
    x = jnp.asarray(uneven((4, 5, 6, 3)), jnp.float32)
    norm = BatchNorm.init(4)
    for i in range(3):
        alone = x[..., i : i + 1]
        np.testing.assert_allclose(norm.train(alone, norm.begin())[0], instance_norm(4)(alone), atol=1e-6)


@pytest.mark.parametrize(
    "layer", [GroupNorm.init(4, 1), GroupNorm.init(4, 2), instance_norm(4), LayerNorm.init((4, 6)), LayerNorm.init(6)]
)
def test_an_example_is_by_itself_and_its_scale_does_not_matter(layer):
    x = jnp.asarray(uneven((4, 6, 3)), jnp.float32)
    y = layer(x)
    np.testing.assert_allclose(layer(x[..., 1:2]), y[..., 1:2], atol=1e-6)
    np.testing.assert_allclose(layer(7 * x - 3), y, atol=1e-3)  # eps is all that scale changes


def test_gain_and_bias_may_be_left_out():
    """What PyTorch calls `affine=False`: as with gains of one and biases of zero."""
    x = jnp.asarray(uneven((4, 6, 3)), jnp.float32)
    running = Running(jnp.arange(4.0), jnp.arange(1.0, 5.0))
    plain = at_inference(x, mean=running.mean, variance=running.variance, eps=1e-5, convention="pytorch")
    np.testing.assert_array_equal(plain, BatchNorm.init(4).inference(x, running))
    np.testing.assert_array_equal(normalised_by_groups(x, groups=2, eps=1e-5), GroupNorm.init(4, 2)(x))
    np.testing.assert_array_equal(normalised_by_layer(x, eps=1e-5), LayerNorm.init((4, 6))(x))
    only = normalised_by_layer(x, bias=jnp.ones(6), eps=1e-5)
    np.testing.assert_allclose(only, LayerNorm.init(6)(x) + 1, atol=1e-6)


def test_numpy_arrays_of_a_trained_network_are_taken():
    x = jnp.asarray(uneven((4, 6)), jnp.float32)
    for layer in (GroupNorm.init(4, 2), LayerNorm.init(4)):
        np.testing.assert_array_equal(jax.tree.map(np.asarray, layer)(x), layer(x))
    model = AtInference(BatchNorm.init(4), BatchNorm.init(4).begin())
    np.testing.assert_array_equal(jax.tree.map(np.asarray, model)(x), model(x))


# What is refused -----------------------------------------------------------------------------------------------------


def zeros(*shape: int) -> jax.Array:
    return jnp.zeros(shape)


def train(channels: int, *shape: int) -> Any:
    return BatchNorm.init(channels).train(zeros(*shape), BatchNorm.init(channels).begin())


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: train(3, 3, 1), r"shape \(3, 1\) has 1 value a channel, .* two examples or positions, or use"),
        (lambda: train(3, 3, 1, 1, 1), "has 1 value a channel"),
        (lambda: train(3, 4, 5), r"shape \(4, 5\) is not \(channel, \*space, batch\) of the 3 channels"),
        (lambda: BatchNorm.init(3).inference(zeros(1, 2), BatchNorm.init(3).begin()), "of the 3 channels"),
        (lambda: BatchNorm.init(0), "0 channels cannot be normalised; give at least 1"),
        (lambda: BatchNorm.init(2, eps=0.0), "eps 0.0 must be finite and above 0"),
        (lambda: BatchNorm.init(2, new_weight=0.0), "new_weight 0.0 must be above 0 and at most 1"),
        (lambda: BatchNorm.init(2, new_weight=1.1), "new_weight 1.1 must be .* PyTorch's momentum is 0.1"),
        (lambda: GroupNorm.init(4, 3), "4 channels cannot be divided into 3 equal groups; choose a divisor"),
        (lambda: GroupNorm.init(4, 0), "into 0 equal groups"),
        (lambda: GroupNorm.init(4, 2)(zeros(2, 5, 3)), "of the 4 channels"),
        (lambda: instance_norm(4)(zeros(4, 3)), r"examples of shape \(4,\) have one value in each of 4 groups"),
        (lambda: normalised_by_groups(zeros(4, 3, 2), groups=3, eps=1e-5), "into 3 equal groups"),
        (lambda: LayerNorm.init(1), r"a layer of shape \(1,\) has fewer than two values"),
        (lambda: LayerNorm.init(()), r"shape \(\) has fewer"),
        (lambda: LayerNorm.init(3, eps=float("nan")), "eps nan must be finite"),
        (lambda: LayerNorm.init((4, 5))(zeros(3, 4, 6)), r"shape \(3, 4\) do not end in \(4, 5\)"),
        (lambda: LayerNorm.init((4, 5))(zeros(5, 2)), r"shape \(5,\) do not end in \(4, 5\)"),
    ],
)
def test_errors_name_what_was_given_and_what_is_allowed(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_an_unknown_convention_is_named():
    unchecked: Any = inspect.unwrap(BatchNorm.init)
    with pytest.raises(ValueError, match="no convention 'keras'; choose one of pytorch, lecture"):
        unchecked(2, convention="keras")


def test_one_example_is_enough_where_it_has_positions_or_at_inference():
    assert train(2, 2, 5, 1)[0].shape == (2, 5, 1)
    assert BatchNorm.init(2).inference(zeros(2, 1), BatchNorm.init(2).begin()).shape == (2, 1)
