"""The command that opens a network: every layer, what it costs, what it sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from flyroom.cli._app import AsJson, PathOrNone, TextOrNone, command, let_import
from flyroom.cli._terminal import print_json, say

HEAD = ("layer", "op", "output", "parameters", "multiply-adds", "field", "jump", "offset", "memory")


@command("net")
def net(
    net: Positional[Annotated[str, arg(metavar="NET")]],
    *,
    input: TextOrNone = None,
    effective: bool = False,
    all: bool = False,
    page: PathOrNone = None,
    svg: PathOrNone = None,
    json: AsJson = False,
) -> int:
    """Open a network: the shape, the cost and the receptive field of every layer.

    Args:
        net: a network, such as resnet50, mlp:40-100-10:tanh, mnist1d-cnn, a .safetensors file that flyroom saved,
            or python:MODULE:NAME
        input: the shape of one example, such as 3x224x224 or 40; needed where the network does not say it itself
        effective: measure as well how much of its field each layer sees in fact, by gradients
        all: also the layers without parameters or windows
        page: write a page with the table and a picture of the receptive fields (.html)
        svg: write the picture alone (.svg, .pdf, .png)
    """
    from flyroom.measure.architecture import architecture

    let_import(net)
    network, shape = opened(net, input, drawn=effective)
    found = architecture(network, shape)
    seen = _seen(network, shape, found) if effective else {}
    if json:
        print_json(_contract(found, seen))
    else:
        _show(net, found, seen, every=all)
    for path in (page, svg):
        if path is not None:
            _draw(path, net, found, seen)
            say(f"written: {path}")
    return 0


def opened(text: str, given: str | None, *, drawn: bool) -> tuple[Any, tuple[int, ...]]:
    """The network, or only its shapes where nothing has to be computed with it, and the shape of an example."""
    import equinox as eqx
    import jax

    from flyroom.nets import files, spec

    if Path(text).suffix == ".safetensors":
        network, parsed = files.read(Path(text)), spec.parse(files.arrays(Path(text))[1]["flyroom_spec"])
    else:
        parsed = spec.parse(text)
        init, key = lambda key: spec.function(parsed.init(key)), jax.random.key(parsed.seed or 0)
        network = init(key) if drawn or text.startswith("python:") else eqx.filter_eval_shape(init, key)
    shape = parsed.shape
    if given is not None:
        shape = _shape(given)
    if shape is None:
        raise ValueError(f"{text} does not say what it takes; give --input, such as --input 3x224x224 or --input 40")
    return network, shape


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(word) for word in text.lower().split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ValueError(
            f"--input {text!r} is no shape; write the lengths with x between them, such as 3x224x224 or 40"
        )
    return shape


def _contract(found: Any, seen: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """What `net --json` promises: keys may be added, never renamed."""
    from dataclasses import asdict

    layers = [
        asdict(layer) | ({"effective_field": seen[layer.name]} if layer.name in seen else {}) for layer in found.layers
    ]
    return {
        "layers": layers,
        "parameters": found.parameters,
        "state": found.state,
        "multiply_adds": found.multiply_adds,
        "activation_bytes": found.activation_bytes,
    }


def _seen(network: Any, shape: tuple[int, ...], found: Any) -> dict[str, tuple[int, ...]]:
    """By gradients: how many places of the input the middle unit of each shown layer depends on noticeably."""
    from flyroom.measure.architecture import effective_size, gradient_field

    names = [layer.name for layer in found.layers if _shown(layer)]
    return {name: effective_size(gradient_field(found.graph, shape, name)) for name in names}


def _shown(layer: Any) -> bool:
    return bool(layer.parameters or layer.kernel or layer.multiply_adds)


def _by(lengths: Sequence[int]) -> str:
    return "x".join(str(n) for n in lengths)


def _row(layer: Any, seen: dict[str, tuple[int, ...]]) -> tuple[str, ...]:
    parameters = f"{layer.parameters:,}" + (f" = {layer.formula}" if layer.formula.count(" ") else "")
    row = (
        layer.name,
        layer.op,
        _by(layer.output_shape),
        parameters if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        _by(layer.receptive_field),
        _by(layer.jump) if any(layer.jump) else "",
        _by(layer.offset) if any(layer.jump) else "",
        _memory(layer.activation_bytes),
    )
    return (*row, _by(seen.get(layer.name, ()))) if seen else row


def _memory(count: int) -> str:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"


def _head(seen: dict[str, tuple[int, ...]]) -> tuple[str, ...]:
    return (*HEAD, "seen in fact") if seen else HEAD


def _totals(found: Any) -> dict[str, str]:
    running = f" and {found.state:,} running statistics" if found.state else ""
    return {
        "Parameters": f"{found.parameters:,}{running}",
        "Multiply-adds": f"{found.multiply_adds:,} an example, forward (twice that in floating-point operations)",
        "Activations": f"{_memory(found.activation_bytes)} an example, in float32",
    }


def _show(name: str, found: Any, seen: dict[str, tuple[int, ...]], *, every: bool) -> None:
    """The table, as wide as it is: a row is a line."""
    import sys

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(_head(seen)):
        table.add_column(title, justify="left" if place < 2 else "right", overflow="fold", no_wrap=place in (1, 2))
    for layer in found.layers:
        if every or _shown(layer) or layer.op == "input":
            table.add_row(*_row(layer, seen))
    console.print(table)
    console.print()
    for title, said in _totals(found).items():
        console.print(f"{title}: {said}", soft_wrap=True)


def _draw(path: Path, name: str, found: Any, seen: dict[str, tuple[int, ...]]) -> None:
    """The page, or the picture alone: which one the path's suffix says."""
    from flyroom import plot, report
    from flyroom.measure.architecture import middle_field, spatial

    shape = found.layers[0].output_shape
    lengths = tuple(shape[axis] for axis in spatial(shape))
    shown = [layer for layer in found.layers if layer.receptive_field and (layer.kernel or layer.multiply_adds)]
    rows = [
        {
            "layer": layer.name,
            "axis": axis,
            "first": first,
            "last": last,
            "note": f"{layer.op} {_by(layer.output_shape)}",
        }
        for layer in shown
        for axis, (first, last) in enumerate(middle_field(layer, shape))
    ]
    drawn = len(lengths) <= 2 and rows
    picture = (
        plot.fields(rows, lengths, title=name, subtitle="what the middle unit of each layer sees") if drawn else None
    )
    if path.suffix.lower() == ".html":
        table = [_head(seen), *(_row(layer, seen) for layer in found.layers)]
        report.write(report.network(name, _totals(found), table, picture), path)
    elif picture is None:
        raise ValueError(f"an input of shape {_by(shape)} cannot be drawn; one or two axes of space can")
    else:
        plot.save(picture, path)
