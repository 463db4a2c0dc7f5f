"""Microseconds per network and training step: Flyroom beside PyTorch eager, one network after another.

    python benchmarks/training.py [--rounds 2] [--json]

Protocol of both: MNIST-1D's shape (4000 signals of 40), contiguous batches of 100, cross-entropy, Adam at 1e-2,
float32. Every figure comes from a process of its own, so that no library's threads disturb another's; the processes
take turns, round after round. Before anything is timed, both sides must have the same losses from the same weights.
Flyroom imports JAX only after its process has been restricted to the cores that it is to use.

Work per step: 2 * 100 * (3 * all - first) operations, a multiply-add being two and a batch 100 signals. The backward
pass costs the forward pass twice, but nobody asks for the first layer's gradient by the signal. Multiply-adds a signal:
  linear  all = first = 400                                                                     0.16 M a step
  MLP     all = 4,000 + 10,000 + 1,000 = 15,000                           first = 4,000         8.20 M
  CNN     all = 19*25*5 + 10*25*75 + 5*25*75 + 1,250 = 31,750             first = 2,375        18.58 M
  GRU     all = 40*2*(18*1 + 18*6) + 4,800 = 14,880                       first = 1,440         8.64 M
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("mnist1d-linear", "mnist1d-mlp", "mnist1d-cnn", "mnist1d-gru")
MFLOP = {"mnist1d-linear": 0.16, "mnist1d-mlp": 8.20, "mnist1d-cnn": 18.58, "mnist1d-gru": 8.64}
# A hand-written C++ kernel, one thread, best of 1 and 100 networks, on an AMD Zen 5 core: another machine than this.
HAND_WRITTEN = {"mnist1d-mlp": 69, "mnist1d-cnn": 142, "mnist1d-gru": 169}
STEPS = {"mnist1d-linear": 4000, "mnist1d-mlp": 2000, "mnist1d-cnn": 600, "mnist1d-gru": 300}
TORCH_STEPS = {"mnist1d-linear": 800, "mnist1d-mlp": 600, "mnist1d-cnn": 200, "mnist1d-gru": 40}
BATCH, RATE, REPEATS = 100, 1e-2, 3


def signals():
    """4000 signals and labels, the same in every process."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.normal(size=(4000, 40)).astype(np.float32), random.integers(0, 10, 4000).astype(np.int32)


def fastest(run, network_steps: int) -> float:
    """Microseconds per network-step: the fastest of a few, after one that compiles or warms up."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) / network_steps * 1e6


def ours(variant: str) -> dict:
    """In a process of its own: this package, by `train_many`."""
    import jax
    import numpy as np

    from flyroom.losses import cross_entropy
    from flyroom.nets import convolution, gru
    from flyroom.nets.spec import parse
    from flyroom.train import Protocol, contiguous, devices, train_many

    names = NETWORKS
    if variant == "xla convolution":
        convolution.by_taps, names = convolution.by_xla, ("mnist1d-cnn",)
    if variant == "derived backward":
        gru.recurrence, names = lambda matrix, steps: gru._forward(matrix, steps)[0], ("mnist1d-gru",)
    x, y = signals()
    protocol, found = Protocol(cross_entropy), {}
    for name in names:
        steps = STEPS[name] // (4 if variant == "xla convolution" else 1)
        nets = [parse(name).init(jax.random.key(i)) for i in range(2 * len(devices()))]
        order = contiguous(len(x), BATCH, steps)
        found[name] = fastest(
            lambda nets=nets, order=order: train_many(nets, x, y, order, protocol, learning_rate=RATE),
            len(nets) * steps,
        )
    if variant == "one core":
        matrix = np.ones((1024, 1024), np.float32)
        product = jax.jit(lambda a: a @ a).lower(matrix).compile()
        matrix = jax.device_put(matrix)
        found["peak"] = 2 * 1024**3 / fastest(lambda: product(matrix).block_until_ready(), 1) / 1e3
    return found


def torch_network(name: str):
    """The benchmark networks as mnist1d's notebooks write them."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return x + self.inner(x)

    class GRU(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.linear = nn.GRU(1, 6, batch_first=True, bidirectional=True), nn.Linear(480, 10)

        def forward(self, x):
            start = torch.zeros(2, x.shape[0], 6)
            return self.linear(self.gru(x.view(-1, 40, 1), start)[0].reshape(-1, 480))

    def layer(inputs, kernel):
        return nn.Conv1d(inputs, 25, kernel, stride=2, padding=1)

    relu = nn.ReLU
    return {
        "mnist1d-linear": lambda: nn.Linear(40, 10),
        "mnist1d-mlp": lambda: nn.Sequential(
            nn.Linear(40, 100), relu(), Residual(nn.Sequential(nn.Linear(100, 100), relu())), nn.Linear(100, 10)
        ),
        "mnist1d-cnn": lambda: nn.Sequential(
            nn.Unflatten(1, (1, 40)), layer(1, 5), relu(), layer(25, 3), relu(), layer(25, 3), relu(),
            nn.Flatten(), nn.Linear(125, 10),
        ),
        "mnist1d-gru": GRU,
    }[name]()  # fmt: skip


def torch_train(net, x, y, steps: int, fused: bool) -> list:
    """The reference notebooks' loop."""
    import torch

    adam = torch.optim.Adam(net.parameters(), lr=RATE, fused=True if fused else None)
    criterion, losses, per_epoch = torch.nn.CrossEntropyLoss(), [], len(x) // BATCH
    for step in range(steps):
        first = step % per_epoch * BATCH
        adam.zero_grad()
        loss = criterion(net(x[first : first + BATCH]), y[first : first + BATCH])
        loss.backward()
        adam.step()
        losses.append(loss)
    return losses


def theirs(variant: str) -> dict:
    """In a process of its own: PyTorch eager."""
    import torch

    threads, optimiser = variant.split(", ")
    if threads == "1 thread":
        torch.set_num_threads(1)
    x, y = (torch.tensor(a) for a in signals())
    y, found = y.long(), {}
    for name in NETWORKS:
        net = torch_network(name)
        steps = TORCH_STEPS[name]
        found[name] = fastest(lambda net=net, steps=steps: torch_train(net, x, y, steps, optimiser == "fused"), steps)
    return found


def agreement() -> dict:
    """In a process of its own: the loss after ten steps of both sides from the same weights, by network."""
    import jax
    import jax.numpy as jnp
    import torch

    from flyroom.losses import cross_entropy
    from flyroom.nets.spec import parse
    from flyroom.train import Protocol, contiguous, train_many

    x, y = signals()
    found = {}
    for name in NETWORKS:
        net = torch_network(name)
        tree = jax.tree.structure(parse(name).init(jax.random.key(0)))
        mine = tree.unflatten([jnp.asarray(parameter.detach().numpy().copy()) for parameter in net.parameters()])
        losses = torch_train(net, torch.tensor(x), torch.tensor(y).long(), 11, False)
        order = contiguous(len(x), BATCH, 11)
        (trained,) = train_many([mine], x, y, order, Protocol(cross_entropy), learning_rate=RATE)
        found[name] = [float(trained.losses[10]), losses[10].item()]
    return found


def measure(part: str, variant: str, cores: int | None) -> dict:
    """Run one part of this file in a process of its own, restricted to so many cores."""
    words = [sys.executable, __file__, "--part", part, "--variant", variant, "--cores", str(cores or 0)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(f"the part {part!r} ({variant}) failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def processor() -> str:
    """The processor's name as the system gives it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of Python and of the packages that were timed."""
    found = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", "numpy", "torch"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def all_times(rounds: int, with_torch: bool) -> dict[str, dict[str, list[float]]]:
    """Figures by column and network, one a round; the columns take turns."""
    parts = [("ours", "one core", 1), ("ours", "all cores", None)]
    if with_torch:
        parts += [
            ("theirs", f"{threads}, {adam}", None)
            for threads in ("1 thread", "own threads")
            for adam in ("default", "fused")
        ]
    times: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        extra = [("ours", "xla convolution", 1), ("ours", "derived backward", 1)] if number == 0 else []
        for part, variant, limit in parts + extra:
            print(f"round {number + 1} of {rounds}: {part}, {variant}", file=sys.stderr, flush=True)
            for name, value in measure(part, variant, limit).items():
                times.setdefault(variant, {}).setdefault(name, []).append(value)
    return times


def rows(times: dict, with_torch: bool) -> list[dict]:
    """One row a network: minima over the rounds, medians beside them, ratios of minima."""
    peak, table = max(times["one core"]["peak"]), []
    for name in NETWORKS:
        one, every = times["one core"][name], times["all cores"][name]
        row = {"network": name, "one_core": min(one), "one_core_median": statistics.median(one)}
        row |= {"all_cores": min(every), "all_cores_median": statistics.median(every), "scaling": min(one) / min(every)}
        for adam in ("default", "fused") if with_torch else ():
            candidates = [times[f"{threads}, {adam}"][name] for threads in ("1 thread", "own threads")]
            better = min(candidates, key=min)
            row |= {f"torch_{adam}": min(better), f"torch_{adam}_median": statistics.median(better)}
            row[f"torch_{adam}_threads"] = "1" if better is candidates[0] else "own"
            row[f"ratio_{adam}"] = min(better) / min(one)
        speed = MFLOP[name] / min(one) * 1e3
        row |= {"gflop_per_s": speed, "of_peak": speed / peak, "hand_written": HAND_WRITTEN.get(name)}
        table.append(row)
    return table


def show(report: dict) -> None:
    """The table as text."""
    print(
        f"{report['processor']}, {report['cores']} cores; "
        + ", ".join(f"{k} {v}" for k, v in report["versions"].items())
    )
    print(f"float32 matmul peak, 1024^3, one core: {report['peak_gflop_per_s']:.0f} GFLOP/s\n")
    print("us per network-step, minimum (median) of the rounds; the ratio is PyTorch over ours on one core")
    head = (
        "network",
        "one core",
        "all cores",
        "scaling",
        "torch Adam",
        "ratio",
        "torch fused",
        "ratio",
        "GFLOP/s",
        "of peak",
        "C++ *",
    )
    print(("{:<15}" + "{:>17}" * 2 + "{:>8}" + ("{:>23}" + "{:>7}") * 2 + "{:>8}" * 3).format(*head))
    for row in report["rows"]:
        cells = [row["network"]]
        cells += [f"{row[key]:.1f} ({row[key + '_median']:.1f})" for key in ("one_core", "all_cores")]
        cells.append(f"{row['scaling']:.2f}x")
        for adam in ("default", "fused"):
            there = f"torch_{adam}" in row
            cells.append(
                f"{row[f'torch_{adam}']:.0f} ({row[f'torch_{adam}_median']:.0f}), {row[f'torch_{adam}_threads']}"
                if there
                else "-"
            )
            cells.append(f"{row[f'ratio_{adam}']:.1f}x" if there else "-")
        cells += [f"{row['gflop_per_s']:.1f}", f"{100 * row['of_peak']:.0f} %", str(row["hand_written"] or "-")]
        print(("{:<15}" + "{:>17}" * 2 + "{:>8}" + ("{:>23}" + "{:>7}") * 2 + "{:>8}" * 3).format(*cells))
    print("* published figures of a hand-written kernel, one thread of an AMD Zen 5 core: another machine")
    print("\nWhat the choices in convolution.py and gru.py rest on, us per network-step on one core:")
    for choice in report["choices"]:
        other = f"by {choice['other']} {choice['other_us']:.0f} ({choice['ratio']:.1f}x)"
        print(f"  {choice['network']}: {choice['chosen']:.0f}, {other}")


def main() -> None:
    """Time all parts in processes of their own and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    for hidden in ("--part", "--variant", "--cores"):  # for the processes that this one starts
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        if int(given.cores) and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(given.cores)])
        parts = {"ours": ours, "theirs": theirs, "agreement": lambda _: agreement()}
        print(json.dumps(parts[given.part](given.variant)))
        return
    with_torch = versions()["torch"] != "absent"
    if with_torch:
        agreed = measure("agreement", "", None)
        for name, (mine, other) in agreed.items():
            if not abs(mine - other) < 1e-5 * max(1, abs(other)):
                sys.exit(
                    f"{name}: after ten steps the losses are {mine} (ours) and {other} (PyTorch); nothing was timed"
                )
    else:
        print(
            "PyTorch is not installed: only our columns follow. pip install torch==2.13.0 for the others",
            file=sys.stderr,
        )
        agreed = {}
    times = all_times(given.rounds, with_torch)
    choices = [
        {"network": name, "other": other, "chosen": min(times["one core"][name]), "other_us": min(times[other][name])}
        for name, other in (("mnist1d-cnn", "xla convolution"), ("mnist1d-gru", "derived backward"))
    ]
    report = {
        "processor": processor(), "cores": cores(), "versions": versions(), "rounds": given.rounds,
        "peak_gflop_per_s": max(times["one core"]["peak"]), "losses_after_ten_steps": agreed,
        "rows": rows(times, with_torch), "choices": [c | {"ratio": c["other_us"] / c["chosen"]} for c in choices],
    }  # fmt: skip
    if given.json:
        print(json.dumps(report, indent=2))
    else:
        show(report)


if __name__ == "__main__":
    main()
