"""The command that measures how long a path becomes in a network, beside the bounds around that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from flyroom.cli._app import AsJson, PathOrNone, TextOrNone, command, let_import
from flyroom.cli._net import opened
from flyroom.cli._terminal import print_json, say


@command("length")
def length(
    net: Positional[Annotated[str, arg(metavar="NET")]],
    *,
    path: Annotated[str, arg(metavar="PATH")],
    input: TextOrNone = None,
    rel_tol: float = 1e-3,
    layers: str = "all",
    no_ladder: bool = False,
    seconds: float = 120.0,
    page: PathOrNone = None,
    svg: PathOrNone = None,
    latex: bool = False,
    json: AsJson = False,
) -> int:
    """Measure how long a path becomes in a network, with proof, beside the bounds around it.

    Args:
        net: a network, such as mlp:16-32-32-4:tanh?seed=1, mnist1d-cnn, a .safetensors file that flyroom saved, or
            python:MODULE:NAME
        path: line:seed=0,radius=8, circle:seed=0,radius=8, arc:..., raghu:..., spline:mnist1d/0,1,2, data:mnist1d/0,1
            or a file FILE.npy of points
        input: the shape of one example, such as 3x32x32 or 40; needed where the network does not say it itself
        rel_tol: how narrow each interval is to be, relative to the length; the bounds get ten times that
        layers: all, last, or names of layers with commas between them
        no_ladder: only the lengths, without the bounds around the last one
        seconds: the most processor time for the lengths, and as much again for the bounds
        page: write a page with tables, pictures and a walk along the path (.html)
        svg: write the pictures alone (.svg, .pdf, .png)
        latex: print tables and bounds with their proofs as LaTeX and nothing else
    """
    _check(seconds, page, svg, latex=latex, json=json, ladder=not no_ladder)
    let_import(net)
    from flyroom.measure import paths

    network, shape = opened(net, input, drawn=True)
    way = paths.parse(path, shape)
    graph, found, ladder, left_out = _measured(network, way, rel_tol, layers, seconds, ladder=not no_ladder)
    _print(net, path, found, ladder, left_out, seconds, "json" if json else "latex" if latex else "")
    if page or svg:
        from flyroom.cli._length_pictures import draw

        for file in (page, svg):
            if file is not None:
                draw(file, net, path, graph, way, found, ladder)
                say(f"written: {file}")
    return 0


def _check(seconds: float, page: Path | None, svg: Path | None, *, latex: bool, json: bool, ladder: bool) -> None:
    """Before minutes of work: whether what is asked for can be written."""
    if not seconds > 0:
        raise ValueError(f"--seconds {seconds:g}: give a positive number of seconds, such as 120")
    if latex and json:
        raise ValueError("--latex and --json both want to be the only thing that is printed: give one of them")
    if latex and not ladder:
        raise ValueError("--latex prints the bounds, which --no-ladder leaves out: give one of them")
    if page is not None and page.suffix.lower() != ".html":
        raise ValueError(f"--page {page}: a page is a file that ends in .html")
    if svg is not None:
        from flyroom.plot import SUFFIXES

        if svg.suffix.lower() not in SUFFIXES:
            raise ValueError(f"--svg {svg} has no suffix that a figure is saved as: use one of {', '.join(SUFFIXES)}")
    for file in (page, svg):
        if file is not None and not file.parent.is_dir():
            raise FileNotFoundError(f"{file.parent} does not exist: make the directory first, or write somewhere else")


def _measured(
    network: Any, way: Any, rel_tol: float, layers: str, seconds: float, *, ladder: bool
) -> tuple[Any, Any, Any, str]:
    """The graph, the lengths, the bounds, and why there are none where a step's Jacobian is not followed."""
    from flyroom.measure import trajectory
    from flyroom.nets.reader import Unread, read

    graph = read(network, way.shape)
    wanted: str | Sequence[str] = layers if layers in ("all", "last") else [name.strip() for name in layers.split(",")]
    found = trajectory.length(graph, way, rel_tol=rel_tol, layers=wanted, seconds=seconds)
    if not ladder:
        return graph, found, None, ""
    try:
        return graph, found, trajectory.bounds(graph, way, rel_tol=min(10 * rel_tol, 0.5), seconds=seconds), ""
    except Unread as wrong:  # the lengths need less than the Jacobian does
        return graph, found, None, str(wrong)


def _print(net: str, path: str, found: Any, ladder: Any, left_out: str, seconds: float, form: str) -> None:
    from flyroom.cli import _length_tables as tables

    if form == "json":
        print_json(tables.contract(net, path, found, ladder, left_out))
    elif form == "latex":
        if ladder is None:
            raise ValueError(f"there are no bounds to print: {left_out}")
        from flyroom.report.ladder_latex import ladder_latex

        print(ladder_latex(net, path, found, ladder), end="")
    else:
        _show(found, ladder, left_out, seconds)


def _show(found: Any, ladder: Any, left_out: str, seconds: float) -> None:
    """Two tables, the conditions, and what is certain; as wide as the terminal, 120 columns elsewhere."""
    import sys

    from rich.console import Console

    from flyroom.cli import _length_tables as tables

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
    console.print(_table(tables.LAYERS, tables.layers(found), words=2))
    console.print()
    if ladder is not None:
        rows, conditions = tables.bounds(ladder)
        console.print(_table(tables.LADDER, rows, words=1))
        console.print()
        for number, condition in enumerate(conditions, 1):
            _hanging(console, f"{number}", condition)
        console.print(f"\n{tables.NOTATION}")
        for sentence in ladder.left_out:
            console.print(f"Left out: {sentence}")
        console.print()
    elif left_out:
        console.print(f"No bounds: {left_out}\n")
    console.print(tables.verdict(found))
    for sentence in tables.missed(found, ladder, seconds):
        console.print(sentence, style="bold")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> Any:
    """`words` columns of words, to the left; then numbers, to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(head):
        table.add_column(
            title, justify="left" if place < words else "right", overflow="fold", no_wrap=0 < place < words + 1
        )
    for row in rows:
        table.add_row(*row, style="bold" if row[0].startswith("=") else None)
    return table


def _hanging(console: Any, number: str, sentence: str) -> None:
    """A numbered sentence whose further lines stand under its first word."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(justify="right", min_width=2)
    grid.add_column(overflow="fold")
    grid.add_row(number, sentence)
    console.print(grid)
