"""Makes convolution.npz: what PyTorch computes with the convolutions and poolings of tests/convolution_cases.py.

From the folder `tests`, with PyTorch installed: python -m golden.make_parts_convolution
"""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from convolution_cases import CONVOLUTIONS, GOLDEN, POOLINGS, Case, inputs, upstream
from torch.nn import functional

MODES = {"mirror": "reflect", "duplicate": "replicate", "zero": "constant"}


def pairs(padding: Any, axes: int) -> list[tuple[int, int]]:
    """(before, after) for each axis, from the forms that the cases use."""
    if isinstance(padding, int):
        return [(padding, padding)] * axes
    return [padding] if axes == 1 else list(padding)


def convolved(case: Case, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """PyTorch's own "same"; other padding by `functional.pad`, which takes the last axis first."""
    options = dict(case.options)
    padding, mode = options.pop("padding", 0), str(options.pop("mode", "zero"))
    axes = weight.ndim - 2
    function = functional.conv1d if axes == 1 else functional.conv2d
    if padding == "same" and mode == "zero":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an even kernel costs a copy
            return function(x, weight, bias, padding="same", **options)
    if padding == "same":
        kind: Any = torch.nn.Conv1d if axes == 1 else torch.nn.Conv2d
        outputs, inputs, *kernel = weight.shape
        module = kind(inputs, outputs, kernel, padding="same", padding_mode=mode, **options)
        return torch.func.functional_call(module, {"weight": weight, "bias": bias}, (x,))
    flat = [number for pair in reversed(pairs(padding, axes)) for number in pair]
    return function(functional.pad(x, flat, MODES.get(mode, mode)), weight, bias, **options)


def pooled(name: str, case: Case, x: torch.Tensor) -> torch.Tensor:
    """PyTorch's pooling of the kind that the name begins with."""
    kind, axes, options = name.partition(",")[0], x.ndim - 2, dict(case.options)
    if kind == "global":
        return (functional.adaptive_avg_pool1d if axes == 1 else functional.adaptive_avg_pool2d)(x, 1).flatten(1)
    window, stride = options.pop("window"), options.pop("stride", None)
    if kind == "l2":
        return (functional.lp_pool1d if axes == 1 else functional.lp_pool2d)(x, 2.0, window, stride)
    padding = [before for before, _ in pairs(options.pop("padding", 0), axes)]  # PyTorch's is the same on both sides
    if kind == "max":
        return (functional.max_pool1d if axes == 1 else functional.max_pool2d)(x, window, stride, padding)
    count = options.pop("count_padding", True)
    if axes == 1:
        return functional.avg_pool1d(x, window, stride, padding, count_include_pad=count)
    return functional.avg_pool2d(x, window, stride, padding, count_include_pad=count)


def theirs(name: str, case: Case, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Output and gradients by each of `given`, in the precision of `given`."""
    arrays = {key: torch.tensor(value).requires_grad_() for key, value in given.items()}
    y = convolved(case, **arrays) if case.weight else pooled(name, case, arrays["x"])
    (y * torch.tensor(upstream(name, tuple(y.shape)), dtype=y.dtype)).sum().backward()
    found = {"output": y.detach().numpy()}
    for key, array in arrays.items():
        assert array.grad is not None
        found[f"gradient {key}"] = array.grad.numpy()
    return found


def golden() -> dict[str, np.ndarray]:
    """Everything that the file holds: computed in float64, kept in float32."""
    torch.set_num_threads(1)
    found = {"torch": np.array(torch.__version__)}
    for name, case in {**CONVOLUTIONS, **POOLINGS}.items():
        given = {key: value.astype(np.float64) for key, value in inputs(name, case).items()}
        found |= {f"{name}/{key}": a.astype(np.float32) for key, a in theirs(name, case, given).items()}
    return found


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden())  # pyright: ignore
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes, PyTorch {torch.__version__}")
