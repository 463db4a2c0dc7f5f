"""Makes norms.npz: what PyTorch computes with its normalisation layers, and a short training with batch norm.

In float64. From the folder `tests`, with PyTorch installed: python -m golden.make_parts_norms
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from norms_layout import (
    BATCH,
    CHANNELS,
    GOLDEN,
    GROUPS,
    LAYERS,
    RATE,
    SHAPES,
    STEPS,
    affine,
    examples,
    inputs,
    upstream,
    weights,
)
from torch import nn
from torch.nn import functional

Layer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]  # of x, gain, bias


def _differentiated(
    layer: Layer, x: np.ndarray, gain: np.ndarray, bias: np.ndarray, weight: np.ndarray, dtype: torch.dtype
) -> dict[str, np.ndarray]:
    """A layer's output, and the gradients of a weighted sum of it."""
    leaves = [torch.tensor(array, dtype=dtype).requires_grad_() for array in (x, gain, bias)]
    y = layer(*leaves)
    (y * torch.tensor(weight, dtype=dtype)).sum().backward()
    gradients = dict(zip(("x", "gain", "bias"), (leaf.grad for leaf in leaves), strict=True))
    return {"y": y.detach().numpy()} | {key: one.numpy() for key, one in gradients.items() if one is not None}


def of_batch_norm(kind: str, label: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Two batches in training, the second differentiated; then the second at inference."""
    mean, variance = torch.zeros(CHANNELS, dtype=dtype), torch.ones(CHANNELS, dtype=dtype)
    gain, bias = affine(label, (CHANNELS,))
    x, weight = inputs(label, kind), upstream(label, kind)
    functional.batch_norm(torch.tensor(inputs(f"{label} before", kind), dtype=dtype), mean, variance, training=True)
    found: dict[str, Any] = {}
    for mode in ("train", "inference"):

        def layer(x, gain, bias, training=mode == "train"):
            return functional.batch_norm(x, mean, variance, gain, bias, training=training)

        values = _differentiated(layer, x, gain, bias, weight, dtype)
        found |= {f"{mode}/{key}": array for key, array in values.items()}
    return found | {"mean": mean.numpy(), "variance": variance.numpy()}


def of_group_norm(case: str, label: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """As many groups as channels through PyTorch's instance norm, where there are positions."""
    kind, groups = GROUPS[case]
    gain, bias = affine(label, (CHANNELS,))

    def layer(x, gain, bias):
        if groups == CHANNELS:
            return functional.instance_norm(x, weight=gain, bias=bias)
        return functional.group_norm(x, groups, gain, bias)

    return _differentiated(layer, inputs(label, kind), gain, bias, upstream(label, kind), dtype)


def of_layer_norm(case: str, label: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    kind, axes = LAYERS[case]
    shape = SHAPES[kind][-axes:]
    gain, bias = affine(label, shape)

    def layer(x, gain, bias):
        return functional.layer_norm(x, shape, gain, bias)

    return _differentiated(layer, inputs(label, kind), gain, bias, upstream(label, kind), dtype)


def of_training(label: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """Gradient descent of a small network: losses, weights and running statistics, its outputs afterwards."""
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)).to(dtype)
    state = {key: torch.tensor(array, dtype=dtype) for key, array in weights(label).items()}
    missing = net.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and all("running" in key or "num" in key for key in missing.missing_keys)
    x, y = examples()
    signals, labels = torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=torch.int64)
    descent, losses = torch.optim.SGD(net.parameters(), RATE), []
    for step in range(STEPS):
        batch = slice(step * BATCH % len(x), step * BATCH % len(x) + BATCH)
        descent.zero_grad()
        loss = functional.cross_entropy(net(signals[batch]), labels[batch])
        loss.backward()
        descent.step()
        losses.append(loss.item())
    outputs = net.eval()(signals).detach().numpy()
    trained = {key: array.numpy() for key, array in net.state_dict().items() if "num" not in key}
    return {"losses": np.array(losses), "outputs": outputs} | trained


def golden(label: str = "golden", dtype: torch.dtype = torch.float64) -> dict[str, np.ndarray]:
    """Everything that the file holds."""
    made: dict[str, dict[str, np.ndarray]] = {f"batch {kind}": of_batch_norm(kind, label, dtype) for kind in SHAPES}
    made |= {f"group {case}": of_group_norm(case, label, dtype) for case in GROUPS}
    made |= {f"layer {case}": of_layer_norm(case, label, dtype) for case in LAYERS}
    made |= {"training": of_training(label, dtype)}
    return {f"{case}/{key}": array for case, arrays in made.items() for key, array in arrays.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savez_compressed(GOLDEN, torch=np.array(torch.__version__), **golden())  # pyright: ignore
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes, PyTorch {torch.__version__}")
