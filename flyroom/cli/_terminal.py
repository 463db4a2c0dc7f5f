"""What people see: results on standard output, progress and errors on standard error."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Plain values as JSON; NaN and infinities, which JSON has not, become null."""
    import msgspec

    def plain(value: Any) -> Any:
        if hasattr(value, "tolist"):  # a number of NumPy's, in a claim of one's own
            return value.tolist()
        raise TypeError(f"{type(value).__name__} is not a plain value")

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=plain), indent=1).decode())


def duration(seconds: float) -> str:
    """A time that a person would say: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def overview(prog: str, commands: Mapping[str, Callable[..., int]]) -> str:
    """What `--help` says of a table of commands: a line for each."""
    lines = [f"usage: {prog} COMMAND [OPTIONS]", ""]
    for name, function in commands.items():
        first = (inspect.getdoc(function) or "").partition("\n")[0].partition(": flyroom ")[0]
        lines.append(f"  {name:10} {first.rstrip('.')}")
    return "\n".join([*lines, "", "flyroom COMMAND --help shows the options of a command."])


@contextmanager
def progress(name: str, runs: int, cost: float) -> Iterator[Callable[[int, float, str], None]]:
    """A bar with rate and remaining time on a terminal, plain lines elsewhere; both on standard error."""
    if runs == 0:
        yield lambda count, weight, label: None
        return
    done = 0
    if not sys.stderr.isatty():

        def tell(count: int, weight: float, label: str) -> None:
            nonlocal done
            done += count
            say(f"{name}: {done} of {runs}" + (f" ({label})" if label else ""))

        yield tell
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[done]}/{task.fields[runs]} networks"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=cost, done=0, runs=runs, rate="")

        def advance(count: int, weight: float, label: str) -> None:
            nonlocal done
            done += count
            elapsed = bar.tasks[0].elapsed or 0
            rate = f"{60 * done / elapsed:.0f} a minute" if elapsed else ""
            bar.update(task, advance=weight, done=done, rate=rate, description=f"{name} {label}")

        yield advance


def spark(values: Sequence[float]) -> str:
    """A curve in one line of text, from 0 to 1."""
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[min(7, max(0, int(8 * value)))] for value in values)


def show(account: Any, page: Path) -> None:
    """The table, the statements, the verdict; as wide as the terminal, 120 columns elsewhere."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    judgement = account.judgement
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    if judgement.table:
        title = escape(account.about.title)
        table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
        for place, name in enumerate(judgement.table[0]):
            table.add_column(escape(name), justify="right" if place else "left", overflow="fold", no_wrap=place > 0)
        for row in judgement.table[1:]:
            table.add_row(*map(escape, row))
        console.print(table)
        console.print()
    statements = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("verdict", "statement", "value [95 %]", "published"):
        statements.add_column(name, overflow="fold")
    for one in judgement.statements:
        colour = {"supported": "green", "compatible": "green", "refuted": "red", "excluded": "red"}.get(one.verdict)
        verdict = f"[{colour}]{one.verdict.value}[/]" if colour else one.verdict.value
        text = f"[bold]{escape(one.sentence)}[/]" if one.headline else escape(one.sentence)
        statements.add_row(verdict, text, escape(_value(one)), escape(one.published or ""))
    console.print(statements)
    console.print(f"\n[bold]{account.about.id}: {judgement.verdict.value}.[/] {escape(judgement.sentence)}")
    console.print(f"{judgement.runs} networks, {judgement.cpu_s:.0f} s of processor time in all")
    console.print(f"page: {escape(str(page))}", soft_wrap=True)


def _value(statement: Any) -> str:
    if statement.value is None:
        return ""
    scale, sign, form = (100, " %", ".1f") if statement.unit == "accuracy" else (1, "", ".4g")
    text = f"{scale * statement.value:{form}}{sign}"
    if statement.interval is None:
        return text
    return f"{text} [{scale * statement.interval[0]:{form}}, {scale * statement.interval[1]:{form}}]"
