"""Recipes: a network, a schedule and augmentations for each image set whose typical accuracy courses quote."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Recipe:
    """How one network is trained on images of one kind, from first weights to its test accuracy.

    Gradient descent with Nesterov momentum; the rate rises to `rate` over the first `warm` of the steps and falls to 0
    (one cycle, cosine: Smith and Topin 2017, arXiv 1708.07120); `decay` pulls at the weights of convolutions and dense
    layers, not at biases and norms. `quoted` is the accuracy that courses name, a fact to compare with and no target;
    None where they name none.
    """

    net: str  # as `nets.spec.parse` takes it
    quoted: float | None
    quoted_by: str
    epochs: int = 10
    batch: int = 128
    rate: float = 0.1
    warm: float = 0.3
    momentum: float = 0.9
    decay: float = 5e-4
    flip: bool = False  # mirror half of the images while training, and average both at the test
    crop: int = 0  # places that an image is shifted by
    cutout: int = 0  # width of the hole
    smoothing: float = 0.0  # of the labels


LECTURE = "typical performance, as a lecture on convolutional networks quotes it"

# The net's input and classes are those of the data; ResNet-18 is the one for small images, with a 3x3 stem.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "digits": Recipe(
            "image-cnn:16-32", None, "scikit-learn's 8 x 8 digits: quoted by no course", epochs=12, batch=64, crop=1
        ),
        "mnist": Recipe("image-cnn:32-64-128", 0.99, LECTURE, epochs=6, crop=2),
        "fashion-mnist": Recipe("image-cnn:32-64-128", 0.89, LECTURE, epochs=12, flip=True, crop=2),
        "svhn": Recipe("resnet18:cifar", 0.95, LECTURE, epochs=15, crop=4, cutout=8, smoothing=0.1),
        "cifar-10-small": Recipe("image-cnn:64-128-256", 0.85, LECTURE, epochs=24, flip=True, crop=4, cutout=8),
        "cifar-10": Recipe(
            "resnet18:cifar", 0.93, f"{LECTURE}, with ResNet-18", epochs=30, flip=True, crop=4, cutout=8, smoothing=0.1
        ),
        "cifar-100": Recipe("resnet18:cifar", 0.65, LECTURE, epochs=30, flip=True, crop=4, cutout=8, smoothing=0.1),
    }
)
