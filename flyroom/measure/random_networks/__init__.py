"""What is known of random networks before any is drawn: expected lengths, mean-field growth, counts, published bounds.

- `relu`: the exact expected length of a path through a random ReLU network, its asymptotic form, a lower bound.
- `mean_field`: variance, metric, curvature, correlation and phase of infinitely wide networks, any activation.
- `hard_tanh`: the expected growth of one layer of finite width.
- `pieces`: how many linear pieces or what degree there can be, and how much length they allow.
- `printed`: exponential bases as they stand in print. They are labels for a plot and no oracle.

Every function says whether its formula is proved here, published and quoted, or printed and not reached. Weights are
Gaussian with variance `weight_std`^2 / fan-in and biases with variance `bias_std`^2, unless said otherwise.
"""

from flyroom.measure.random_networks.hard_tanh import expected_hard_tanh_growth
from flyroom.measure.random_networks.mean_field import (
    MeanField,
    Propagation,
    correlation_map,
    mean_field,
    propagate,
    susceptibilities,
)
from flyroom.measure.random_networks.pieces import (
    activation_pattern_bound,
    degree_length_bound,
    expected_first_layer_crossings,
    expected_region_bound,
    piecewise_length_bound,
)
from flyroom.measure.random_networks.printed import (
    raghu_hard_tanh_base,
    raghu_pattern_order,
    raghu_relu_base,
    raghu_transition_base,
    raghu_upper_base,
)
from flyroom.measure.random_networks.relu import (
    asymptotic_relu_length,
    expected_relu_growths,
    expected_relu_length,
    price_tanner_growths,
    price_tanner_length,
)

__all__ = [
    "MeanField",
    "Propagation",
    "activation_pattern_bound",
    "asymptotic_relu_length",
    "correlation_map",
    "degree_length_bound",
    "expected_first_layer_crossings",
    "expected_hard_tanh_growth",
    "expected_region_bound",
    "expected_relu_growths",
    "expected_relu_length",
    "mean_field",
    "piecewise_length_bound",
    "price_tanner_growths",
    "price_tanner_length",
    "propagate",
    "raghu_hard_tanh_base",
    "raghu_pattern_order",
    "raghu_relu_base",
    "raghu_transition_base",
    "raghu_upper_base",
    "susceptibilities",
]
