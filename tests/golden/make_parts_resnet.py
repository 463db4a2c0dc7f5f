"""Makes resnet.npz: what PyTorch computes with small ResNets and with single blocks of each kind.

From the folder `tests`, with PyTorch installed: python -m golden.make_parts_resnet
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from resnet_layout import BLOCKS, CLASSES, GOLDEN, NETS, WIDTH, images, state, summary, upstream
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    """Two or three convolutions and a skip connection, in one of three orders."""

    def __init__(self, inputs, width, stride, bottleneck, version, shortcut, kind="post"):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        first, middle = (stride, 1) if version == "v1" else (1, stride)
        plan = (
            [(inputs, width, 1, first), (width, width, 3, middle), (width, outputs, 1, 1)]
            if bottleneck
            else [(inputs, width, 3, stride), (width, width, 3, 1)]
        )
        self.count, self.kind, self.stride, self.added = len(plan), kind, stride, outputs - inputs
        for i, (before, after, kernel, step) in enumerate(plan, 1):
            setattr(self, f"conv{i}", nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(before if kind == "pre" else after))
        self.downsample: Any = None
        if (stride > 1 or inputs != outputs) and shortcut == "B":
            layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 1, stride, bias=False)]
            self.downsample = nn.Sequential(*layers, *([] if kind == "pre" else [nn.BatchNorm2d(outputs)]))

    def skip(self, x):
        if self.downsample is not None:
            return self.downsample(x)
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))

    def forward(self, x):
        convolutions = [getattr(self, f"conv{i}") for i in range(1, self.count + 1)]
        norms = [getattr(self, f"bn{i}") for i in range(1, self.count + 1)]
        if self.kind == "pre":
            hidden = norms[0](x).relu()
            changes = self.downsample is not None or self.stride > 1 or self.added > 0
            beside = self.skip(hidden) if changes else x
            hidden = convolutions[0](hidden)
            for norm, convolution in zip(norms[1:], convolutions[1:], strict=True):
                hidden = convolution(norm(hidden).relu())
            return hidden + beside
        hidden = x
        for norm, convolution in zip(norms[:-1], convolutions[:-1], strict=True):
            hidden = norm(convolution(hidden)).relu()
        hidden = norms[-1](convolutions[-1](hidden))
        if self.kind == "lecture":
            return hidden.relu() + self.skip(x)
        return (hidden + self.skip(x)).relu()


class ResNet(nn.Module):
    """A ResNet with the names of torchvision's, of any number of stages."""

    def __init__(self, bottleneck, stem, version, shortcut, counts):
        super().__init__()
        imagenet = stem == "imagenet"
        self.conv1 = nn.Conv2d(3, WIDTH, 7 if imagenet else 3, 2 if imagenet else 1, 3 if imagenet else 1, bias=False)
        self.bn1, self.stages = nn.BatchNorm2d(WIDTH), len(counts)
        self.pool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        inputs = WIDTH
        for stage, count in enumerate(counts):
            width, blocks = WIDTH * 2**stage, []
            for place in range(count):
                stride = 2 if stage and place == 0 else 1
                blocks.append(Block(inputs, width, stride, bottleneck, version, shortcut))
                inputs = width * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        hidden = self.pool(self.bn1(self.conv1(x)).relu())
        for stage in range(self.stages):
            hidden = getattr(self, f"layer{stage + 1}")(hidden)
        return self.fc(hidden.mean((2, 3)))


def module(name: str) -> nn.Module:
    """PyTorch's network or block of that name."""
    if name in NETS:
        case = NETS[name]
        return ResNet(case.bottleneck, case.stem, case.version, case.shortcut, case.counts)
    form = BLOCKS[name]
    return Block(form.inputs, form.width, form.stride, form.bottleneck, form.version, form.shortcut, form.kind)


def theirs(name: str, given: Mapping[str, np.ndarray], x: np.ndarray, dtype: torch.dtype) -> dict[str, dict[str, Any]]:
    """Outputs, running statistics and gradients in training and at inference, from these weights and statistics."""
    found: dict[str, dict[str, Any]] = {}
    for mode in ("train", "inference"):
        net = module(name).to(dtype).train(mode == "train")
        net.load_state_dict({key: torch.tensor(array, dtype=dtype) for key, array in given.items()}, strict=True)
        batch = torch.tensor(x, dtype=dtype).requires_grad_()
        outputs = net(batch)
        (outputs * torch.tensor(upstream(tuple(outputs.shape)), dtype=dtype)).sum().backward()
        gradients = {key: one.grad.numpy() for key, one in net.named_parameters()}  # pyright: ignore
        found[mode] = {
            "outputs": outputs.detach().numpy(),
            "running": {key: one.numpy().copy() for key, one in net.named_buffers() if "running_" in key},
            "gradients": gradients | {"x": batch.grad.numpy()},  # pyright: ignore
        }
    return found


def of_case(name: str) -> dict[str, np.ndarray]:
    """The golden arrays of one case, in float64."""
    found = summary(theirs(name, state(name), images(name), torch.float64))
    return {f"{name}/{key}": array for key, array in found.items()}


def golden() -> dict[str, np.ndarray]:
    """Everything that the file holds."""
    torch.set_num_threads(1)
    arrays = {"torch": np.array(torch.__version__)}
    for name in (*NETS, *BLOCKS):
        arrays |= of_case(name)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden())  # pyright: ignore
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes, PyTorch {torch.__version__}")
