"""Padding by its definition and by the lecture's tables, and the sizes that follow from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyroom.nets.padding import (
    MODES,
    effective_input,
    effective_kernel,
    output_length,
    pad,
    padding_mode,
    padding_widths,
    per_axis,
    same,
    taps,
)

# The lecture's 5 x 5 table, rows 1-5, 6-10 and so on, padded by 2. Of "mirror" it prints the row 17 16 16 17 18 19 20
# 19 18, which is a misprint: no mirror gives it, and the row that the others ask for is 18 17 16 17 18 19 20 19 18.
TABLE = np.arange(1.0, 26).reshape(5, 5)
MIRROR = """
    13 12 11 12 13 14 15 14 13
     8  7  6  7  8  9 10  9  8
     3  2  1  2  3  4  5  4  3
     8  7  6  7  8  9 10  9  8
    13 12 11 12 13 14 15 14 13
    18 17 16 17 18 19 20 19 18
    23 22 21 22 23 24 25 24 23
    18 17 16 17 18 19 20 19 18
    13 12 11 12 13 14 15 14 13"""
MISPRINTED = [17, 16, 16, 17, 18, 19, 20, 19, 18]
DUPLICATE = """
     1  1  1  2  3  4  5  5  5
     1  1  1  2  3  4  5  5  5
     1  1  1  2  3  4  5  5  5
     6  6  6  7  8  9 10 10 10
    11 11 11 12 13 14 15 15 15
    16 16 16 17 18 19 20 20 20
    21 21 21 22 23 24 25 25 25
    21 21 21 22 23 24 25 25 25
    21 21 21 22 23 24 25 25 25"""


def table(text):
    return np.array([[float(word) for word in line.split()] for line in text.split("\n") if line])


def padded(image, mode, widths=((2, 2), (2, 2))):
    return np.asarray(pad(jnp.asarray(image, jnp.float32)[None, :, :, None], widths, mode))[0, :, :, 0]


def test_the_lectures_tables():
    np.testing.assert_array_equal(padded(TABLE, "mirror"), table(MIRROR))
    np.testing.assert_array_equal(padded(TABLE, "duplicate"), table(DUPLICATE))
    zero = np.zeros((9, 9))
    zero[2:7, 2:7] = TABLE
    np.testing.assert_array_equal(padded(TABLE, "zero"), zero)
    assert padded(TABLE, "mirror")[7].tolist() != MISPRINTED


def source(at, length, mode):
    """Which place of the input stands at place `at` of the padded one, counted from the input's first; None: zero."""
    if 0 <= at < length:
        return at
    if mode == "zero":
        return None
    if mode == "reflect":
        return -at if at < 0 else 2 * (length - 1) - at
    return min(max(at, 0), length - 1) if mode == "replicate" else at % length


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("widths", [((0, 0), (0, 0)), ((1, 3), (2, 0)), ((3, 3), (4, 4))])
def test_every_place_by_its_definition(mode, widths):
    image = np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32)
    found = padded(image, mode, widths)
    assert found.shape == tuple(n + before + after for n, (before, after) in zip(image.shape, widths, strict=True))
    for place in np.ndindex(*found.shape):
        row, column = (
            source(at - before, n, mode) for at, (before, _), n in zip(place, widths, image.shape, strict=True)
        )
        expected = 0 if row is None or column is None else image[row, column]
        assert found[place] == expected, (place, mode)


def test_mirror_is_not_numpys_symmetric():
    signal = np.arange(1.0, 6)
    found = np.asarray(pad(jnp.asarray(signal, jnp.float32)[None, :, None], [(2, 2)], "mirror")).ravel()
    np.testing.assert_array_equal(found, np.pad(signal, 2, "reflect"))
    assert found.tolist() != np.pad(signal, 2, "symmetric").tolist()


def test_channels_can_be_padded_and_the_batch_is_not():
    x = jnp.ones((2, 3, 4))
    assert pad(x, [(1, 2)]).shape == (2, 6, 4)
    assert pad(x, [(1, 0), (0, 0)]).shape == (3, 3, 4)
    assert pad(x, [(1, 0), (0, 0)])[0].sum() == 0


@pytest.mark.parametrize(
    ("widths", "mode", "sentence"),
    [
        ([(5, 0)], "mirror", "a reflect padding of 5 before and 0 after does not fit 5 positions: .* at most 4"),
        ([(0, 5)], "reflect", "the edge itself is not repeated; choose at most 4, or the mode zero or replicate"),
        ([(6, 0)], "circular", "a circular padding of 6 .* go round more than once; choose at most 5"),
        ([(0, -1)], "zero", "a padding of 0 before and -1 after is below 0"),
        ([(0, 0)] * 3, "zero", r"3 widths do not fit an array of shape \(1, 5, 1\).* its 1 axis of space"),
    ],
)
def test_padding_that_does_not_fit(widths, mode, sentence):
    with pytest.raises(ValueError, match=sentence):
        pad(jnp.ones((1, 5, 1)), widths, mode)


def test_the_widest_padding_that_fits():
    x = jnp.arange(5.0).reshape(1, 5, 1)
    assert pad(x, [(4, 4)], "reflect").shape == (1, 13, 1)
    assert pad(x, [(5, 5)], "circular").ravel().tolist() == [0.0, 1, 2, 3, 4] * 3
    assert pad(x, [(9, 9)], "replicate").shape == (1, 23, 1)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("zeros", "zero"), ("constant", "zero"), ("edge", "replicate"), ("wrap", "circular"), ("mirorr", "mirror"),
     ("symmetric", "zero or reflect or replicate or circular or mirror or duplicate")],
)  # fmt: skip
def test_other_names_of_a_mode(name, meant):
    with pytest.raises(ValueError, match=rf"there is no padding mode '{name}'; did you mean {meant}\?"):
        padding_mode(name)


# Sizes. ---------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    length=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    dilation=st.integers(1, 4),
)
def test_the_output_length_counts_the_places_at_which_the_kernel_fits(length, kernel, stride, before, after, dilation):
    taps_at = [dilation * tap for tap in range(kernel)]
    places = [i for i in range(0, length + before + after, stride) if i + taps_at[-1] < length + before + after]
    if not places:
        with pytest.raises(ValueError, match="does not fit"):
            output_length(length, kernel, stride, (before, after), dilation)
        return
    assert output_length(length, kernel, stride, (before, after), dilation) == len(places)
    assert effective_kernel(kernel, dilation) == taps_at[-1] + 1
    assert effective_input(length, (before, after)) == length + before + after
    x = jax.ShapeDtypeStruct((1, length + before + after, 1), jnp.float32)
    seen = jax.eval_shape(lambda x: taps(x, (kernel,), (stride,), (dilation,)), x)
    assert [tap.shape[1] for tap in seen] == [len(places)] * kernel


def test_the_lectures_sizes():
    """n - k + 1 without padding; (k - 1) rows of zeros in all keep the size; n + 2p; d (k - 1) + 1."""
    for n, k in ((5, 3), (28, 5), (32, 3), (10, 1)):
        assert output_length(n, k) == n - k + 1
        assert output_length(n, k, padding=(k - 1, 0)) == n
        assert k % 2 == 0 or output_length(n, k, padding=(k - 1) // 2) == n
    assert output_length(224, 7, 2, 3) == 112 and output_length(112, 3, 2, 1) == 56
    assert effective_input(5, 2) == 9 and effective_kernel(3, 2) == 5


def test_lengths_of_the_benchmark():
    assert [output_length(n, k, 2, 1) for n, k in ((40, 5), (19, 3), (10, 3))] == [19, 10, 5]


@pytest.mark.parametrize("arguments", [(3, 6, 1, 1), (5, 0, 1, 0), (5, 2, 0, 0), (5, 2, 1, -1)])
def test_a_kernel_that_does_not_fit_is_named(arguments):
    n, k, s, p = arguments
    expected = f"kernel of {k} with stride {s} and padding {p} does not fit {n} positions; .* must be at least 1"
    with pytest.raises(ValueError, match=expected):
        output_length(n, k, s, p)


def test_a_dilated_kernel_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"kernel of 3 with stride 1 and padding \(1, 0\) and dilation 3 does not fit"):
        output_length(5, 3, 1, (1, 0), 3)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (4, 1), (2, 3), (5, 2)])
def test_same_keeps_the_size(kernel, dilation):
    before, after = same(kernel, dilation)
    assert before + after == dilation * (kernel - 1) and after - before in (0, 1)
    assert output_length(9, kernel, 1, same(kernel, dilation), dilation) == 9


# The forms of padding, and numbers for each axis. ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("padding", "kernel", "widths"),
    [
        (0, (3,), ((0, 0),)),
        (2, (3, 3), ((2, 2), (2, 2))),
        ((1, 2), (3,), ((1, 2),)),
        ((2,), (3,), ((2, 2),)),
        (((1, 2),), (3,), ((1, 2),)),
        ((1, 1), (3, 3), ((1, 1), (1, 1))),
        (((1, 2), (3, 4)), (3, 3), ((1, 2), (3, 4))),
        (((1, 2), 3), (3, 3), ((1, 2), (3, 3))),
        ("valid", (3, 4), ((0, 0), (0, 0))),
        ("same", (3, 4), ((1, 1), (1, 2))),
    ],
)
def test_the_forms_of_padding(padding, kernel, widths):
    assert padding_widths(padding, kernel, (1,) * len(kernel)) == widths


def test_same_knows_the_dilation():
    assert padding_widths("same", (3, 3), (1, 1), (1, 4)) == ((1, 1), (4, 4))


@pytest.mark.parametrize(
    ("padding", "stride", "sentence"),
    [
        ("same", (2, 1), r'"same" with stride \(2, 1\): with a stride the size does not stay the same'),
        ("smae", (1, 1), r"there is no padding 'smae'; did you mean same, or a number\?"),
        ("full", (1, 1), "did you mean same or valid, or a number"),
        ("mirror", (1, 1), "padding 'mirror' is a mode: write mode='mirror'"),
        ((1, 2), (1, 1), r"padding \(1, 2\) can be read in two ways: write \(\(1, 1\), \(2, 2\)\) for rows and col"),
        ((1, 2, 3), (1, 1), r"padding \(1, 2, 3\) does not fit 2 axes of space"),
        (((1, 2, 3), 0), (1, 1), "give one number, or for each axis"),
        (-1, (1, 1), "padding -1 is below 0"),
        (((0, -1), (0, 0)), (1, 1), "is below 0; to cut positions off, slice"),
    ],
)
def test_padding_that_says_nothing(padding, stride, sentence):
    with pytest.raises(ValueError, match=sentence):
        padding_widths(padding, (3, 3), stride)


def test_numbers_for_each_axis():
    assert per_axis(2, 2, "stride") == (2, 2) and per_axis([2, 3], 2, "stride") == (2, 3)
    with pytest.raises(ValueError, match=r"stride \(1, 2, 3\): 3 numbers for 2 axes of space; give one for all"):
        per_axis((1, 2, 3), 2, "stride")
    with pytest.raises(ValueError, match="window 0: must be at least 1"):
        per_axis(0, 1, "window")
