"""PyTorch modules that are converted in tests: functions, recurrent layers, a small ResNet. Needs PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class As(nn.Module):
    """A function as a module, with submodules, parameters and buffers where given."""

    def __init__(self, function, buffers=None, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, torch.Tensor) else part)
        for name, tensor in (buffers or {}).items():
            self.register_buffer(name, tensor)

    def forward(self, x):
        return self.function(self, x)


def drawn(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def shaken(module, seed=0):
    """The module in eval mode with weights, biases and statistics of its own, from no global generator."""
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point():
                values = torch.tensor(random.uniform(-1, 1, tensor.shape))
                tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    return module.eval()


class Recurrent(nn.Module):
    """A recurrent layer and what is taken of it: its states, or those it ends with."""

    def __init__(self, layer, ends=False):
        super().__init__()
        self.layer, self.ends = layer, ends

    def forward(self, x):
        x = x if self.layer.batch_first else x.transpose(0, 1)
        states, ends = self.layer(x)
        if self.ends:
            return ends.transpose(0, 1)
        return states if self.layer.batch_first else states.transpose(0, 1)


class Basic(nn.Module):
    """A residual block as it is usually written: in place, with one ReLU used twice."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    """Of the pre-activated kind."""

    def __init__(self, inputs, inner, stride):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(inputs), nn.BatchNorm2d(inner), nn.BatchNorm2d(inner)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(inputs, inner, 1), nn.Conv2d(inner, inner, 3, stride, 1), nn.Conv2d(inner, 4 * inner, 1)]
        )
        self.shortcut = nn.Conv2d(inputs, 4 * inner, 1, stride, bias=False)

    def forward(self, x):
        first = F.relu(self.norms[0](x))
        hidden = first
        for i, convolution in enumerate(self.convolutions):
            hidden = convolution(hidden if i == 0 else F.relu(self.norms[i](hidden)))
        return hidden + self.shortcut(first)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        self.layer1 = nn.Sequential(Basic(4, 4, 1), Basic(4, 6, 2))
        self.layer2 = Bottleneck(6, 2, 2)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.stem(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))
