"""The tuning fork: a "network" whose training has a closed form, so that a trainer can be checked exactly."""

import equinox as eqx
from jaxtyping import Array, Float


class Quadratic(eqx.Module):
    """A point w with the loss (w - target)' H (w - target) / 2.

    Gradient descent with rate a is w_t = target + (I - a H)^t (w_0 - target).
    """

    point: Float[Array, " dimension"]


def loss(
    net: Quadratic, hessian: Float[Array, "dimension dimension"], target: Float[Array, " dimension"]
) -> Float[Array, ""]:
    """The quadratic form; its "examples" are one Hessian and one target."""
    away = net.point - target
    return away @ hessian @ away / 2
