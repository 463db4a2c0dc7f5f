"""Commands on what there is: the shelf of claims, and what a store holds of them: claims, report, export."""

from flyroom.cli._app import DEFAULT_STORE, AsJson, Claims, PathOrNone, StorePath, command
from flyroom.cli._terminal import print_json


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

    with open_store(store, create=False) as opened:
        for path in pages.publish(opened, out or store / "pages", claims):
            print(path)
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
