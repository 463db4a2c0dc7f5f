"""Makes recurrent.npz: what PyTorch computes with the layers and losses of tests/recurrent_cases.py, in float64.

From the folder `tests`, with PyTorch installed: python -m golden.make_parts_recurrent
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from recurrent_cases import (
    CASES,
    CLASSES,
    GOLDEN,
    LABELS,
    LOSSES,
    NETWORKS,
    POSITIONS,
    SIZES,
    SLOPES,
    TARGETS,
    Arrays,
    Case,
    given,
    logits,
    prelu_given,
    upstream,
)
from torch import nn
from torch.nn import functional


def module(case: Case) -> nn.Module:
    """PyTorch's layer."""
    options: dict[str, Any] = {"batch_first": True, "bidirectional": case.bidirectional, "bias": case.bias}
    if case.kind == "gru":
        return nn.GRU(case.inputs, case.hidden, **options)
    return nn.RNN(case.inputs, case.hidden, nonlinearity=case.nonlinearity, **options)


class Network(nn.Module):
    """A recurrent layer on a signal of one channel, and a linear layer on its states at all positions."""

    def __init__(self, case: Case):
        super().__init__()
        self.rnn = module(case)
        self.linear = nn.Linear((1 + case.bidirectional) * case.hidden * POSITIONS, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.rnn(x[:, :, None])[0].flatten(1))


def with_gradients(name: str, function: Callable[[dict[str, torch.Tensor]], torch.Tensor], arrays: Arrays) -> Arrays:
    """Output, and the gradient of its weighted sum by each of the arrays."""
    tensors = {key: torch.tensor(value).requires_grad_() for key, value in arrays.items()}
    outputs = function(tensors)
    (outputs * torch.tensor(upstream(name, tuple(outputs.shape)))).sum().backward()
    found = {"output": outputs.detach().numpy()}
    for key, tensor in tensors.items():
        assert tensor.grad is not None
        found[f"gradient {key}"] = tensor.grad.numpy()
    return found


def theirs(name: str, arrays: Arrays) -> Arrays:
    """PyTorch's output and gradients for a recurrent case."""

    def applied(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        state = {key: tensor for key, tensor in tensors.items() if key != "x"}
        if name in NETWORKS:
            named = {key if key.startswith("linear") else f"rnn.{key}": tensor for key, tensor in state.items()}
            net = Network(NETWORKS[name]).to(tensors["x"].dtype)
            assert set(named) == set(net.state_dict())
            return torch.func.functional_call(net, named, (tensors["x"],))
        layer = module(CASES[name]).to(tensors["x"].dtype)
        assert set(state) == set(layer.state_dict())
        return torch.func.functional_call(layer, state, (tensors["x"],))[0]

    return with_gradients(name, applied, arrays)


def their_prelu(name: str, arrays: Arrays) -> Arrays:
    """PyTorch's parametric ReLU."""
    return with_gradients(name, lambda tensors: functional.prelu(tensors["x"], tensors["slope"]), arrays)


def _binary(z: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    # PyTorch has no smoothing for this loss: the targets are given smoothed.
    targets = torch.tensor(TARGETS, dtype=z.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(z, targets)


THEIR_LOSSES: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "cross-entropy": lambda z: functional.cross_entropy(z, torch.tensor(LABELS)),
    "cross-entropy, smoothed": lambda z: functional.cross_entropy(z, torch.tensor(LABELS), label_smoothing=0.1),
    "binary cross-entropy": _binary,
    "binary cross-entropy, smoothed": lambda z: _binary(z, 0.1),
    "squared error": lambda z: functional.mse_loss(z, torch.tensor(TARGETS, dtype=z.dtype)),
}


def their_loss(name: str, size: float) -> Arrays:
    """The loss and its gradient by the logits, in float64."""
    z = torch.tensor(logits(size), dtype=torch.float64).requires_grad_()
    value = THEIR_LOSSES[name](z)
    value.backward()
    assert z.grad is not None
    return {"value": value.detach().numpy(), "gradient": z.grad.numpy()}


def golden() -> Arrays:
    """Everything that the file holds."""
    torch.set_num_threads(1)
    found = {"torch": np.array(torch.__version__)}
    for name in {**CASES, **NETWORKS}:
        found |= {f"{name}/{key}": array for key, array in theirs(name, given(name)).items()}
    for name in SLOPES:
        found |= {f"{name}/{key}": array for key, array in their_prelu(name, prelu_given(name)).items()}
    for name in LOSSES:
        for size in SIZES:
            found |= {f"{name} {size:g}/{key}": array for key, array in their_loss(name, size).items()}
    return found


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden())  # pyright: ignore
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes, PyTorch {torch.__version__}")
