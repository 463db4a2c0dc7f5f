"""Rolled and scaled copies against loops and NumPy's own rotation; what the draws share; what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from flyroom.data import mnist1d
from flyroom.data.augment import roll_and_scale

PLAIN = mnist1d.make(num_samples=200)
COUNT = len(PLAIN.x_train)


def sources(copied: np.ndarray) -> list[tuple[int, int, float]]:
    """For each copy the example, the rotation and the factor that make it, by trying all of them."""
    rolled = np.stack([np.roll(PLAIN.x_train, k, axis=1) for k in range(40)], 1)  # (example, rotation, place)
    found = []
    for row in copied:
        factor = (rolled @ row) / (rolled**2).sum(-1)
        left = ((row - factor[..., None] * rolled) ** 2).sum(-1)
        example, rotation = np.unravel_index(left.argmin(), left.shape)
        assert left.min() < 1e-20
        found.append((int(example), int(rotation), float(factor[example, rotation])))
    return found


def test_copies_are_rotated_and_scaled_examples_with_their_labels():
    more = roll_and_scale(PLAIN, 60, seed=3)
    np.testing.assert_array_equal(more.x_train[:COUNT], PLAIN.x_train)
    np.testing.assert_array_equal(more.y_train[:COUNT], PLAIN.y_train)
    assert more.x_test is PLAIN.x_test and more.y_test is PLAIN.y_test
    found = sources(more.x_train[COUNT:])
    assert more.y_train[COUNT:].tolist() == [int(PLAIN.y_train[example]) for example, _, _ in found]
    assert len({example for example, _, _ in found}) > 40
    assert len({rotation for _, rotation, _ in found}) > 20
    factors = np.array([factor for _, _, factor in found])
    assert 0.8 <= factors.min() < 0.85 and 1.15 < factors.max() < 1.2


def test_all_rotations_and_factors_are_drawn_alike():
    """Many copies of one example: rotations uniform over forty places, factors uniform on [0.8, 1.2)."""
    impulse = replace(PLAIN, x_train=np.eye(40)[:1], y_train=PLAIN.y_train[:1])
    copied = roll_and_scale(impulse, 40_000, seed=0).x_train[1:]
    counts = (copied > 0).sum(0)
    assert ((counts - 1000) ** 2 / 1000).sum() < 39 + 5 * 78**0.5  # chi-square: mean 39, variance 78
    factors = copied.max(1)
    assert abs(factors.mean() - 1) < 5 * 0.4 / 12**0.5 / 200
    assert factors.std() == pytest.approx(0.4 / 12**0.5, rel=0.02)


def test_either_part_can_be_left_out_and_the_draws_stay():
    both = sources(roll_and_scale(PLAIN, 20, seed=5).x_train[COUNT:])
    rolled = sources(roll_and_scale(PLAIN, 20, seed=5, low=1, high=1).x_train[COUNT:])
    scaled = sources(roll_and_scale(PLAIN, 20, seed=5, roll=False).x_train[COUNT:])
    assert [one[:2] for one in rolled] == [one[:2] for one in both] and all(abs(f - 1) < 1e-12 for _, _, f in rolled)
    assert [one[0] for one in scaled] == [one[0] for one in both] and {k for _, k, _ in scaled} == {0}
    assert [one[2] for one in scaled] == pytest.approx([one[2] for one in both])


def test_fewer_copies_are_the_beginning_of_more_and_seeds_differ():
    few, many, other = (roll_and_scale(PLAIN, n, seed=s).x_train for n, s in ((5, 1), (50, 1), (5, 2)))
    np.testing.assert_array_equal(few, many[: COUNT + 5])
    assert (few[COUNT:] != other[COUNT:]).any(1).all()


def test_the_recipe_says_what_was_done():
    recipe = roll_and_scale(PLAIN, 2, seed=1, high=1).recipe
    assert recipe == {
        "name": "roll and scale",
        "copies": 2,
        "roll": True,
        "low": 0.8,
        "high": 1.0,
        "seed": 1,
        "of": PLAIN.recipe,
    }
    assert len(roll_and_scale(PLAIN, 0, seed=0).x_train) == COUNT


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"copies": -1}, "copies -1, seed 0: neither may be below 0"),
        ({"seed": -2}, "seed -2"),
        ({"low": 1.3}, "factors from 1.3 to 1.2"),
        ({"high": float("nan")}, "factors from 0.8 to nan"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        roll_and_scale(PLAIN, **{"copies": 1, "seed": 0, **arguments})


def test_images_are_refused():
    images = {name: getattr(PLAIN, name).reshape(-1, 5, 8) for name in ("x_train", "x_test")}
    with pytest.raises(ValueError, match=r"signals are \(example, place\)"):
        roll_and_scale(replace(PLAIN, **images), 1, seed=0)
