"""Training ResNet-18 on CIFAR-10-shaped random images: images a second, and the share of the device's matmul peak.

    python benchmarks/images.py [--batch 512] [--steps 20] [--precision bfloat16] [--json]

On the device that JAX finds first; beside it PyTorch where it is installed, channels last, the same precision, with
`torch.compile` on a GPU. The peak is measured in the same run: the best of several square matrix products in that
precision. A step is forward, backward and update; multiply-adds are the network's own (`flyroom net resnet18:cifar`),
three times over, since the backward pass makes two products for each of the forward pass.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SHAPE, CLASSES = (3, 32, 32), 10


def peak(precision: str, size: int) -> float:
    """Floating-point operations a second of a square matrix product on JAX's first device."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((size, size), precision)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    times = []
    for _ in range(10):
        start = time.perf_counter()
        product(a).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def ours(batch: int, steps: int, precision: str) -> dict:
    """Median seconds a step of `flyroom.fit`, compiled before, and what compiling took."""
    import equinox as eqx
    import jax
    import numpy as np

    from flyroom import fit
    from flyroom.nets.norms import AtInference
    from flyroom.nets.resnet import ResNet
    from flyroom.recipes import RECIPES

    recipe = RECIPES["cifar-10"]
    net = ResNet.init(jax.random.key(0), 18, classes=CLASSES, stem="cifar")
    arrays, rest = eqx.partition(AtInference(net, net.begin()), eqx.is_array)
    transformation = fit.optimiser(recipe, 1000)
    carried = (arrays, transformation.init(eqx.filter(arrays, eqx.is_inexact_array)))
    random = np.random.default_rng(0)
    x = random.standard_normal((4 * batch, *SHAPE)).astype(np.float32)
    shared = jax.device_put((x, random.integers(0, CLASSES, 4 * batch).astype(np.int32)))
    epoch = fit.compiled_epoch(recipe, transformation, rest, precision, jax.devices()[:1])
    taken = np.stack([random.permutation(4 * batch)[:batch] for _ in range(steps)]).astype(np.int32)

    def run() -> float:
        start = time.perf_counter()
        jax.block_until_ready(epoch(carried, shared, taken, jax.random.key(1)))
        return time.perf_counter() - start

    compiling, times = run(), [run() for _ in range(3)]
    return {"step_s": statistics.median(times) / steps, "compile_s": compiling - statistics.median(times)}


def peer_network() -> Any:
    """ResNet-18 for small images in PyTorch, from He et al. (2016): 3x3 stem, post-activation, 1x1 projections."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.norms = nn.ModuleList([nn.BatchNorm2d(outputs) for _ in range(2)])
            project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            self.skip = nn.Identity() if (inputs, stride) == (outputs, 1) else project

        def forward(self, x: Any) -> Any:
            hidden = self.norms[0](self.first(x)).relu()
            return (self.norms[1](self.second(hidden)) + self.skip(x)).relu()

    blocks, inputs = [], 64
    for stage in range(4):
        for place in range(2):
            blocks.append(Block(inputs, 64 << stage, 2 if stage and not place else 1))
            inputs = 64 << stage
    stem = (nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


def theirs(batch: int, steps: int, precision: str) -> dict | None:
    """The same in PyTorch: the blocks of torchvision's ResNet-18 with the small stem, SGD with Nesterov momentum."""
    try:
        import torch
    except ImportError:
        return None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = getattr(torch, precision)
    net = peer_network().to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    step_net: Callable = torch.compile(net) if device == "cuda" else net
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    x = torch.randn(batch, *SHAPE, device=device).to(memory_format=torch.channels_last)
    y = torch.randint(0, CLASSES, (batch,), device=device)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device, kind, enabled=precision != "float32"):
            loss = torch.nn.functional.cross_entropy(step_net(x), y)
        loss.backward()
        optimiser.step()

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    start = time.perf_counter()
    for _ in range(3):
        step()
    wait()
    warm, start = time.perf_counter() - start, time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return {"step_s": (time.perf_counter() - start) / steps, "compile_s": warm}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--peak-size", type=int, default=8192, help="rows of the matrices that the peak is taken with")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    import equinox as eqx
    import jax

    from flyroom.measure.architecture import architecture
    from flyroom.nets.norms import AtInference
    from flyroom.nets.resnet import ResNet

    def init(key: jax.Array) -> AtInference:
        net = ResNet.init(key, 18, classes=CLASSES, stem="cifar")
        return AtInference(net, net.begin())

    work = 6 * architecture(eqx.filter_eval_shape(init, jax.random.key(0)), SHAPE).multiply_adds * given.batch
    top = peak(given.precision, given.peak_size)
    rows = {"Flyroom": ours(given.batch, given.steps, given.precision)}
    peer = theirs(given.batch, given.steps, given.precision)
    rows |= {} if peer is None else {"PyTorch": peer}
    for row in rows.values():
        row |= {"images_per_s": given.batch / row["step_s"], "of_peak": work / row["step_s"] / top}
    device = jax.devices()[0]
    if given.json:
        print(json.dumps({"device": str(device.device_kind), "peak": top, **rows}, indent=1))
        return 0
    print(
        f"{device.platform} {device.device_kind}, batch {given.batch}, {given.precision}; peak {top / 1e12:.3g} TFLOP/s"
    )
    print("\n| | images a second | of the peak | first steps, s |\n|---|---:|---:|---:|")
    for name, row in rows.items():
        print(f"| {name} | {row['images_per_s']:,.0f} | {row['of_peak']:.0%} | {row['compile_s']:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
