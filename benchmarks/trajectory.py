"""Certified lengths of paths: seconds, widths, and what the peers give in the same run.

    python benchmarks/trajectory.py [--json] [--sweeps] [--peers]

Every case is timed after one run that loads everything; seconds are the least of three. The share of the peak is that
of the matrix products which no method can do without (each layer once for every piece and Taylor coefficient), at the
speed of a large product measured in the same run. `--peers` needs `eclipse-nn`, `immrax` and `torch==2.13.0` beside
Flyroom; auto_LiRPA is not on the package index in a version that installs, so that its figures are quoted in the docs.
`--sweeps` measures width against pieces, and cost against depth and width; `--svg FILE` draws both as well.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CIRCLE = "circle:seed=0,radius=8"
TANH = "tanh?seed=0&weight_std=1.5&bias_std=0.3"
RELU = "relu?seed=0&weight_std=1.4142135623730951&bias_std=0.1"


def mlp(width: int, layers: int, rest: str, outputs: int | None = None) -> str:
    """A network with so many hidden layers of one width."""
    return "mlp:" + "-".join([str(width)] * (layers + 1) + [str(outputs or width)]) + ":" + rest


# name, network, path, relative tolerance, layers, seconds asked for
CASES = (
    ("tanh 6x64, circle", mlp(64, 6, TANH), CIRCLE, 1e-3, "last", 0.2),
    ("tanh 6x64, circle", mlp(64, 6, TANH), CIRCLE, 1e-6, "last", 0.5),
    ("tanh 12x64, circle", mlp(64, 12, TANH), CIRCLE, 1e-3, "last", 1.5),
    ("tanh 24x64, 1/16 of the circle", mlp(64, 24, TANH), "arc:seed=0,radius=8,turn=0.0625", 1e-6, "last", 20.0),
    ("tanh 6x256, circle", mlp(256, 6, TANH), CIRCLE, 1e-3, "last", 1.5),
    ("ReLU 6x64, line", mlp(64, 6, RELU), "line:seed=0", 1e-6, "last", 0.05),
    ("ReLU 20x128, line", mlp(128, 20, RELU, 10), "line:seed=0", 1e-6, "last", 5.0),
    ("squares 6x64 (degree 64), line", "quadratic:" + "-".join(["64"] * 7) + "-10?seed=0&weight_std=0.6&bias_std=0.1",
     "line:seed=0", 1e-8, "last", 0.2),
    ("MNIST-1D CNN, two digits, every layer", "mnist1d-cnn?seed=0", "data:mnist1d/0,1", 1e-3, "all", 1.0),
)  # fmt: skip


def opened(net: str, path: str) -> tuple[Any, Any]:
    """The graph of a network and a path through its inputs."""
    import jax

    from flyroom.measure import paths
    from flyroom.nets.reader import read
    from flyroom.nets.spec import parse

    spec = parse(net)
    assert spec.shape is not None
    return read(spec.init(jax.random.key(spec.seed or 0)), spec.shape), paths.parse(path, spec.shape)


def best(function: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    """The least seconds of several calls after a first one, and what the last returned."""
    found, seconds = function(), []
    for _ in range(times):
        start = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def peak() -> float:
    """Floating-point operations a second of a large product in NumPy."""
    import numpy as np

    a = np.ones((2048, 2048))
    return 2 * 2048**3 / best(lambda: a @ a)[0]


def products(graph: Any, found: Any) -> float:
    """Operations of each dense layer once for every last piece and coefficient; layers that are cut later see fewer."""
    import numpy as np

    sizes = [np.size(node.weights["weight"]) for node in graph.nodes if node.op == "dense"]
    return 2.0 * sum(sizes) * (found.order + 1) * found.layers[-1].pieces


def case(name: str, net: str, path: str, tolerance: float, layers: str, asked: float, most: float) -> dict:
    """One row of the table."""
    from flyroom.measure.trajectory import length

    graph, along = opened(net, path)
    seconds, found = best(lambda: length(graph, along, rel_tol=tolerance, layers=layers))
    last = found.layers[-1]
    widths = [(one.length.high - one.length.low) / one.length.high for one in found.layers]
    dense = all(node.op != "conv" for node in graph.nodes)
    return {
        "case": name, "tolerance": tolerance, "seconds": seconds, "asked": asked, "reached": found.reached,
        "width": max(widths), "length": list(last.length), "pieces": last.pieces, "crossings": last.crossings,
        "share of the peak": products(graph, found) / seconds / most if dense else None,
    }  # fmt: skip


def peers(most: float) -> list[dict]:
    """One network, one line, every tool: tanh, six layers of 64, ten outputs. Upper bounds, or widths of enclosures."""
    import numpy as np

    from flyroom.measure import paths
    from flyroom.measure.trajectory import length

    graph, path = opened(mlp(64, 6, TANH, 10), "line:seed=0")
    rows = []
    for tolerance in (0.5, 1e-2, 1e-3, 1e-6, 1e-8):
        seconds, found = best(lambda tolerance=tolerance: length(graph, path, rel_tol=tolerance, layers="last"))
        low, high = found.layers[-1].length
        rows.append({"tool": f"Flyroom, {tolerance:g}", "seconds": seconds, "excess": high / low - 1})
    true, start = (low + high) / 2, paths.length(path).high
    matrices = [node for node in graph.nodes if node.op == "dense"]
    weights = [np.asarray(node.weights["weight"], np.float64) for node in matrices]
    seconds, product = best(lambda: float(np.prod([np.linalg.norm(w, 2) for w in weights])))
    rows.append({"tool": "product of spectral norms", "seconds": seconds, "excess": product * start / true - 1})
    return rows + _eclipse(matrices, start, true) + _immrax(graph, path, true)


def _eclipse(matrices: list, start: float, true: float) -> list[dict]:
    import numpy as np
    import torch
    from eclipse_nn.LipConstEstimator import LipConstEstimator  # pyright: ignore[reportMissingImports]

    weights = [torch.tensor(np.asarray(one.weights["weight"], np.float64)) for one in matrices]
    biases = [torch.tensor(np.asarray(one.weights["bias"], np.float64)) for one in matrices]
    rows = []
    for way in ("ECLipsE_Fast", "ECLipsE"):
        estimator = LipConstEstimator(weights=weights, biases=biases)
        with redirect_stdout(sys.stderr):  # it prints what it falls back to
            seconds, constant = best(lambda way=way, estimator=estimator: float(estimator.estimate(way)), 1)
        rows.append({"tool": f"eclipse-nn, {way}", "seconds": seconds, "excess": constant * start / true - 1})
    return rows


def _immrax(graph: Any, path: Any, true: float) -> list[dict]:
    """The velocity as an interval on each of many pieces: immrax's natural inclusion function of JAX's jvp."""
    import immrax  # pyright: ignore[reportMissingImports]
    import jax
    import jax.numpy as jnp
    import numpy as np

    from flyroom.measure import paths

    jax.config.update("jax_enable_x64", True)
    layers = [
        tuple(jnp.asarray(np.asarray(node.weights[name], np.float64)) for name in ("weight", "bias"))
        for node in graph.nodes
        if node.op == "dense"
    ]
    begin, end = (jnp.asarray(paths.points(path, np.array([t]))[0]) for t in (0.0, 1.0))

    def velocity(t: Any) -> Any:
        def image(t: Any) -> Any:
            h = begin + t * (end - begin)
            for weight, bias in layers[:-1]:
                h = jnp.tanh(weight @ h + bias)
            return layers[-1][0] @ h

        return jax.jvp(image, (t,), (jnp.ones(()),))[1]

    enclosed = jax.jit(jax.vmap(immrax.natif(velocity)))
    rows = []
    for pieces in (64, 1024, 16384):
        edges = jnp.linspace(0, 1, pieces + 1)
        boxes = immrax.interval(edges[:-1], edges[1:])
        seconds, found = best(lambda boxes=boxes: jax.block_until_ready(enclosed(boxes)))
        low, high = np.asarray(found.lower), np.asarray(found.upper)
        upper = np.linalg.norm(np.maximum(np.abs(low), np.abs(high)), axis=1).mean()
        lower = np.linalg.norm(np.maximum(np.maximum(low, -high), 0), axis=1).mean()
        rows.append({"tool": f"immrax, {pieces} pieces", "seconds": seconds, "excess": (upper - lower) / true})
    return rows


def sweeps() -> dict[str, list[dict]]:
    """Width against pieces at several orders; cost against depth and width at a tolerance of 1e-3."""
    from flyroom.measure.trajectory import _leaves, _length

    graph, path = opened(mlp(64, 6, TANH), CIRCLE)
    widths = []
    for order in (1, 3, 5, 7, 9):
        for times in (5, 6, 7, 8, 9):
            pieces = _leaves.halved(_length.paths.knots(path), times)
            steps = [len(graph.nodes) - 1]
            seconds, found = best(
                lambda pieces=pieces, order=order, steps=steps: _leaves.evaluated(graph, path, pieces, order, steps), 1
            )
            low, high = found.low.sum(), found.high.sum()
            row = {"order": order, "pieces": 2**times, "width": float((high - low) / found.middle.sum())}
            widths.append({**row, "seconds": seconds})
    costs = []
    for width, depths in ((16, (2, 4, 8, 16)), (64, (2, 4, 8, 16)), (256, (2, 4, 8))):
        for depth in depths:
            row = case(f"tanh {depth}x{width}", mlp(width, depth, TANH), CIRCLE, 1e-3, "last", 0.0, 1.0)
            kept = {key: row[key] for key in ("case", "seconds", "pieces", "width", "reached")}
            costs.append({**kept, "units": width, "depth": depth})
    return {"width against pieces": widths, "cost against depth and width": costs}


def draw(found: dict[str, list[dict]], path: Path) -> None:
    """Both sweeps side by side."""
    from flyroom import plot

    widths = [
        {"net": f"order {row['order']}", "data": "width", "step": row["pieces"], "mean": row["width"]}
        for row in found["width against pieces"]
        if 0 < row["width"] < 1e6
    ]
    costs = [
        {"net": f"{row['units']} units", "data": "seconds", "step": row["depth"], "mean": row["seconds"]}
        for row in found["cost against depth and width"]
    ]
    pictures = (
        plot.curves(
            widths, x_title="pieces of the circle", y_title="relative width", percent=False, log_x=True, log_y=True,
            points=True, columns=1, title="Width against pieces", subtitle="tanh, 6 layers of 64, errors tracked",
            y_format=".0e",
        ),
        plot.curves(
            costs, x_title="hidden layers", y_title="seconds to 1 in 1000", percent=False, log_x=True, log_y=True,
            points=True, columns=1, title="Cost against depth and width", subtitle="tanh, the whole circle",
        ),
    )  # fmt: skip
    for picture, name in zip(pictures, ("widths", "costs"), strict=True):
        plot.save(picture, path.with_name(f"{path.stem}-{name}{path.suffix}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sweeps", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    most = peak()
    found: dict[str, Any] = {"peak": most, "cases": [case(*one, most) for one in CASES]}
    if given.peers:
        found["peers"] = peers(most)
    if given.sweeps or given.svg:
        swept = sweeps()
        found |= swept
        if given.svg:
            draw(swept, given.svg)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(f"peak of a matrix product: {most / 1e9:.1f} G operations a second")
    for title, rows in found.items():
        if isinstance(rows, list):
            print(f"\n{title}")
            for row in rows:
                print("  " + "  ".join(f"{key} {_said(value)}" for key, value in row.items()))


def _said(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
