"""What people see: results on standard output, progress and errors on standard error."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


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
            say(f"{name}: {done} of {runs} ({label})")

        yield tell
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
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
    from rich.console import Console
    from rich.table import Table

    judgement = account.judgement
    console = Console()
    head, rows = judgement.table[0], judgement.table[1:]
    table = Table(title=account.about.title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in head:
        table.add_column(name, justify="left" if name == head[0] else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
    statements = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("verdict", "statement", "value [95 %]", "published"):
        statements.add_column(name, overflow="fold")
    for one in judgement.statements:
        colour = {"supported": "green", "compatible": "green", "refuted": "red", "excluded": "red"}.get(one.verdict)
        verdict = f"[{colour}]{one.verdict.value}[/]" if colour else one.verdict.value
        text = f"[bold]{one.sentence}[/]" if one.headline else one.sentence
        statements.add_row(verdict, text, _value(one), one.published or "")
    console.print(statements)
    console.print(f"\n[bold]{account.about.id}: {judgement.verdict.value}.[/] {judgement.sentence}")
    console.print(
        f"{judgement.runs} networks, {judgement.cpu_s:.0f} s of processor time in all; page: {page}", soft_wrap=True
    )


def _value(statement: Any) -> str:
    if statement.value is None:
        return ""
    scale, sign = (100, " %") if statement.unit == "accuracy" else (1, "")
    text = f"{scale * statement.value:.1f}{sign}"
    if statement.interval is None:
        return text
    return f"{text} \\[{scale * statement.interval[0]:.1f}, {scale * statement.interval[1]:.1f}]"
