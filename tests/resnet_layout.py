"""Small ResNets and single blocks with one fixed draw of weights and images, for what PyTorch computes with them.

Nothing here needs PyTorch. Weights, statistics and images come from the counter-based draw of `pytorch_layout`, by the
names that PyTorch gives them, so that the golden file holds results alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from pytorch_layout import directions, draw

from flyroom.nets import files, layouts
from flyroom.nets.blocks import Block, Form
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import ResNet

GOLDEN = Path(__file__).parent / "golden" / "resnet.npz"
BATCH, CLASSES, WIDTH = 5, 3, 4


class Case(NamedTuple):
    """A ResNet of two or three blocks, of which the last halves the size. Odd, oblong images."""

    bottleneck: bool
    stem: str
    version: str = "v1.5"
    shortcut: str = "B"
    counts: tuple[int, ...] = (2, 1)

    @property
    def images(self) -> tuple[int, int, int]:
        return (3, 13, 11) if self.stem == "imagenet" else (3, 7, 6)


NETS: Mapping[str, Case] = {
    "basic-cifar": Case(False, "cifar"),
    "basic-imagenet-A": Case(False, "imagenet", shortcut="A"),
    "bottleneck-cifar-v1": Case(True, "cifar", "v1"),
    "bottleneck-imagenet": Case(True, "imagenet", counts=(1, 1)),
    "bottleneck-cifar-A": Case(True, "cifar", shortcut="A", counts=(1, 1)),
}
BLOCKS: Mapping[str, Form] = {
    "post": Form(3, 4, 2),
    "lecture": Form(3, 4, 2, kind="lecture"),
    "pre": Form(3, 4, 2, kind="pre"),
    "pre-identity": Form(4, 4, kind="pre"),
    "pre-bottleneck-A": Form(3, 2, 2, bottleneck=True, shortcut="A", kind="pre"),
}


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """What a case holds, by PyTorch's names."""
    return {_name(name, path): leaf.shape for path, leaf in files.named(_empty(name)).items()}


def state(name: str, label: str = "golden") -> dict[str, np.ndarray]:
    """Weights and statistics of a case: gains and variances around 1, kernels that keep the size of what they see."""
    return {key: _drawn(f"{label} {name} {key}", key, shape) for key, shape in shapes(name).items()}


def _drawn(label: str, key: str, shape: tuple[int, ...]) -> np.ndarray:
    if key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
        return 1 + draw(label, shape, 0.5)
    if len(shape) == 1:
        return draw(label, shape, 0.5)
    return draw(label, shape, (6 / np.prod(shape[1:])) ** 0.5)


def images(name: str, label: str = "golden") -> np.ndarray:
    """A batch of images (batch, channel, row, column)."""
    if name in NETS:
        return draw(f"{label} images", (BATCH, *NETS[name].images), 1.5)
    return draw(f"{label} images", (BATCH, BLOCKS[name].inputs, 5, 4), 1.5)


def upstream(shape: tuple[int, ...]) -> np.ndarray:
    """What the outputs are weighted with, so that there is a number to take gradients of."""
    return draw("upstream", shape, 1.0)


def load(name: str, given: Mapping[str, np.ndarray], dtype: Any = np.float32) -> tuple[Any, Any]:
    """Our network and its statistics with these arrays."""
    there = _empty(name)
    named = {path: jnp.asarray(given[_name(name, path)], dtype) for path in files.named(there)}
    filled = files.filled(there, named)
    return filled.net, filled.running


def unload(name: str, net: Any, running: Any = None) -> dict[str, np.ndarray]:
    """Our arrays, or gradients by them, under PyTorch's names."""
    found = files.named(AtInference(net, running))
    return {_name(name, path): np.asarray(leaf) for path, leaf in found.items()}


def _empty(name: str) -> AtInference:
    def made(key: Any) -> AtInference:
        if name in BLOCKS:
            net = Block.init(key, BLOCKS[name])
        else:
            bottleneck, stem, version, shortcut, counts = NETS[name]
            net = ResNet.of_blocks(
                key, counts, bottleneck=bottleneck, width=WIDTH, classes=CLASSES, stem=stem, version=version,
                shortcut=shortcut,
            )  # fmt: skip
        return AtInference(net, net.begin())

    return eqx.filter_eval_shape(made, jax.random.key(0))


def _name(name: str, path: str) -> str:
    """A block alone has the names that it would have in a network, without the network's part of them."""
    if name not in BLOCKS:
        return layouts.pytorch_name(path)
    owner, _, rest = path.partition(".")
    return layouts.pytorch_name(f"{owner}.stages.0.0.{rest}").removeprefix("layer1.0.")


def projected(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Each array's products with four fixed directions, in the order of the names."""
    return np.stack([directions(key, np.shape(arrays[key])) @ np.ravel(arrays[key]) for key in sorted(arrays)])


@eqx.filter_jit
def results(net: Any, running: Any, x: Any, weights: Any) -> dict[str, tuple[Any, Any, Any]]:
    """In training and at inference: outputs, running statistics, and gradients of the weighted outputs by (net, x)."""

    batch_last = isinstance(net, Block)

    def trained(pair: Any) -> Any:
        y, after = _whole(pair[0].train, pair[1], running, batch_last)
        return (y * weights).sum(), (y, after)

    def at_inference(pair: Any) -> Any:
        y = _whole(lambda x, running: (pair[0].inference(x, running), running), pair[1], running, batch_last)[0]
        return (y * weights).sum(), (y, running)

    found = {}
    for mode, function in (("train", trained), ("inference", at_inference)):
        (_, (y, after)), gradients = eqx.filter_value_and_grad(function, has_aux=True)((net, x))
        found[mode] = (y, after, gradients)
    return found


def _whole(function: Any, x: Any, running: Any, batch_last: bool) -> Any:
    """A block takes the batch last, a network first; here it is first."""
    if not batch_last:
        return function(x, running)
    y, after = function(jnp.moveaxis(x, 0, -1), running)
    return jnp.moveaxis(y, -1, 0), after


def ours(name: str, given: Mapping[str, np.ndarray], x: np.ndarray, dtype: Any) -> dict[str, dict[str, Any]]:
    """`results` by PyTorch's names, as NumPy arrays: outputs, running and gradients for each of train and inference."""
    net, running = load(name, given, dtype)
    images = jnp.asarray(x, dtype)
    shape = eqx.filter_eval_shape(results, net, running, images, 1.0)["train"][0].shape
    found = results(net, running, images, jnp.asarray(upstream(shape), dtype))
    compared = {}
    for mode, (outputs, after, (of_net, of_x)) in found.items():
        statistics = {key: a for key, a in unload(name, None, after).items() if "running_" in key}
        gradients = unload(name, of_net) | {"x": np.asarray(of_x)}
        compared[mode] = {"outputs": np.asarray(outputs), "running": statistics, "gradients": gradients}
    return compared


def summary(compared: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """What is kept of such results: outputs, statistics after a batch, and gradients along fixed directions."""
    after = compared["train"]["running"]
    found = {"running": np.concatenate([after[key] for key in sorted(after)])}
    for mode, parts in compared.items():
        found |= {f"{mode}/outputs": parts["outputs"], f"{mode}/gradients": projected(parts["gradients"])}
    return found


def check_against_golden(name: str, dtype: Any, tolerance: float) -> None:
    """Compare ours with the golden file; the tolerance is relative to an array's largest entry, if that is above 1."""
    with jax.enable_x64(dtype == np.float64):
        found = summary(ours(name, state(name), images(name), dtype))
    with np.load(GOLDEN) as file:
        expected = {key: file[f"{name}/{key}"] for key in found}
    for key, array in expected.items():
        assert found[key].shape == array.shape, key
        # Gradients: one row for each weight, with a scale of its own.
        scale = np.abs(array).max(-1, keepdims=True) if key.endswith("gradients") else np.abs(array).max()
        assert np.min(scale) > 1e-3, f"{key}: so small an array would agree with anything"
        away = np.abs(found[key] - array) / np.maximum(scale, 1)
        assert away.max() <= tolerance, f"{name} {key}: {away.max()} at {np.unravel_index(away.argmax(), away.shape)}"


def check_live(found: Mapping[str, Mapping[str, Any]], expected: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare all of ours with all of theirs, in float32 to 1e-5, relative to an array's largest entry if above 1."""
    for mode, parts in expected.items():
        np.testing.assert_allclose(found[mode]["outputs"], parts["outputs"], rtol=1e-5, atol=1e-5)
        for part in ("running", "gradients"):
            assert found[mode][part].keys() == parts[part].keys()
            for key, array in parts[part].items():
                bound = 1e-5 * max(1.0, float(np.abs(array).max()))
                np.testing.assert_allclose(found[mode][part][key], array, rtol=0, atol=bound, err_msg=f"{mode} {key}")
