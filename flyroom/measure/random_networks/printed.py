"""Exponential bases as they stand in print (Raghu et al. 2017). As printed; not reached, see measured.

The statements are E[length after d layers] >= O(base^d) length, with O as the paper writes it. The constant that O
hides may itself be c^d, so that a base bounds nothing: networks grow more slowly. What is right is
`relu.expected_relu_length` for ReLU and the root of chi_1 in `mean_field` for all others.

Source: Raghu, Poole, Kleinberg, Ganguli and Sohl-Dickstein, "On the expressive power of deep neural networks", ICML
2017, arXiv 1606.05336; version 2 of the preprint was read, theorem 3 of the ICML text is recalled.
"""

from math import sqrt
from typing import Literal

from flyroom.measure.random_networks._arguments import (
    check_bias_std,
    check_count,
    check_weight_std,
    check_width,
)


def raghu_hard_tanh_base(
    width: int, weight_std: float, bias_std: float, form: Literal["preprint", "icml"] = "preprint"
) -> float:
    """The base printed for hard tanh: as printed; not reached.

    With s = sqrt(weight_std^2 + bias_std^2) and width k, the preprint has weight_std / sqrt(s) sqrt(k) / sqrt(s + k),
    ICML (theorem 3b, recalled) weight_std sqrt(k) / sqrt(s^2 + k s): the same number. Measured growth of networks of
    width 64 without biases (layers 5 to 7): 1.177, 1.330, 1.798, 3.10 for weight_std = 1.5, 2, 4, 16, where 1.211,
    1.393, 1.940, 3.578 is printed. The gap tends to (2 / pi)^(1/4) = 0.893 a layer in wide networks.

    >>> round(raghu_hard_tanh_base(64, 1.5, 0.0), 3)
    1.211

    Raises ValueError for a width below 1, a weight_std not above 0, a bias_std below 0, and any other form.
    """
    check_width("width", width)
    check_weight_std(weight_std)
    check_bias_std(bias_std)
    spread = sqrt(weight_std**2 + bias_std**2)
    if form == "preprint":
        return weight_std / sqrt(spread) * sqrt(width) / sqrt(spread + width)
    if form == "icml":
        return weight_std * sqrt(width) / sqrt(weight_std**2 + bias_std**2 + width * spread)
    raise ValueError(f"form = {form!r}: the base is printed in two forms, 'preprint' and 'icml'")


def raghu_relu_base(width: int, weight_std: float) -> float:
    """The base printed for ReLU, weight_std sqrt(k) / sqrt(k + 1): as printed (theorem 3a, recalled); not reached.

    It is too large by about sqrt 2 a layer: with width 64, 20 layers and weight_std = sqrt 2 the printed growth is 877,
    and networks gave 0.829 +- 0.013.

    Raises ValueError for a width below 1 and a weight_std not above 0.
    """
    check_width("width", width)
    check_weight_std(weight_std)
    return weight_std * sqrt(width) / sqrt(width + 1)


def raghu_upper_base(weight_std: float) -> float:
    """The base of the upper bound O(weight_std^d) in the appendix: as printed.

    For equal widths and slopes of at most 1 it is a true bound of the expected speed, because E|W v|^2 = weight_std^2
    |v|^2 and a norm's mean is at most the root of the mean of its square. Raises ValueError for a weight_std not above
    0.
    """
    check_weight_std(weight_std)
    return weight_std


def raghu_transition_base(width: int, weight_std: float, bias_std: float) -> float:
    """The base for sign transitions in saturated hard tanh networks, sqrt(k) / sqrt(1 + bias_std^2 / weight_std^2).

    As printed, in the limit of large weight_std only; not measured. Raises ValueError as `raghu_hard_tanh_base` does.
    """
    check_width("width", width)
    check_weight_std(weight_std)
    check_bias_std(bias_std)
    return sqrt(width) / sqrt(1 + bias_std**2 / weight_std**2)


def raghu_pattern_order(inputs: int, width: int, layers: int, activation: Literal["relu", "hard_tanh"]) -> int:
    """The order of the number of activation patterns: k^(m n) for ReLU, (2 k)^(m n) for hard tanh.

    As printed, inside an O: no bound of its own (one ReLU of one input has 2 patterns, and 1^1 is 1). A proved bound is
    `pieces.activation_pattern_bound`. For m inputs, n hidden layers, width k.

    Raises ValueError for counts below 1 and any other activation.
    """
    check_count("inputs", inputs)
    check_count("layers", layers)
    check_width("width", width)
    if activation not in ("relu", "hard_tanh"):
        raise ValueError(f"activation = {activation!r}: the count is printed for 'relu' and 'hard_tanh'")
    return (width if activation == "relu" else 2 * width) ** (inputs * layers)
