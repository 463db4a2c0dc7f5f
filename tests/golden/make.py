"""Makes pytorch.npz: what PyTorch computes with the benchmark networks, the activations and the poolings.

From the folder `tests`, with PyTorch installed: python -m golden.make
"""

from collections.abc import Callable

import numpy as np
import torch
from pytorch_layout import BATCH, GOLDEN, NAMES, RATE, directions, draw, examples, weights
from torch import nn
from torch.nn import functional

ACTIVATIONS: dict[str, Callable] = {
    "elu": functional.elu,
    "erf": torch.erf,
    "gelu": functional.gelu,
    "hard_tanh": functional.hardtanh,
    "identity": lambda x: x + 0,
    "leaky_relu": functional.leaky_relu,
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "silu": functional.silu,
    "sin": torch.sin,
    "softplus": functional.softplus,
    "square": torch.square,
    "swish": functional.silu,
    "tanh": torch.tanh,
}
POOLINGS: dict[str, Callable] = {
    "max": functional.max_pool1d,
    "mean": functional.avg_pool1d,
    "l2": lambda x, size: functional.lp_pool1d(x, 2.0, size),
}


class ResidualMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1, self.linear2, self.linear3 = nn.Linear(40, 100), nn.Linear(100, 100), nn.Linear(100, 10)

    def forward(self, x):
        hidden = self.linear1(x).relu()
        hidden = hidden + self.linear2(hidden).relu()
        return self.linear3(hidden)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(40, 10)

    def forward(self, x):
        return self.linear(x)


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(1, 25, 5, stride=2, padding=1)
        self.conv2 = nn.Conv1d(25, 25, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(25, 25, 3, stride=2, padding=1)
        self.linear = nn.Linear(125, 10)

    def forward(self, x):
        hidden = x[:, None]
        for layer in (self.conv1, self.conv2, self.conv3):
            hidden = layer(hidden).relu()
        return self.linear(hidden.flatten(1))


class GRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(input_size=1, hidden_size=6, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(480, 10)

    def forward(self, x):
        states, _ = self.gru(x[:, :, None])  # from h_0 = 0
        return self.linear(states.flatten(1))


CLASSES = {"mnist1d-linear": Linear, "mnist1d-mlp": ResidualMLP, "mnist1d-cnn": CNN, "mnist1d-gru": GRU}


def network(name: str, state: dict[str, np.ndarray], dtype: torch.dtype) -> nn.Module:
    """PyTorch's network with these weights; every weight must be named."""
    net = CLASSES[name]().to(dtype)
    net.load_state_dict({key: torch.tensor(array, dtype=dtype) for key, array in state.items()}, strict=True)
    return net


def gradient(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, np.ndarray]:
    """The gradient of the mean cross-entropy, by name."""
    net.zero_grad()
    functional.cross_entropy(net(x), y).backward()
    return {key: parameter.grad.numpy().copy() for key, parameter in net.named_parameters()}  # pyright: ignore


def train(net: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> np.ndarray:
    """Losses of Adam at its defaults on batches in the order of the data, round and round; trains `net` in place."""
    adam, losses, per_epoch = torch.optim.Adam(net.parameters(), RATE), [], len(x) // BATCH
    for step in range(steps):
        batch = slice(step % per_epoch * BATCH, (step % per_epoch + 1) * BATCH)
        adam.zero_grad()
        loss = functional.cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return np.array(losses)


def of_network(name: str) -> dict[str, np.ndarray]:
    """All golden arrays of one benchmark network."""
    signals, labels = examples()
    y, found = torch.tensor(labels, dtype=torch.int64), {}
    for dtype, bits in ((torch.float32, "32"), (torch.float64, "64")):
        x = torch.tensor(signals, dtype=dtype)
        net = network(name, weights(name), dtype)
        found[f"outputs{bits}"] = net(x[:BATCH]).detach().numpy()
        gradients = gradient(net, x[:BATCH], y[:BATCH])
        if bits == "32":
            found |= {f"gradient32/{key}": array for key, array in gradients.items()}
            found["losses32"] = train(net, x, y, 10)
        else:
            found |= {f"gradient64/{key}": directions(key, a.shape) @ a.ravel() for key, a in gradients.items()}
            found["losses64"] = train(net, x, y, 200)
            found["trained64"] = net(x[:BATCH]).detach().numpy()
            trained = {key: array.numpy() for key, array in net.state_dict().items()}
            found |= {f"weights64/{key}": directions(key, a.shape) @ a.ravel() for key, a in trained.items()}
    return {f"{name}/{key}": array for key, array in found.items()}


def of_functions() -> dict[str, np.ndarray]:
    """Activations and poolings in float64: values, and gradients of a weighted sum of them."""
    found: dict[str, np.ndarray] = {}
    points = torch.cat([torch.linspace(-6, 6, 120, dtype=torch.float64), torch.tensor([-30.0, 30.0])])
    found["activation/x"] = points.numpy()
    for name, function in ACTIVATIONS.items():
        x = points.clone().requires_grad_()
        value = function(x)
        value.sum().backward()
        found[f"activation/{name}"] = np.stack([value.detach().numpy(), x.grad.numpy()])  # pyright: ignore
    for name, function in POOLINGS.items():
        x = torch.tensor(draw("pooling", (4, 3, 11), 1.0), dtype=torch.float64).requires_grad_()  # batch, channel, ...
        value = function(x, 3)
        (value * torch.tensor(draw("upstream", (4, 3, 3), 1.0))).sum().backward()
        found[f"pooling/{name}"] = value.detach().numpy()
        found[f"pooling gradient/{name}"] = x.grad.numpy()  # pyright: ignore
    return found


def golden() -> dict[str, np.ndarray]:
    """Everything that the file holds."""
    torch.set_num_threads(1)
    arrays = {"torch": np.array(torch.__version__)} | of_functions()
    for name in NAMES:
        arrays |= of_network(name)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(GOLDEN, **golden())  # pyright: ignore
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes, PyTorch {torch.__version__}")
