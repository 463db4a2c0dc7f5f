"""The command line: the only file that prints, reads argv or the environment.

Each command is a function below, and what it needs is imported inside it, so that `flyroom --help` answers at once.
Results go to standard output, progress and errors to standard error. Exit status: 0 done (an undecided claim is
done), 1 a claim could not be judged or a file could not be written, 2 the words were wrong, 130 stopped.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg
from tyro.extras import SubcommandApp

app = SubcommandApp()

StorePath = Annotated[Path, arg(help="directory of the store", metavar="DIR")]
AsJson = Annotated[bool, arg(help="print the result as JSON and nothing else")]
DEFAULT_STORE = Path("flyroom-store")
GROUPS = ("data",)  # commands of two words: "data make"


@app.command(name="run")
def run(
    claims: Positional[tuple[str, ...]] = (),
    *,
    runs: int | None = None,
    quick: bool = False,
    net: str | None = None,
    store: StorePath = DEFAULT_STORE,
    set_aside: bool = False,
    json: AsJson = False,
) -> int:
    """Put claims to the test: train what is not in the store yet, judge, write a page.

    Args:
        claims: which claims; none means spatial-prior, "all" all of them
        runs: networks (seeds) of each kind
        quick: a short form, to see everything work; it may leave things undecided
        net: a network of your own for the table, such as mlp:40-300-10:tanh
        set_aside: if the store's file is damaged, rename it and begin a new one
    """
    from flyroom import claims as shelf
    from flyroom import machine, report
    from flyroom.store import open_store

    names = shelf.NAMES if claims == ("all",) else claims or (shelf.DEFAULT,)
    chosen = [shelf.load(name) for name in dict.fromkeys(names)]
    settings = [_settings(claim, quick, runs=runs, net=net) for claim in chosen]
    wanted = [claim.cells(setting) for claim, setting in zip(chosen, settings, strict=True)]
    provenance = machine.provenance(f"flyroom {' '.join(sys.argv[1:])}")
    judged, failed = [], []
    with open_store(store, set_aside=set_aside) as opened:
        for claim, setting, cells in zip(chosen, settings, wanted, strict=True):
            try:
                account = _conduct(claim, setting, cells, opened, provenance, quiet=json)
            except RuntimeError as error:
                _say(f"{claim.ABOUT.id}: {error}")
                failed.append(claim.ABOUT.id)
                continue
            keyed = [one for cell in cells for one in cell.runs]
            page = store / "pages" / report.filename(account)
            report.write(report.page(account, opened.results(keyed)), page)
            judged.append((account, page))
            if not json:
                _show(account, page)
    if json:
        _print_json({"claims": [_contract(account) for account, _ in judged], "store": str(store)})
    return 1 if failed else 0


def _settings(claim: Any, quick: bool, **given: Any) -> Any:
    """The claim's settings with what was given; ValueError for what it does not have."""
    from dataclasses import fields, replace

    names = [field.name for field in fields(claim.Settings)]
    changed = {name: value for name, value in given.items() if value is not None}
    for name in changed:
        if name not in names:
            raise ValueError(f"{claim.ABOUT.id} has no setting --{name}; it has {', '.join('--' + n for n in names)}")
    settings = replace(claim.Settings(), **changed)
    if not quick:
        return settings
    return replace(settings, **{k: v for k, v in claim.quick(settings).items() if k not in changed})


def _conduct(claim: Any, settings: Any, cells: Any, store: Any, provenance: Any, *, quiet: bool) -> Any:
    from flyroom import engine
    from flyroom.train import devices

    width = len(devices())
    left = engine.pending(cells, store.missing, width)
    total = sum(len(cell.runs) for cell in cells)
    to_run = sum(len(cell.runs) for cell in left)
    if not quiet and to_run < total:
        _say(f"{claim.ABOUT.id}: {total - to_run} of {total} runs are stored; {to_run} to run")
    try:
        with _progress(claim.ABOUT.id, to_run, sum(claim.cost(one) for cell in left for one in cell.runs)) as advance:

            def finished(cell: Any, outcome: Any) -> None:
                first = cell.runs[0].settings
                name = f"{first.get('net', '')}{' shuffled' if first.get('shuffled') else ''}"
                if isinstance(outcome, Exception):
                    _say(f"{name}: {type(outcome).__name__}: {outcome}")
                advance(len(cell.runs), sum(claim.cost(one) for one in cell.runs), name)

            return engine.conduct(claim, settings, cells, left, store, provenance, finished)
    except KeyboardInterrupt:
        there = total - len(store.missing([one for cell in cells for one in cell.runs]))
        _say(f"stopped; {there} of {total} runs are stored in {store.directory}, the same command goes on from there")
        raise


def _show(account: Any, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    judgement = account.judgement
    console = Console()
    head, *rows = judgement.table or [()]
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


def _contract(account: Any) -> dict[str, Any]:
    """What `run --json` promises: keys may be added, never renamed."""
    judgement = account.judgement
    statements = [
        {
            "id": one.id,
            "sentence": one.sentence,
            "verdict": one.verdict.value,
            "value": one.value,
            "interval": one.interval,
            "published": one.published,
            "evidence": one.evidence.name,
            "n": one.n,
            "p": one.p,
            "unit": one.unit,
            "headline": one.headline,
        }
        for one in judgement.statements
    ]
    return {
        "id": judgement.claim,
        "version": judgement.version,
        "verdict": judgement.verdict.value,
        "sentence": judgement.sentence,
        "statements": statements,
        "table": judgement.table,
        "runs": judgement.runs,
        "wall_s": judgement.wall_s,
        "cpu_s": judgement.cpu_s,
    }


@app.command(name="claims")
def claims(*, store: StorePath = DEFAULT_STORE, json: AsJson = False) -> int:
    """List every claim: its sentence, source, cost, and the last verdict in the store."""
    from flyroom import claims as shelf
    from flyroom.store import open_store

    verdicts = {}
    if (store / "flyroom.sqlite").exists():
        with open_store(store, create=False) as opened:
            verdicts = {account.about.id: account.judgement.verdict.value for account in opened.accounts()}
    found = [shelf.load(name).ABOUT for name in shelf.NAMES]
    rows = [
        {"id": a.id, "sentence": a.sentence, "source": a.source, "cost_s": a.cost_s, "verdict": verdicts.get(a.id)}
        for a in found
    ]
    if json:
        _print_json(rows)
        return 0
    for row in rows:
        print(f"{row['id']}  ({row['verdict'] or 'not run yet'}; about {row['cost_s']:.0f} s)")
        print(f"    {row['sentence']}\n    {row['source']}")
    return 0


@app.command(name="train")
def train(
    net: Positional[str],
    *,
    data: str = "mnist1d",
    lr: float = 1e-2,
    steps: int = 6000,
    batch: int = 100,
    runs: int = 1,
    seed: int = 0,
    optimiser: Literal["adam", "sgd", "momentum", "rmsprop"] = "adam",
    order: Literal["contiguous", "shuffled"] = "contiguous",
    every: int = 250,
    out: Path = Path("nets"),
    json: AsJson = False,
) -> int:
    """Train a network many times over, and save the networks and their curves.

    Args:
        net: a network, such as mnist1d-cnn or mlp:40-100-10:tanh
        data: a data set (flyroom data list) or an archive that flyroom made
        lr: learning rate
        steps: updates of each network
        batch: examples an update
        runs: how many networks, with seeds from --seed on
        seed: the first network's seed, of its first weights and of a shuffled order
        optimiser: momentum is SGD with momentum 0.9
        order: contiguous batches, round and round, or epochs shuffled anew
        every: steps between two points of a curve
        out: directory for the .safetensors files, curves.json and curves.svg
    """
    from flyroom import training_run
    from flyroom.data import load

    dataset = load(Path(data) if Path(data).suffix in (".npz", ".parquet") else data)
    plan = training_run.Plan(net, lr, steps, batch, runs, seed, optimiser, order, every)
    training_run.check(plan, dataset)
    with _progress(net, runs, float(runs)) as advance:
        outcome = training_run.train_and_save(plan, dataset, out, lambda done: advance(done, float(done), net))
    if json:
        _print_json(outcome)
        return 0
    for network in outcome["networks"]:
        ended = f"diverged at step {network['diverged_at_step']}" if network["diverged_at_step"] is not None else ""
        print(
            f"{network['file']}  test {network['test_accuracy']:.1%}  train {network['train_accuracy']:.1%}  "
            f"{_spark(network['curve'])}  {ended}".rstrip()
        )
    print(f"curves: {outcome['figure']}")
    return 0


def _spark(values: Sequence[float]) -> str:
    """A curve in one line of text, from 0 to 1."""
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[min(7, max(0, int(8 * value)))] for value in values)


@app.command(name="data list")
def data_list(*, json: AsJson = False) -> int:
    """List the data sets."""
    from flyroom.data import CARDS

    if json:
        _print_json(list(CARDS))
        return 0
    for card in CARDS:
        print(f"{card['id']:10} {card['name']}  ({card['modality']}; {', '.join(card['tasks'])}; {card['licence']})")
    return 0


@app.command(name="data make")
def data_make(
    name: Positional[str],
    *,
    out: Path,
    stream: str | None = None,
    dtype: Literal["float32", "float64"] = "float64",
    overwrite: bool = False,
    json: AsJson = False,
    rest: Positional[tuple[str, ...]] = (),
) -> int:
    """Make a data set and save it: flyroom data make mnist1d --samples 1000000 --stream indexed --out x.npz

    Every argument of the generator is an option as well (--samples, --seed, --padding 36 60, ...); a wrong one is
    answered with the list.

    Args:
        name: a data set of `flyroom data list`
        out: a file that ends in .npz or .parquet
        stream: mnist1d's canonical (equal to the published package, bit for bit) or indexed (endless, random access)
        dtype: the type of the numbers in the file
        overwrite: replace the file if it is there
    """
    import tyro

    from flyroom.data import archive, maker

    words = ["--num-samples" if word == "--samples" else word for word in rest]
    dataset = tyro.cli(maker(name, stream), args=words, prog=f"flyroom data make {name}")
    path = archive.save(dataset, out, dtype, overwrite=overwrite)
    shapes = {"train": list(dataset.x_train.shape), "test": list(dataset.x_test.shape)}
    if json:
        _print_json({"path": str(path), "name": dataset.name, **shapes, "recipe": dict(dataset.recipe)})
    else:
        print(f"{path}: {dataset.name}, train {shapes['train']}, test {shapes['test']}")
    return 0


@app.command(name="report")
def report(
    claims: Positional[tuple[str, ...]] = (), *, store: StorePath = DEFAULT_STORE, out: Path | None = None
) -> int:
    """Write the pages of what is in the store, and an index of them.

    Args:
        claims: which claims; none means all that were judged
        out: directory for the pages; by default `pages` in the store
    """
    from flyroom import report as pages
    from flyroom.store import open_store

    directory = out or store / "pages"
    with open_store(store, create=False) as opened:
        accounts = [one for one in opened.accounts() if not claims or one.about.id in claims]
        missing = set(claims) - {one.about.id for one in accounts}
        if missing or not accounts:
            wanted = ", ".join(sorted(missing)) or "any claim"
            raise ValueError(f"{store} holds no verdict on {wanted}; flyroom run makes one")
        for account in accounts:
            results = [record for record in opened.records(claim=account.about.id) if record.key in account.keys]
            page = pages.page(account, [record.result for record in results])
            print(pages.write(page, directory / pages.filename(account)))
        print(pages.write(pages.gallery(accounts), directory / "index.html"))
    return 0


@app.command(name="export")
def export(
    *,
    store: StorePath = DEFAULT_STORE,
    csv: Path | None = None,
    parquet: Path | None = None,
    json: Path | None = None,
) -> int:
    """Write every run in the store to a table, one row a run.

    Args:
        csv: a file for comma-separated values
        parquet: a file for Parquet (needs flyroom[lab])
        json: a file for JSON
    """
    from flyroom.store import export as write
    from flyroom.store import open_store

    files = {"csv": csv, "parquet": parquet, "json": json}
    chosen = {form: path for form, path in files.items() if path is not None}
    if not chosen:
        raise ValueError("nothing to write: name a file with --csv, --parquet or --json")
    with open_store(store, create=False) as opened:
        for form, path in chosen.items():
            print(f"{path}: {write(opened, path, form)} runs")
    return 0


@app.command(name="doctor")
def doctor(*, store: StorePath = DEFAULT_STORE, json: AsJson = False) -> int:
    """Say what is installed, what networks are trained on, and whether the store is sound."""
    from flyroom import machine
    from flyroom.store import health
    from flyroom.train import devices

    here = machine.provenance("flyroom doctor")
    state = health(store)
    names = [f"{device.platform}:{device.id} {device.device_kind}" for device in devices()]
    if json:
        found = {"version": here.version, "source": here.source, "packages": dict(here.packages)}
        _print_json({**found, "machine": dict(here.machine), "devices": names, "store": state})
    else:
        print(f"flyroom {here.version} (source {here.source[:12]})")
        print("\n".join(f"  {name} {version}" for name, version in here.packages.items()))
        print("machine: " + ", ".join(f"{name} {value}" for name, value in here.machine.items()))
        print("devices: " + ", ".join(names))
        print("store:")
        print("\n".join(f"  {name}: {value}" for name, value in state.items()))
    return 0 if state["ok"] or not state["exists"] else 1


@contextmanager
def _progress(name: str, runs: int, cost: float) -> Iterator[Callable[[int, float, str], None]]:
    """A bar with rate and remaining time on a terminal, plain lines elsewhere; both on standard error."""
    if runs == 0:
        yield lambda count, weight, label: None
        return
    done = 0
    if not sys.stderr.isatty():

        def tell(count: int, weight: float, label: str) -> None:
            nonlocal done
            done += count
            _say(f"{name}: {done} of {runs} ({label})")

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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=1, ensure_ascii=False))


def _words(argv: Sequence[str]) -> list[str]:
    """Two words to one command ("data make"), generator options behind the rest, near matches for a wrong command."""
    words = list(argv)
    if words and words[0] in GROUPS and len(words) > 1 and not words[1].startswith("-"):
        words[:2] = [f"{words[0]} {words[1]}"]
    names = list(app._subcommands)
    if words and words[0] in GROUPS:
        inner = [name for name in names if name.startswith(words[0])]
        raise ValueError(f"flyroom {words[0]} needs a second word: {', '.join(inner)}")
    if words and not words[0].startswith("-") and words[0] not in names:
        near = get_close_matches(words[0], names, n=2, cutoff=0.4) or names
        raise ValueError(f"there is no command {words[0]!r}; did you mean {' or '.join(near)}?")
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        return int(app.cli(prog="flyroom", args=_words(sys.argv[1:] if argv is None else argv), config=(FlagCreatePairsOff,)))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader had enough: flyroom ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("FLYROOM_TRACEBACK"):
            raise
        _say(f"flyroom: {error}")
        return 1 if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) else 2
