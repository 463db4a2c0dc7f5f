"""The command that puts claims to the test."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple

from tyro.conf import UseAppendAction, arg

from flyroom.cli._app import DEFAULT_STORE, AsJson, Claims, StorePath, TextOrNone, WholeOrNone, command, let_import
from flyroom.cli._contract import contract
from flyroom.cli._terminal import duration, print_json, progress, say, show

Assignments = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="NAME=VALUE", help_behavior_hint="(repeatable)")]]


@command("run")
def run(
    claims: Claims = (),
    *,
    runs: WholeOrNone = None,
    quick: bool = False,
    faithful: bool = False,
    set: Assignments = (),
    net: TextOrNone = None,
    scheduler: TextOrNone = None,
    store: StorePath = DEFAULT_STORE,
    set_aside: bool = False,
    json: AsJson = False,
) -> int:
    """Put claims to the test: train what is not in the store yet, judge, write a page.

    Args:
        claims: which claims, or a file with one of your own; none means spatial-prior, "all" all of them
        runs: networks (seeds) of each kind
        quick: a short form, to see everything work; it may leave things undecided
        faithful: the published protocol in full, where the default is shorter; says first what it costs
        set: a setting of the claim, such as --set steps=1000; its page says which there are
        net: a network of your own for the table, such as mlp:40-300-10:tanh
        scheduler: where to run: tcp://HOST:8786, file:PATH or local:N (needs flyroom[cluster]); otherwise here
        set_aside: if the store's file is damaged, rename it and begin a new one
    """
    from flyroom import claims as shelf
    from flyroom import report
    from flyroom.store import open_store

    let_import(net, *claims)
    names = shelf.NAMES if claims == ("all",) else claims or (shelf.DEFAULT,)
    chosen = [shelf.load(name) for name in dict.fromkeys(names)]
    _require_distinct(chosen)
    given = _assigned(set) | {name: value for name, value in (("runs", runs), ("net", net)) if value is not None}
    _require_known(given, chosen)
    settings = [_settings(claim, given, quick=quick, faithful=faithful) for claim in chosen]
    wanted = [claim.cells(setting) for claim, setting in zip(chosen, settings, strict=True)]
    judged, failed = [], []
    with open_store(store, set_aside=set_aside) as opened, _where(scheduler) as place:
        provenance = _provenance(place.machines)
        try:
            for claim, setting, cells in zip(chosen, settings, wanted, strict=True):
                try:
                    account = _conduct(claim, setting, cells, opened, provenance, place, quiet=json)
                    page = report.publish_claim(opened, store / "pages", account.about.id)
                except (RuntimeError, ValueError) as error:  # this claim's; the others are run all the same
                    if os.environ.get("FLYROOM_TRACEBACK"):
                        raise
                    say(f"{claim.ABOUT.id}: {error}")
                    failed.append(claim.ABOUT.id)
                    continue
                judged.append(account)
                if not json:
                    show(account, page)
        finally:
            if judged:
                report.publish_index(opened, store / "pages")
    if json:
        print_json({"claims": [contract(account) for account in judged], "store": str(store)})
    elif len(chosen) > 1:
        _sum_up(judged, failed, store)
    return 1 if failed else 0


def _assigned(assignments: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE words as a dictionary; ValueError for a word that is none."""
    for one in assignments:
        if "=" not in one.strip("="):
            raise ValueError(f"--set {one!r} is not of the form NAME=VALUE, such as --set steps=1000")
    return {name.replace("-", "_"): value for name, _, value in (one.partition("=") for one in assignments)}


def _require_distinct(chosen: list[Any]) -> None:
    """Two claims of one id would be judged on each other's results."""
    ids = [claim.ABOUT.id for claim in chosen]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise ValueError(f"two of these claims have the id {twice[0]!r}; give one of them another")


def _require_known(given: dict[str, Any], chosen: list[Any]) -> None:
    """Raise ValueError, with near matches, for a setting that none of these claims has."""
    from dataclasses import fields
    from difflib import get_close_matches

    known = list(dict.fromkeys(field.name for claim in chosen for field in fields(claim.Settings)))
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            who = f"{chosen[0].ABOUT.id} has no" if len(chosen) == 1 else "none of these claims has a"
            raise ValueError(f"{who} setting {name}; {hint}")


def _settings(claim: Any, given: dict[str, Any], *, quick: bool, faithful: bool) -> Any:
    """The claim's settings with what was given and it has; ValueError for what cannot be read."""
    from dataclasses import replace
    from typing import get_type_hints

    import msgspec

    if quick and faithful:
        raise ValueError("--quick and --faithful ask for opposite things; choose one")
    kinds = get_type_hints(claim.Settings)
    changed = {}
    for name, value in given.items():
        if name not in kinds:
            continue  # another of the claims has it
        try:
            changed[name] = msgspec.convert(value, kinds[name], strict=False)
        except msgspec.ValidationError:
            kind = getattr(kinds[name], "__name__", kinds[name])
            raise ValueError(f"{claim.ABOUT.id}: {name}={value} is not of the kind {kind}") from None
    settings = replace(claim.Settings(), **changed)
    if quick:
        return replace(settings, **{k: v for k, v in claim.quick(settings).items() if k not in changed})
    if faithful and hasattr(claim, "faithful"):
        return replace(settings, **{k: v for k, v in claim.faithful(settings).items() if k not in changed})
    return settings


def _provenance(machines: dict[str, Any]) -> Any:
    """What runs are made with: this machine, its devices, and the command as it can be pasted."""
    from dataclasses import replace

    from flyroom import machine
    from flyroom.train import devices

    found = machine.provenance(shlex.join(["flyroom", *sys.argv[1:]]))
    kinds = dict.fromkeys(f"{device.platform} {device.device_kind}" for device in devices())
    here = f"{len(devices())} x {', '.join(kinds)}"
    return replace(found, machine={**found.machine, "devices": here, **machines})


class Where(NamedTuple):
    """Where cells run, how many networks a cell may have there, and what is to be noted of the machines."""

    run: Any
    width: Callable[[Any, Any], int]
    machines: dict[str, Any]


@contextmanager
def _where(scheduler: str | None) -> Iterator[Where]:
    """This process with all its devices, or a cluster."""
    if scheduler is None:
        from flyroom import engine
        from flyroom.cli._compiled import keep_compiled
        from flyroom.train import devices

        keep_compiled()
        # One network a core; a GPU trains all of a cell at once.
        width = len(devices()) if devices()[0].platform == "cpu" else 1_000
        yield Where(engine.here, lambda claim, cells: width, {})
        return
    from collections import Counter

    from flyroom import cluster

    with cluster.connect(scheduler) as there:
        count = len(cluster.workers(there))
        kinds = Counter(str(one.get("processor", "unknown")) for one in cluster.workers(there).values())
        workers = ", ".join(f"{n} x {kind}" for kind, n in kinds.items())
        yield Where(there, lambda claim, cells: cluster.width(claim, cells, count), {"workers": workers})


def _conduct(claim: Any, settings: Any, cells: Any, store: Any, provenance: Any, place: Where, *, quiet: bool) -> Any:
    from flyroom import engine

    left = engine.pending(cells, store.missing, place.width(claim, cells))
    total = sum(len(cell.runs) for cell in cells)
    to_run = sum(len(cell.runs) for cell in left)
    cost = sum((claim.cost(one) for cell in left for one in cell.runs), 0.0)
    if not quiet and to_run < total:
        say(f"{claim.ABOUT.id}: {total - to_run} of {total} runs are stored; {to_run} to run")
    if not quiet and cost > 600:
        say(f"{claim.ABOUT.id}: about {duration(cost)} of one core; Ctrl-C stops, and what is finished stays stored")
    coordinates = [cell.runs[0].settings for cell in cells]
    names = dict.fromkeys(name for one in coordinates for name in one)
    varying = [name for name in names if any(one.get(name) != coordinates[0].get(name) for one in coordinates)]
    try:
        with progress(claim.ABOUT.id, to_run, cost) as advance:

            def finished(cell: Any, outcome: Any) -> None:
                name = _label({name: cell.runs[0].settings.get(name) for name in varying})
                if isinstance(outcome, Exception):
                    say(f"{name}: {type(outcome).__name__}: {outcome}")
                advance(len(cell.runs), sum(claim.cost(one) for one in cell.runs), name)

            return engine.conduct(claim, settings, cells, left, store, provenance, finished, place.run)
    except KeyboardInterrupt:
        there = total - len(store.missing([one for cell in cells for one in cell.runs]))
        raise KeyboardInterrupt(
            f"stopped; {there} of {total} runs are stored in {store.directory}; the same command goes on from there"
        ) from None


def _label(settings: Any) -> str:
    """What a cell is, in a few words: mnist1d-mlp shuffled, width 47 noise 0.15."""
    words = []
    for name, value in settings.items():
        if isinstance(value, bool):
            words += [name] if value else []
        elif isinstance(value, str):
            words.append(value[:24])
        elif isinstance(value, int | float):
            words.append(f"{name} {value:g}")
    return " ".join(words)


def _sum_up(accounts: list[Any], failed: list[str], store: Any) -> None:
    """A line for each claim, after all of them."""
    print()
    for account in accounts:
        print(f"{account.judgement.verdict.value:10}  {account.about.id}: {account.judgement.sentence}")
    for name in failed:
        print(f"{'failed':10}  {name}")
    wall = sum(account.judgement.wall_s for account in accounts)
    page = store / "pages" / "index.html"
    print(f"{len(accounts)} claims, {duration(wall)} of training and measuring; gallery: {page}")
