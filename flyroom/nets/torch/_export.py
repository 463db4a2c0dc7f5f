"""A PyTorch module as steps: exported with a batch of any size, and each of its operations translated in order.

The export is `torch.export`'s graph of ATen operations before any are taken apart, in which layers are still layers:
`aten.conv2d.default`, `aten.batch_norm.default`, `aten.gru.input`. It may hold operations that change a value in place.
"""

import re
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flyroom.nets.torch._arithmetic import ARITHMETIC
from flyroom.nets.torch._layers import LAYERS, Handler
from flyroom.nets.torch._shapes import SHAPES
from flyroom.nets.torch._steps import Call, Missing, Place, Spread, Step, Unconverted, Value

HANDLERS: Mapping[str, Handler] = MappingProxyType({**LAYERS, **ARITHMETIC, **SHAPES})

SEVERAL = 7  # examples to follow a module with: lengths of 0 and 1 are taken for fixed, also those of slices
RARE = (61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179)

ASSIGNED = "a part of a tensor is assigned to; write it with torch.cat, or as a product with a mask"
CREATING = ("aten.zeros.default", "aten.ones.default", "aten.full.default", "aten.expand.default")
HINTS: Mapping[str, str] = MappingProxyType(
    {
        "lstm": "of recurrent layers nn.RNN and nn.GRU can be converted",
        "scaled_dot_product_attention": "attention has no step here",
        "_transformer_encoder_layer_fwd": "attention has no step here",
        "bmm": "a product of two values that both depend on the input has no step here",
        "embedding": "a network here takes numbers; convert what comes after the embedding",
        "log_softmax": "leave it out: losses here take logits",
        "conv_transpose": "transposed convolutions have no step here",
        "conv3d": "signals and images can be converted, volumes cannot",
        "copy_": ASSIGNED,
        "fill_": ASSIGNED,
        "rand": "its output is random",
        "wrap_with_set_grad_enabled": "take torch.no_grad() out of forward; it changes no output",
        "wrap_with_autocast": "take torch.autocast out of forward",
    }
)
ALLOWED = (
    "convolutions, dense and recurrent layers, poolings, norms, the activations of flyroom.nets.activations, sums, "
    "products, means and changes of shape can be converted (docs/parts/pytorch.md lists them)"
)


def export(module: Any, example: Any) -> Any:
    """The `torch.export.ExportedProgram` of a module for batches of any size; Unconverted where there is none.

    A `forward` may turn the length of the batch into a number, as `len(x)` does. Then it is followed once more with a
    length that nothing else in the module has, by which the batch is known.
    """
    import torch

    program = _followed(module, example, SEVERAL, torch.export.Dim.AUTO)
    (length, *_) = next(node for node in program.graph.nodes if node.name == _input(program)).meta["val"].shape
    if not str(length).isdigit():
        return program
    taken = {size for tensor in (example, *module.parameters(), *module.buffers()) for size in tensor.shape}
    return _followed(module, example, next(size for size in RARE if size not in taken), torch.export.Dim.STATIC)


def _followed(module: Any, example: Any, length: int, dimension: Any) -> Any:
    import torch

    batch = torch.zeros((length, *example.shape[1:]), dtype=example.dtype, device=example.device)
    try:
        with warnings.catch_warnings():  # recurrent layers hold their weights in a list as well, which is set again
            warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export", UserWarning)
            return torch.export.export(module, (batch,), dynamic_shapes=({0: dimension},), strict=False)
    except Exception as error:  # of many classes, most of them private
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise Unconverted(
            f"torch.export cannot follow {type(module).__name__} for a batch of any size: {said} (its forward takes "
            "one tensor, and may depend neither on the values in it nor on the number of examples)"
        ) from error


def _input(program: Any) -> str:
    (name,) = (spec.arg.name for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT")
    return name


def steps_of(program: Any) -> tuple[list[Step], Value]:
    """The steps of an exported module in order, the first being the input, and its output.

    Raises Unconverted, with name and place, for an operation that has no step, and for what mixes the examples of a
    batch.
    """
    found, symbol, dtype = _placeholders(program)
    steps = [Step("input", (), found["input"].shape, "input", {}, ())]
    values: dict[Any, Any] = found["values"]
    order = {node: i for i, node in enumerate(program.graph.nodes)}
    for node in order:
        if node.op == "call_function":
            values[node] = _value(node, values, steps, symbol, dtype)
            if hasattr(node.target, "_schema") and node.target._schema.is_mutable:
                _only_seen_here(node, order)
                values[node.args[0]] = values[node]
        elif node.op == "get_attr":
            values[node] = None  # a part of a wrapped region, which is refused where it is called
    return steps, _output(program, next(reversed(order)), values)


def _placeholders(program: Any) -> tuple[dict[str, Any], str, Any]:
    """What the graph is given: weights, buffers and fixed tensors by node, and the input."""
    kinds = {spec.arg.name: (spec.kind.name, spec.target) for spec in program.graph_signature.input_specs}
    values: dict[Any, Any] = {}
    inputs = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            kind, target = kinds[node.name]
            if kind == "USER_INPUT":
                inputs.append(node)
            else:
                values[node] = program.constants[target] if target in program.constants else program.state_dict[target]
    (node,) = inputs
    fake = node.meta["val"]
    length, *shape = fake.shape
    value = Value(0, tuple(shape), 0)
    values[node] = value
    return {"input": value, "values": values}, str(length), fake.dtype


def _output(program: Any, node: Any, values: Mapping[Any, Any]) -> Value:
    specs = [spec.kind.name for spec in program.graph_signature.output_specs]
    (outputs,) = node.args
    returned = [one for one, kind in zip(outputs, specs, strict=True) if kind == "USER_OUTPUT"]
    if len(returned) != 1:
        raise Unconverted(
            f"the module returns {len(returned)} values, and one can be converted: wrap it in one that picks"
        )
    value = values.get(returned[0])
    if isinstance(value, Missing):
        raise Unconverted(f"the module returns {value.why}, which there is no step for")
    if not isinstance(value, Value):
        raise Unconverted("the module's output does not depend on its input")
    if value.batch != 0:
        raise Unconverted(f"the module returns its batch as axis {value.batch}, and not as the first one")
    return value


# One operation. -------------------------------------------------------------------------------------------------------


def place_of(node: Any) -> Place:
    """Where in the module a node of an exported graph comes from, by what the export noted of it."""
    path, layer = "", "the module itself"
    for found, kind in (node.meta.get("nn_module_stack") or {}).values():
        path = re.sub(r"@\d+", "", found)
        layer = (kind if isinstance(kind, str) else kind.__qualname__).rpartition(".")[2]
    frames = re.findall(r'File "([^"]*)", line (\d+), in [^\n]*\n\s*([^\n]*)', node.meta.get("stack_trace") or "")
    written = [frame for frame in frames if "/torch/" not in frame[0].replace("\\", "/")]
    line = "" if not written else "{} line {}: {}".format(*written[-1])
    return Place(path, layer, line)


def _label(node: Any, place: Place) -> str:
    """The name of the node's steps: the path of a layer of PyTorch's own; elsewhere with the operation behind it."""
    kinds = [kind for _, kind in (node.meta.get("nn_module_stack") or {}).values()]
    last = kinds[-1] if kinds else ""
    if not place.path or (last if isinstance(last, str) else last.__module__).startswith("torch.nn."):
        return place.path
    return f"{place.path}.{_plain(node)[1].split('.')[1]}"


def _plain(node: Any) -> tuple[bool, str]:
    """Whether the operation changes its first argument in place, and its name without that: relu_ is relu."""
    name = str(node.target)
    if not node.target._schema.is_mutable:
        return False, name
    return True, re.sub(r"_(\.\w+)$", r"\1", name)


def _value(node: Any, values: Mapping[Any, Any], steps: list[Step], symbol: str, dtype: Any) -> Any:
    """What a node of the graph comes to: a value, a tensor that does not depend on the input, or several of these."""
    import torch

    name, fake, place = str(node.target), node.meta.get("val"), place_of(node)
    arguments, named = _filled_in(node.args, values), _filled_in(node.kwargs, values)
    if getattr(node.target, "__name__", "") == "getitem":
        return arguments[0][arguments[1]]
    if not isinstance(fake, torch.Tensor | tuple | list):
        return fake  # lengths as symbols, and assertions about them, which have no value
    if not hasattr(node.target, "_schema"):
        raise Unconverted(f"{place}: {name}: {_hint(name)}")
    changes, plain = _plain(node)
    given = _by_name(node.target, arguments, named)
    first, leaves = next(iter(given.values()), None), _leaves(list(given.values()))
    if name == "aten.detach_.default":  # what PyTorch does to a tensor that is written out in forward
        return first
    if changes and not isinstance(first, Value):
        raise Unconverted(f"{place}: {name}: it changes one of the module's own tensors in place")
    made = name in CREATING and any(str(one) == symbol for one in leaves)
    if not made and not any(isinstance(one, Value | Spread | Missing | torch.SymInt) for one in leaves):
        if torch.Tag.nondeterministic_seeded in node.target.tags:
            raise Unconverted(f"{place}: {name}: {_hint('rand')}")
        with torch.enable_grad():  # what comes from a parameter is known by its requires_grad
            return node.target(*arguments, **named)
    if plain not in HANDLERS:
        raise Unconverted(f"{place}: {name}: {_hint(name)}")
    results = [fake] if isinstance(fake, torch.Tensor) else [one for one in fake if one is not None]
    return HANDLERS[plain](Call(name, given, results, symbol, dtype, place, _label(node, place), steps))


def _filled_in(given: Any, values: Mapping[Any, Any]) -> Any:
    """Arguments with what their nodes came to."""
    import torch

    if isinstance(given, torch.fx.Node):
        return values[given]
    if isinstance(given, tuple | list):
        return [_filled_in(one, values) for one in given]
    if isinstance(given, dict):
        return {name: _filled_in(one, values) for name, one in given.items()}
    return given


def _by_name(target: Any, arguments: list, named: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments by the schema's names, those that are not given as they stand there."""
    found = {}
    for i, argument in enumerate(target._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        found[argument.name] = arguments[i] if i < len(arguments) else named.get(argument.name, default)
    return found


def _leaves(given: list) -> list:
    found = []
    for one in given:
        inner = isinstance(one, list | tuple) and not isinstance(one, Value | Spread | Missing)
        found += _leaves(list(one)) if inner else [one]
    return found


def _hint(name: str) -> str:
    said = next((hint for word, hint in HINTS.items() if word in name), None)
    return f"it cannot be converted; {said or ALLOWED}"


def _only_seen_here(node: Any, order: Mapping[Any, int]) -> None:
    """Refuses a change in place of what is used afterwards through another view of it."""
    changed = node.args[0]
    for other, place in order.items():
        if place >= order[node] or other is changed or not _share(other, changed):
            continue
        if any(order.get(user, 0) > order[node] for user in other.users):
            raise Unconverted(
                f"{place_of(node)}: {node.target}: it changes in place what is used afterwards through another view "
                "of it; write it without the change in place"
            )


def _share(one: Any, other: Any) -> bool:
    """Whether the tensors of two nodes lie in the same memory."""
    import torch

    tensors = [node.meta.get("val") for node in (one, other)]
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        return False
    first, second = (tensor.untyped_storage()._cdata for tensor in tensors)
    return first == second
