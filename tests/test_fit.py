"""Training at size, but small: the same bits after a stop, several devices, a recipe that learns, what is refused."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flyroom import fit, train
from flyroom.data import images, load
from flyroom.data.digits import make
from flyroom.nets.image import ImageCNN
from flyroom.recipes import RECIPES, Recipe
from flyroom.records import Dataset

SMALL = Recipe("image-cnn:4-6", 0.5, "nobody", epochs=3, batch=64, rate=0.1, crop=1, cutout=2, flip=True, smoothing=0.1)


@pytest.fixture(scope="module")
def few() -> Dataset:
    data = make()
    return replace(data, x_train=data.x_train[:256], y_train=data.y_train[:256], x_test=data.x_test[:100],
                   y_test=data.y_test[:100])  # fmt: skip


def equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


# Augmentation ---------------------------------------------------------------------------------------------------------

KEY = jax.random.key(0)
X = jnp.arange(1.0, 1 + 40 * 3 * 6 * 5).reshape(40, 3, 6, 5)


def test_a_flip_mirrors_about_half_and_changes_nothing_else():
    found = images.flip(KEY, X)
    same = (found == X).all((1, 2, 3))
    mirrored = (found == X[..., ::-1]).all((1, 2, 3))
    assert bool((same ^ mirrored).all()) and 10 <= int(same.sum()) <= 30


def test_a_crop_is_a_shift_with_zeros():
    found = np.asarray(images.crop(KEY, X, 2))
    padded = np.pad(np.asarray(X), ((0, 0), (0, 0), (2, 2), (2, 2)))
    shifts = {(i, j): padded[:, :, i : i + 6, j : j + 5] for i in range(5) for j in range(5)}
    places = [next(s for s, moved in shifts.items() if np.array_equal(moved[n], found[n])) for n in range(40)]
    assert len(set(places)) > 10
    assert images.crop(KEY, X, 0) is X


def test_a_cutout_is_a_square_whose_middle_lies_on_the_image():
    found = np.asarray(images.cutout(KEY, X, 3)) == 0
    assert (found == found[:, :1]).all()  # the same places of every channel
    for hole in found[:, 0]:
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole.sum() == len(rows) * len(columns) and 1 <= len(rows) <= 3 and 1 <= len(columns) <= 3
    sizes = found[:, 0].sum((1, 2))
    assert sizes.max() == 9 and sizes.min() < 9  # some hang over an edge
    assert images.cutout(KEY, X, 0) is X


# Training -------------------------------------------------------------------------------------------------------------


def test_an_epoch_visits_every_image_at_most_once_and_is_a_function_of_seed_and_epoch():
    first = fit.order(100, 30, 0, 0)
    assert first.shape == (3, 30) and len(set(first.ravel().tolist())) == 90
    assert np.array_equal(first, fit.order(100, 30, 0, 0))
    assert not np.array_equal(first, fit.order(100, 30, 0, 1)) and not np.array_equal(first, fit.order(100, 30, 1, 0))


def test_the_rate_makes_one_cycle_and_decay_spares_biases():
    net = ImageCNN.init(KEY, (4,))
    transformation = fit.optimiser(replace(SMALL, decay=0.5, momentum=0.0), 10)
    arrays = {"weight": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    memory = transformation.init(arrays)
    moved = []
    for _ in range(10):
        change: Any
        change, memory = transformation.update(jax.tree.map(jnp.zeros_like, arrays), memory, arrays)
        moved.append(-float(change["weight"][0, 0]))
        assert not change["bias"].any()
    assert np.argmax(moved) == 3 and moved[3] == pytest.approx(0.1 * 0.5)  # the highest rate at three tenths
    assert moved[0] < moved[1] < moved[2] and moved[-1] < 0.1 * moved[3]
    assert net.last.bias.ndim == 1


def test_a_stopped_training_goes_on_to_the_same_bits(few, tmp_path):
    whole = fit.fit(SMALL, few, directory=tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(epoch: int, loss: float) -> None:
        if epoch == 2:
            raise Stop

    with pytest.raises(Stop):
        fit.fit(SMALL, few, directory=tmp_path / "stopped", progress=stop)
    seen = []
    resumed = fit.fit(SMALL, few, directory=tmp_path / "stopped", progress=lambda epoch, loss: seen.append(epoch))
    assert seen == [3]
    assert resumed.losses == whole.losses and resumed.test_accuracy == whole.test_accuracy
    assert equal(resumed.net, whole.net)
    assert not equal(fit.fit(SMALL, few, seed=1).net, whole.net)


def test_several_devices_share_a_batch(few):
    two = train.devices()[:2]
    if len(two) < 2:
        pytest.skip("one device only")
    alone, shared = fit.fit(SMALL, few), fit.fit(SMALL, few, devices=two)
    np.testing.assert_allclose(shared.losses, alone.losses, rtol=1e-4)
    with pytest.raises(ValueError, match="a batch of 63 cannot be taken from 256 images and divided over 2 devices"):
        fit.fit(replace(SMALL, batch=63), few, devices=two)


def test_half_precision_follows_full(few):
    full, half = fit.fit(SMALL, few), fit.fit(SMALL, few, precision="bfloat16")
    np.testing.assert_allclose(half.losses, full.losses, rtol=0.05)
    assert half.losses != full.losses
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(half.net))


def test_mirror_images_are_averaged_at_the_test_where_the_recipe_mirrors(few):
    net = fit.first(SMALL, few, 0)
    _, x = fit.examples(few)
    alone = fit.scores(replace(SMALL, flip=False), net, x)
    mirrored = fit.scores(replace(SMALL, flip=False), net, x[..., ::-1])
    np.testing.assert_allclose(fit.scores(SMALL, net, x), (alone + mirrored) / 2, atol=1e-5)
    assert np.abs(alone - mirrored).max() > 1e-3


@pytest.mark.slow
def test_the_recipe_of_the_digits_reaches_what_it_says(tmp_path):
    found = fit.fit(RECIPES["digits"], load("digits"), directory=tmp_path)
    assert found.test_accuracy.value >= 0.95
    assert found.losses[-1] < 0.2 * found.losses[0]


# What is refused ------------------------------------------------------------------------------------------------------


def test_checkpoints_of_another_training_are_refused(few, tmp_path):
    short = replace(SMALL, epochs=1)
    fit.fit(short, few, directory=tmp_path)
    for changed in ({"recipe": SMALL}, {"seed": 1}):
        given = {"recipe": short, "seed": 0, **changed}
        with pytest.raises(ValueError, match="belongs to another recipe, data set, seed or precision"):
            fit.fit(given["recipe"], few, seed=given["seed"], directory=tmp_path)
    (tmp_path / fit.CHECKPOINT).write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"is no checkpoint .* remove it to begin anew"):
        fit.fit(short, few, directory=tmp_path)


def test_data_and_networks_that_do_not_fit_are_refused(few):
    with pytest.raises(ValueError, match=r"examples of mnist1d have the shape \(40,\); images are"):
        fit.examples(load("mnist1d"))
    with pytest.raises(ValueError, match="'mlp:64-10' is not for images"):
        fit.fit(replace(SMALL, net="mlp:64-10"), few)
    with pytest.raises(ValueError, match="holds values that are not finite"):
        fit.examples(replace(few, x_train=np.full_like(few.x_train, np.nan)))
    with pytest.raises(ValueError, match="never varies"):
        fit.examples(replace(few, x_train=np.ones_like(few.x_train)))
    with pytest.raises(ValueError, match="there is no precision 'half'"):
        fit.fit(SMALL, few, precision="half")


def test_channels_may_come_last():
    rng = np.random.default_rng(0)
    x = rng.random((20, 6, 5, 3))
    data = Dataset("pictures", x, np.zeros(20, int), x[:4], np.zeros(4, int), ("a", "b"), ("row", "column", "channel"))
    train, test = fit.examples(data)
    assert train.shape == (20, 3, 6, 5) and test.shape == (4, 3, 6, 5)
    np.testing.assert_allclose(train.mean((0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(train.std((0, 2, 3)), 1, atol=1e-5)


def test_every_recipe_says_what_it_is():
    for recipe in RECIPES.values():
        assert recipe.quoted is None or 0.5 < recipe.quoted < 1
        assert recipe.quoted_by and recipe.epochs >= 1
