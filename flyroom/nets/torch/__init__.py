"""PyTorch in: an `nn.Module` becomes a network here, its weights copied, its outputs compared.

What comes out is a `graph.Graph`, an Equinox module like any other: it is called on a batch, trained, read by the
measures. It shares nothing with the module: training either of them leaves the other as it is.

Three things are easily confused. Arrays are as the module takes them, (batch, channel, row, column), whatever the order
inside is. A module is converted as it is at inference: batch norm with its running statistics, dropout as nothing, so
that it must be in eval mode. And a Python `if` in `forward` is followed the way it goes for the example, once.

Needs PyTorch: pip install 'flyroom[torch]'.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from flyroom.nets.graph import Graph, Node
from flyroom.nets.torch._export import export, steps_of
from flyroom.nets.torch._steps import Step, Unconverted, Value

if TYPE_CHECKING:
    import torch

__all__ = ["TOLERANCE", "Unconverted", "convert"]

BESIDE = ("reshape", "transpose", "slice", "concatenate", "constant")  # what a layer may need besides its own step
TOLERANCE = 1e-5  # of the largest output of the module on the example


def convert(module: "torch.nn.Module", example: Any) -> Graph:
    """The network of a PyTorch module in eval mode, for batches of any size.

    `example` is a batch that the module takes, (batch, ...): a tensor, or an array. Weights become JAX's floats of
    their own precision, float64 where `jax_enable_x64` is set and float32 otherwise; a weight that the module uses
    twice is one array in two steps, of which training makes two. Buffers are weights as well; those of batch norm are
    never trained. Nothing of the module, its statistics or its mode is changed, nor PyTorch's state.

    Raises Unconverted (a ValueError) with name and place for an operation that has no step, for layers in train mode,
    and where the network's outputs on the example differ from the module's by more than 1e-5 of the largest;
    ValueError for an example that is none; TypeError for what is no module; ImportError without PyTorch.

    >>> import torch
    >>> net = convert(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()), np.ones((2, 4)))
    >>> [node.op for node in net.nodes], net(jnp.zeros((7, 4))).shape
    (['input', 'dense', 'activation'], (7, 3))
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"convert takes a torch.nn.Module, not {type(module).__name__}; wrap a function in a module")
    _at_inference(module, torch)
    batch = _batch(module, example, torch)
    with _left_as_it_was(module, batch, torch), torch.no_grad():
        expected = module(batch.clone())
    if not isinstance(expected, torch.Tensor):
        raise Unconverted(
            f"the module returns {type(expected).__name__}, and one tensor can be converted: wrap it in a module that "
            "picks one"
        )
    with _left_as_it_was(module, batch, torch):
        steps, output = steps_of(export(module, batch))
    graph = _graph(steps, output)
    _compare(graph, batch.cpu().numpy(), expected.cpu().numpy())
    return graph


def _torch() -> Any:
    try:
        import torch
        import torch.export
    except ImportError as error:
        raise ImportError("convert needs PyTorch, which is not installed; pip install 'flyroom[torch]'") from error
    return torch


def _at_inference(module: Any, torch: Any) -> None:
    """Refuses layers whose output in train mode is random, or depends on the other examples of the batch."""
    norms = torch.nn.modules.batchnorm._NormBase
    random = (torch.nn.modules.dropout._DropoutNd, torch.nn.RReLU)
    for path, layer in module.named_modules():
        name = f"{path} ({type(layer).__name__})" if path else type(layer).__name__
        if any(isinstance(weight, torch.nn.parameter.UninitializedTensorMixin) for weight in layer.parameters(False)):
            raise Unconverted(f"{name} has no weights yet; call the module on a batch once, and then convert it")
        if not layer.training:
            continue
        does = ""
        if isinstance(layer, norms) and layer.track_running_stats:
            does = "normalises by the batch"
        elif isinstance(layer, random) and getattr(layer, "p", 1) > 0:
            does = "has a random output"
        elif isinstance(layer, torch.nn.RNNBase) and layer.dropout > 0:
            does = "drops states at random"
        if does:
            raise Unconverted(f"{name} is in train mode, in which it {does}; call module.eval() before converting")


def _batch(module: Any, example: Any, torch: Any) -> Any:
    """The example as a tensor of the module's floating point type, on its device: a copy."""
    tensor = example.detach() if isinstance(example, torch.Tensor) else torch.from_numpy(np.array(example))
    if not tensor.is_floating_point():
        raise ValueError(f"the example holds {tensor.dtype}; a network here takes floating point numbers")
    if tensor.ndim < 2 or len(tensor) < 1:
        raise ValueError(
            f"the example has the shape {tuple(tensor.shape)}; it is a batch, (batch, ...), of at least one example"
        )
    own = [one for one in (*module.parameters(), *module.buffers()) if one.is_floating_point()]
    dtype, device = (own[0].dtype, own[0].device) if own else (tensor.dtype, tensor.device)
    if dtype not in (torch.float32, torch.float64) or device.type == "meta":
        raise ValueError(f"the module's weights are {dtype} on {device}; float32 and float64 can be copied")
    return tensor.to(device=device, dtype=dtype, copy=True)


@contextmanager
def _left_as_it_was(module: Any, batch: Any, torch: Any) -> Iterator[None]:
    """Whatever the module does to its buffers while it runs is undone, and refused; generators go on as before."""
    kept = [
        (layer, path, name, tensor, tensor._version, tensor.detach().clone())
        for path, layer in module.named_modules()
        for name, tensor in layer._buffers.items()
        if tensor is not None
    ]
    changed = []
    with torch.random.fork_rng(devices=[batch.device] if batch.device.type == "cuda" else []):
        try:
            yield
        finally:
            for layer, path, name, tensor, version, before in kept:
                if layer._buffers[name] is not tensor or tensor._version != version:
                    changed.append(f"{path}.{name}" if path else name)
                    layer._buffers[name] = tensor
                    with torch.no_grad():
                        tensor.copy_(before)
    if changed:
        raise Unconverted(
            f"running the module changes {', '.join(changed)}; a network here is a function of its input: "
            "call module.eval() before converting"
        )


def _graph(steps: list[Step], output: Value) -> Graph:
    """The steps that the output depends on, in order, each with a place of its own, and the weights as JAX's arrays."""
    needed, waiting = {0}, [output.step]
    while waiting:
        if (i := waiting.pop()) not in needed:
            needed.add(i)
            waiting += steps[i].inputs
    new = {old: i for i, old in enumerate(sorted(needed))}
    main = {steps[old].place for old in new if steps[old].op not in BESIDE}
    copies: dict[tuple, Array] = {}
    counts: dict[str, int] = {}
    nodes = []
    for old in new:
        step = steps[old]
        name = step.place or str(dict(step.details).get("name", step.op))
        if step.place and step.place in main and step.op in BESIDE:
            name = f"{name}.{step.op}"
        counts[name] = counts.get(name, 0) + 1
        place = name if step.place and counts[name] == 1 else f"{name}_{counts[name]}"
        weights = {key: _copied(tensor, copies) for key, tensor in step.weights.items()}
        nodes.append(Node(step.op, tuple(new[i] for i in step.inputs), step.shape, place, weights, step.details))
    return Graph(tuple(nodes))


def _copied(tensor: Any, copies: dict[tuple, Array]) -> Array:
    """A tensor as JAX's array, made anew; the same array where the same tensor comes again."""
    place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
    if place not in copies:
        copies[place] = jnp.asarray(np.array(tensor.detach().cpu().numpy()))
    return copies[place]


def _compare(graph: Graph, x: np.ndarray, expected: np.ndarray) -> None:
    found = np.asarray(eqx.filter_jit(graph)(jnp.asarray(x)), np.float64)
    if found.shape != expected.shape:
        raise Unconverted(
            f"on the example the network's output has the shape {found.shape}, the module's {expected.shape}"
        )
    size = np.abs(expected).max(initial=0.0)
    if not np.isfinite(size):
        raise Unconverted("the module's output on the example is not finite, so that nothing can be compared with it")
    worst = np.abs(found - expected).max(initial=0.0)
    if not worst <= TOLERANCE * size:
        raise Unconverted(
            f"on the example the network's outputs differ from the module's by {worst:.3g}, which is "
            f"{worst / size if size else np.inf:.3g} of the largest, {size:.3g}; at most {TOLERANCE:g} of it is allowed"
        )
