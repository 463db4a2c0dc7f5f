"""All pages of a store: the claims and their index. Nothing but the store is read."""

from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path

from flyroom.records import Account
from flyroom.report._claim import page
from flyroom.report._files import INDEX, filename, write
from flyroom.report._gallery import gallery
from flyroom.store import Store


def publish(store: Store, directory: str | Path, claims: Collection[str] = ()) -> Iterator[Path]:
    """Write the pages of `claims` (none means all that were judged) and the index of all; yields each path when it
    is written.

    Raises ValueError, before anything is written, for a claim without a verdict.
    """
    first = [accounts[0].about.id for accounts in _shelf(store)]
    missing = set(claims) - set(first)
    if missing or not first:
        wanted = ", ".join(sorted(missing)) or "any claim"
        raise ValueError(f"{store.directory} holds no verdict on {wanted}; flyroom run makes one")
    for claim in first:
        if not claims or claim in claims:
            yield publish_claim(store, directory, claim)
    yield publish_index(store, directory)


def publish_claim(store: Store, directory: str | Path, claim: str) -> Path:
    """Write the page of one claim, of the account that `Store.account` gives; it names those under other settings.

    Raises ValueError for a claim without a verdict.
    """
    shelf = _shelf(store)
    account, *others = next((found for found in shelf if found[0].about.id == claim), (None,))
    if account is None:
        raise ValueError(f"{store.directory} holds no verdict on {claim}; flyroom run makes one")
    keys = set(account.keys)
    results = [record.result for record in store.records(claim=claim) if record.key in keys]
    made_by = store.provenance([one.run for one in results])
    text = page(account, results, made_by, others=others, shelf=[accounts[0].about for accounts in shelf])
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    return write(text, directory / filename(account))


def publish_index(store: Store, directory: str | Path) -> Path:
    """Write the index of every claim that was judged."""
    return write(gallery([accounts[0] for accounts in _shelf(store)]), Path(directory) / INDEX)


def _shelf(store: Store) -> list[list[Account]]:
    """The accounts of each claim, the one to be shown first."""
    return [list(same) for _, same in groupby(store.accounts(every=True), lambda one: one.about.id)]
