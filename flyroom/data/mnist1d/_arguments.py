"""What may be asked of the generator, checked once: both streams take their arguments through here."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from flyroom.records import Json


@dataclass(frozen=True)
class Process:
    """The arguments that shape a signal, all checked. `length` is the number of points that noise is added to."""

    template_len: int
    padding: tuple[int, int]
    scale_coeff: float
    max_translation: int
    corr_noise_scale: float
    iid_noise_scale: float
    shear_scale: float
    shuffle_seq: bool
    final_seq_length: int

    @property
    def length(self) -> int:
        return self.template_len + self.padding[1]

    def recipe(self) -> dict[str, Json]:
        return {
            "template_len": self.template_len,
            "padding": list(self.padding),
            "scale_coeff": self.scale_coeff,
            "max_translation": self.max_translation,
            "corr_noise_scale": self.corr_noise_scale,
            "iid_noise_scale": self.iid_noise_scale,
            "shear_scale": self.shear_scale,
            "shuffle_seq": self.shuffle_seq,
            "final_seq_length": self.final_seq_length,
        }


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int in [low, high], or an error that names the argument."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; give a whole number")
    number = int(value)
    if number < low or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name}={number} is out of range; it must be {allowed}")
    return number


def finite(name: str, value: Any) -> float:
    """`value` as a finite float, or an error that names the argument."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; give a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}={number} is not finite; give a finite number")
    return number


def fraction(name: str, value: Any) -> float:
    """`value` as a float in (0, 1], or an error that names the argument."""
    number = finite(name, value)
    if not 0 < number <= 1:
        raise ValueError(f"{name}={number:g} is not a fraction in (0, 1]; 0.8 trains on four fifths of the samples")
    return number


def process(
    template_len: Any,
    padding: Any,
    scale_coeff: Any,
    max_translation: Any,
    corr_noise_scale: Any,
    iid_noise_scale: Any,
    shear_scale: Any,
    shuffle_seq: Any,
    final_seq_length: Any,
) -> Process:
    """Check the arguments that shape a signal.

    **Raises** TypeError for a wrong type and ValueError for a value that has no meaning; the sentence names the
    argument, what was given and what is allowed.
    """
    if isinstance(padding, str) or not hasattr(padding, "__len__") or len(padding) != 2:
        raise TypeError(f"padding={padding!r} is not a pair; give (low, high), for example (36, 60)")
    low = integer("padding[0]", padding[0], 0)
    high = integer("padding[1]", padding[1], 0)
    if high < low:
        raise ValueError(f"padding=({low}, {high}) is reversed; give (low, high) with low <= high: ({high}, {low})")
    if not isinstance(shuffle_seq, bool | np.bool_):
        raise TypeError(f"shuffle_seq={shuffle_seq!r} is a {type(shuffle_seq).__name__}; give True or False")
    checked = Process(
        template_len=integer("template_len", template_len, 0),
        padding=(low, high),
        scale_coeff=finite("scale_coeff", scale_coeff),
        max_translation=translation(max_translation),
        corr_noise_scale=finite("corr_noise_scale", corr_noise_scale),
        iid_noise_scale=finite("iid_noise_scale", iid_noise_scale),
        shear_scale=finite("shear_scale", shear_scale),
        shuffle_seq=bool(shuffle_seq),
        final_seq_length=integer("final_seq_length", final_seq_length, 1),
    )
    if checked.length < 2:
        raise ValueError(
            f"template_len + padding[1] = {checked.length} points are too few to interpolate between; "
            "it must be at least 2"
        )
    return checked


def translation(value: Any) -> int:
    """`max_translation` as an int: it is exclusive, so that 1 means no translation and 0 means nothing at all."""
    if isinstance(value, Integral) and not isinstance(value, bool | np.bool_) and value < 1:
        raise ValueError(
            f"max_translation={int(value)} leaves nothing to draw: the shift is drawn from 0 to max_translation - 1; "
            "use 1 for no translation"
        )
    return integer("max_translation", value, 1, 2**31)


def sizes(num_samples: int, train_split: Any) -> tuple[int, int]:
    """How many samples are trained on and tested on: the first `int(num_samples * train_split)`, and the rest."""
    train = int(num_samples * fraction("train_split", train_split))
    if train == 0:
        raise ValueError(
            f"train_split={train_split} of {num_samples} samples leaves none to train on; raise one of the two"
        )
    return train, num_samples - train
