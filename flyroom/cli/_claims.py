"""Commands on claims and on what the store holds of them: run, claims, report, export."""

import os
import shlex
import sys
from typing import Annotated, Any

from tyro.conf import Positional, arg

from flyroom.cli._app import (
    DEFAULT_STORE,
    AsJson,
    PathOrNone,
    StorePath,
    TextOrNone,
    WholeOrNone,
    command,
    let_import,
)
from flyroom.cli._terminal import print_json, progress, say, show

Claims = Positional[Annotated[tuple[str, ...], arg(metavar="CLAIM ...", help_behavior_hint="")]]


@command("run")
def run(
    claims: Claims = (),
    *,
    runs: WholeOrNone = None,
    quick: bool = False,
    net: TextOrNone = None,
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
    from flyroom import report
    from flyroom.store import open_store

    let_import(net)
    names = shelf.NAMES if claims == ("all",) else claims or (shelf.DEFAULT,)
    chosen = [shelf.load(name) for name in dict.fromkeys(names)]
    settings = [_settings(claim, quick, runs=runs, net=net) for claim in chosen]
    wanted = [claim.cells(setting) for claim, setting in zip(chosen, settings, strict=True)]
    provenance = _provenance()
    judged, failed = [], []
    with open_store(store, set_aside=set_aside) as opened:
        for claim, setting, cells in zip(chosen, settings, wanted, strict=True):
            try:
                account = _conduct(claim, setting, cells, opened, provenance, quiet=json)
            except RuntimeError as error:
                if os.environ.get("FLYROOM_TRACEBACK"):
                    raise
                say(f"{claim.ABOUT.id}: {error}")
                failed.append(claim.ABOUT.id)
                continue
            keyed = [one for cell in cells for one in cell.runs]
            page = store / "pages" / report.filename(account)
            page.parent.mkdir(parents=True, exist_ok=True)
            report.write(report.page(account, opened.results(keyed), opened.provenance(keyed)), page)
            judged.append((account, page))
            if not json:
                show(account, page)
    if json:
        print_json({"claims": [_contract(account) for account, _ in judged], "store": str(store)})
    return 1 if failed else 0


def _provenance() -> Any:
    """What runs are made with: this machine, its devices, and the command as it can be pasted."""
    from dataclasses import replace

    from flyroom import machine
    from flyroom.train import devices

    found = machine.provenance(shlex.join(["flyroom", *sys.argv[1:]]))
    kinds = dict.fromkeys(f"{device.platform} {device.device_kind}" for device in devices())
    return replace(found, machine={**found.machine, "devices": f"{len(devices())} x {', '.join(kinds)}"})


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

    # One network a core; a GPU trains all of a cell at once.
    width = len(devices()) if devices()[0].platform == "cpu" else max(len(cell.runs) for cell in cells)
    left = engine.pending(cells, store.missing, width)
    total = sum(len(cell.runs) for cell in cells)
    to_run = sum(len(cell.runs) for cell in left)
    if not quiet and to_run < total:
        say(f"{claim.ABOUT.id}: {total - to_run} of {total} runs are stored; {to_run} to run")
    try:
        with progress(claim.ABOUT.id, to_run, sum(claim.cost(one) for cell in left for one in cell.runs)) as advance:

            def finished(cell: Any, outcome: Any) -> None:
                first = cell.runs[0].settings
                name = f"{first.get('net', '')}{' shuffled' if first.get('shuffled') else ''}"
                if isinstance(outcome, Exception):
                    say(f"{name}: {type(outcome).__name__}: {outcome}")
                advance(len(cell.runs), sum(claim.cost(one) for one in cell.runs), name)

            return engine.conduct(claim, settings, cells, left, store, provenance, finished)
    except KeyboardInterrupt:
        there = total - len(store.missing([one for cell in cells for one in cell.runs]))
        raise KeyboardInterrupt(
            f"stopped; {there} of {total} runs are stored in {store.directory}; the same command goes on from there"
        ) from None


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


@command("claims")
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
        print_json(rows)
        return 0
    for row in rows:
        print(f"{row['id']}  ({row['verdict'] or 'not run yet'}; about {row['cost_s']:.0f} s)")
        print(f"    {row['sentence']}\n    {row['source']}")
    return 0


@command("report")
def report(claims: Claims = (), *, store: StorePath = DEFAULT_STORE, out: PathOrNone = None) -> int:
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
        directory.mkdir(parents=True, exist_ok=True)
        for account in accounts:
            results = [record for record in opened.records(claim=account.about.id) if record.key in account.keys]
            found = [record.result for record in results]
            page = pages.page(account, found, opened.provenance([one.run for one in found]))
            print(pages.write(page, directory / pages.filename(account)))
        print(pages.write(pages.gallery(accounts), directory / "index.html"))
    return 0


@command("export")
def export(
    *,
    store: StorePath = DEFAULT_STORE,
    csv: PathOrNone = None,
    parquet: PathOrNone = None,
    json: PathOrNone = None,
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
