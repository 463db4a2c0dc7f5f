"""Weights under the names that PyTorch's ResNets give them, both ways: `layer1.0.conv1.weight`, `bn1.running_mean`.

Names and layouts are those of torchvision's `resnet18` to `resnet152` and, since timm kept them, of timm's networks of
these names and their trained variants (`resnet50.a1_in1k`, `tv_resnet50`). A CIFAR stem has the same names as well,
with a `conv1.weight` of (64, 3, 3, 3). timm's other stems and additions (names with c, d, e, s, t, `se`, `eca`, `v2`)
are other networks: their arrays are refused by name.

Two things no name can tell, and both give a network that runs and is wrong. Whether the stride is in the 3 x 3 (v1.5,
torchvision and timm) or in the first 1 x 1 (v1, weights that come from the paper's Caffe models) is up to the text of
the network. And timm's `resnetblur` and `resnetaa` hold the arrays of a plain ResNet, but blur where they downsample.

The arrays are NumPy's, JAX's, or PyTorch's on the processor (`module.state_dict()`, of a bfloat16 module `float()`
first); PyTorch is not needed. Trained weights expect the images that they were trained with, for ImageNet usually
(x / 255 - mean) / std by channel.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from flyroom.nets import files
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import ResNet, ResNetRunning
from flyroom.nets.spec import parse

# Ours to theirs, one after the other.
_TRANSLATION: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (r"^(net|running)\.", ""),
    (r"^stem\.", "conv1."),
    (r"^norm\.", "bn1."),
    (r"^last\.", "fc."),
    (r"^stages\.(\d+)\.", lambda found: f"layer{int(found[1]) + 1}."),
    (r"convolutions\.(\d+)\.", lambda found: f"conv{int(found[1]) + 1}."),
    (r"norms\.(\d+)\.", lambda found: f"bn{int(found[1]) + 1}."),
    (r"shortcut\.convolution\.", "downsample.0."),
    (r"shortcut\.norm\.|shortcut\.(?=mean|variance)", "downsample.1."),
    (r"\.gain$", ".weight"),
    (r"\.mean$", ".running_mean"),
    (r"\.variance$", ".running_var"),
)
# What is known and not supported: names that give it away, and what it is.
_OTHERS = (
    (r"^module\.", "a network wrapped in DataParallel; save the state_dict of its .module"),
    (r"^(model|backbone|encoder|resnet)\.", "a ResNet inside another module; take that part's state_dict"),
    (r"^conv1\.\d", "a stem of three 3 x 3 convolutions (timm's c, d, e, s and t)"),
    (r"\.downsample\.2\.", "mean pooling before the projection (timm's d, e and t)"),
    (r"\.(se|eca|attn)\.", "squeeze-and-excitation or another attention over channels"),
    (r"^(stem|stages|head|norm)\.", "timm's ResNetV2, with pre-activation"),
)
_UNUSED = "num_batches_tracked"  # a count that PyTorch needs for averages without a fixed weight
_SHOWN = 5  # of the names that are wrong in one way


def pytorch_name(path: str) -> str:
    """The name in PyTorch of what is reached by `path` in AtInference(net, running).

    >>> pytorch_name("net.stages.0.1.norms.0.gain"), pytorch_name("running.stages.1.0.shortcut.mean")
    ('layer1.1.bn1.weight', 'layer2.0.downsample.1.running_mean')
    """
    for pattern, replacement in _TRANSLATION:
        path = re.sub(pattern, replacement, path)
    return path


def shapes(spec: str | ResNet) -> dict[str, tuple[int, ...]]:
    """The names and shapes that `from_pytorch` asks for.

    >>> shapes("resnet18:cifar")["conv1.weight"], len(shapes("resnet18"))
    ((64, 3, 3, 3), 102)
    """
    return {pytorch_name(path): leaf.shape for path, leaf in files.named(_empty(spec)).items()}


def from_pytorch(arrays: Mapping[str, Any], spec: str | ResNet) -> tuple[ResNet, ResNetRunning]:
    """The ResNet with these weights and running statistics; `num_batches_tracked` is ignored.

    `spec` is a network's text ("resnet50", "resnet18:cifar?classes=100") or a ResNet, whose values do not matter.
    Raises ValueError where arrays are missing, are too many, or have other shapes (named, the first five of each),
    where they are not finite floating point numbers, and where `spec` is no ResNet.
    """
    there = _empty(spec)
    expected = {pytorch_name(path): leaf.shape for path, leaf in files.named(there).items()}
    given = {name: np.asarray(array) for name, array in arrays.items() if name.rpartition(".")[2] != _UNUSED}
    text = spec if isinstance(spec, str) else "this ResNet"
    _check(given, expected, text)
    files.check_values(given, f"the arrays for {text}")
    dtype = jnp.result_type(float)
    values = {path: jnp.asarray(given[pytorch_name(path)], dtype) for path in files.named(there)}
    filled = files.filled(there, values)
    return filled.net, filled.running


def to_pytorch(net: ResNet, running: ResNetRunning) -> dict[str, np.ndarray]:
    """Weights and running statistics by PyTorch's names: what `from_pytorch` undoes and `load_state_dict` takes.

    Each is a copy. `torch.nn.Module.load_state_dict` wants tensors: `{name: torch.from_numpy(array) ...}`.
    """
    return {pytorch_name(path): np.array(leaf) for path, leaf in files.named(AtInference(net, running)).items()}


def read(path: Path, spec: str | ResNet) -> tuple[ResNet, ResNetRunning]:
    """The ResNet in a .safetensors file with PyTorch's names, such as timm's or one of `safetensors.torch.save_file`.

    Raises FileNotFoundError, and ValueError as `from_pytorch` and for a file that is no safetensors.
    """
    return from_pytorch(files.arrays(path)[0], spec)


def _empty(spec: str | ResNet) -> AtInference:
    if isinstance(spec, ResNet):
        return eqx.filter_eval_shape(lambda net: AtInference(net, net.begin()), spec)
    there = files.empty(parse(spec).init)
    if not (isinstance(there, AtInference) and isinstance(there.net, ResNet)):
        raise ValueError(f"{spec!r} is no ResNet, and only of these PyTorch's names are known; write resnet50, say")
    return there


def _check(given: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]], text: str) -> None:
    for name in given:
        for pattern, what in _OTHERS:
            if name not in expected and re.search(pattern, name):
                raise ValueError(f"the arrays are not those of {text}: {name} belongs to {what}")
    faults = {
        "missing": [name for name in expected if name not in given],
        "not in this network": [name for name in given if name not in expected],
        "of another shape": [
            f"{name} {given[name].shape} in the place of {shape}"
            for name, shape in expected.items()
            if name in given and given[name].shape != shape
        ],
        "no floating point numbers": [
            f"{name} ({array.dtype})" for name, array in given.items() if not jnp.issubdtype(array.dtype, jnp.floating)
        ],
    }
    said = [f"{fault}: {_listed(names)}" for fault, names in faults.items() if names]
    if said:
        raise ValueError(f"the arrays are not those of {text}; {'; '.join(said)}")


def _listed(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
