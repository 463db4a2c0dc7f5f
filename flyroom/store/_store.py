"""A store while it is open."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from flyroom.records import Account, Json, Provenance, Result, Run
from flyroom.store import _database, _form
from flyroom.store._arrays import FOLDER, read_arrays, sweep, write_arrays
from flyroom.store._form import Damaged, key


class Record(NamedTuple):
    """A stored result, with its key and with the circumstances in which it was made."""

    key: str
    result: Result
    provenance: Provenance


def open_store(directory: str | Path, *, create: bool = True, set_aside: bool = False) -> "Store":
    """Open the store in `directory`, and make it if there is none and `create` says so.

    Without `create` a store that may not be written is opened for reading. An older schema is migrated in one
    transaction. With `set_aside` everything in the file is checked, and a damaged file is renamed, kept, and
    replaced by a new one.

    Raises:
        FileNotFoundError: there is no store and none is to be made.
        NotADirectoryError, IsADirectoryError, PermissionError: there cannot be one, or it cannot be written.
        Damaged: the file is corrupt or not an SQLite database.
        ValueError: a database of another program, or of a newer Flyroom.
        TimeoutError: another process held it for a minute.
        OSError: the disk is full or fails.
    """
    directory = Path(directory)
    path = directory / _database.FILE
    writable = _database.look(directory, create)
    try:
        connection = _database.connect(path, writable=writable, thorough=set_aside)
    except Damaged:
        if not (set_aside and writable):
            raise
        _database.rename_aside(path)
        connection = _database.connect(path, writable=writable, thorough=False)
    if writable:
        sweep(directory / FOLDER)
    return Store(directory, connection)


class Store:
    """An open store: see `open_store`. It holds a connection, so it belongs to one thread and is closed
    after use.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory, open_store(directory) as store:
    ...     run = Run("spatial-prior", 1, {"net": "mlp"}, 0, {"name": "mnist1d"})
    ...     store.add([Result(run, {"accuracy": 0.68})], Provenance("0.1.0", "", {}, {}, "flyroom run", ""))
    ...     store.missing([run])
    1
    []
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection):
        self.directory = directory
        self.path = directory / _database.FILE
        self._connection = connection

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Nothing is written by it: what was added is there already."""
        self._connection.close()

    def missing(self, runs: Iterable[Run]) -> list[Run]:
        """Those of `runs` that have no result yet, in their order, each once."""
        wanted: dict[str, Run] = {}
        for run in runs:
            wanted.setdefault(key(run), run)
        there = self._there(wanted)
        return [run for name, run in wanted.items() if name not in there]

    def add(self, results: Iterable[Result], provenance: Provenance) -> int:
        """Store the results of a cell, all or none of them; returns how many were new.

        A run that has a result keeps it: training it again neither doubles nor replaces it.

        Raises:
            TypeError: a value that is not a number, or an array that is not of numbers or text.
            OSError: the disk is full or fails, or the store may not be written.
        """
        given: dict[str, Result] = {}
        for result in results:
            given.setdefault(key(result.run), result)
        made_by = _form.encode(_form.portable(asdict(provenance)))
        maker = hashlib.sha256(made_by).hexdigest()
        there = self._there(given)
        with _database.explained(self.path):
            rows = [self._row(name, result, maker) for name, result in given.items() if name not in there]
            if not rows:
                return 0
            with _database.transaction(self._connection) as connection:
                connection.execute("INSERT OR IGNORE INTO provenance VALUES (?, ?)", (maker, made_by.decode()))
                before = connection.total_changes
                connection.executemany(
                    "INSERT INTO results (key, claim, version, provenance, record, digest)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                    rows,
                )
                return connection.total_changes - before

    def results(
        self,
        runs: Iterable[Run] | None = None,
        *,
        claim: str | None = None,
        version: int | None = None,
        arrays: bool = False,
    ) -> list[Result]:
        """The results of `runs`, in that order; or of a claim; or all. What is not stored is left out.

        A run comes back in plain values (1 for 1.0, a list for a tuple), whoever made it. `arrays` reads the
        arrays too; without it `Result.arrays` is empty.

        Raises:
            Damaged: a row or a file of arrays is not what was written.
            FileNotFoundError: a file of arrays is gone.
        """
        return [record.result for record in self.records(runs, claim=claim, version=version, arrays=arrays)]

    def records(
        self,
        runs: Iterable[Run] | None = None,
        *,
        claim: str | None = None,
        version: int | None = None,
        arrays: bool = False,
    ) -> list[Record]:
        """As `results`, each with its key and provenance."""
        if runs is not None:
            order = {key(run): place for place, run in enumerate(runs)}
            where = " WHERE results.key IN (SELECT value FROM json_each(?))"
            rows = self._rows(_database.SELECT_RESULTS + where, list(order))
            rows.sort(key=lambda row: order[row[0]])
        else:
            where = " WHERE (?1 IS NULL OR claim = ?1) AND (?2 IS NULL OR version = ?2) ORDER BY id"
            rows = self._rows(_database.SELECT_RESULTS + where, claim, version)
        makers: dict[str, Provenance] = {}
        records = []
        for name, maker, record, digest, made_by in rows:
            if maker not in makers:
                makers[maker] = Provenance(**_form.opened(made_by, maker, self.path))
            tree = _form.opened(record, digest, self.path, name, maker)
            records.append(Record(name, self._from_json(tree, arrays), makers[maker]))
        return records

    def provenance(self, runs: Iterable[Run] | None = None, *, claim: str | None = None) -> list[Provenance]:
        """The distinct circumstances in which results of `runs`, or of a claim, were made; oldest first."""
        distinct = {_form.encode(asdict(made)): made for _, _, made in self.records(runs, claim=claim)}
        return sorted(distinct.values(), key=lambda made: made.started)

    def keep(self, account: Account) -> None:
        """Keep the account of a claim under its settings, in place of the one before of the same settings.

        Raises:
            TypeError: a figure or a setting that is not plain JSON.
            OSError: as `add`.
        """
        claim = account.about.id
        row = (claim, *_form.sealed(_form.account_to_json(account), claim))
        with _database.explained(self.path), _database.transaction(self._connection) as connection:
            connection.execute("INSERT OR REPLACE INTO accounts (claim, record, digest) VALUES (?, ?, ?)", row)

    def account(self, claim: str) -> Account | None:
        """The account of a claim that says most: of its newest version the one that rests on the most runs, and
        of equals the one kept last. None where the claim was never judged.
        """
        return next(iter(self._accounts(claim, every=False)), None)

    def accounts(self, *, every: bool = False) -> list[Account]:
        """`account` of every claim that was judged, by name. With `every`, each claim's accounts under all settings,
        the one that `account` gives first.
        """
        return self._accounts(None, every)

    def counts(self) -> dict[str, int]:
        """How many results there are of each claim, all its versions together."""
        return dict(self._rows("SELECT claim, COUNT(*) FROM results GROUP BY claim ORDER BY claim"))

    def _accounts(self, claim: str | None, every: bool) -> list[Account]:
        where = " WHERE ?1 IS NULL OR claim = ?1 ORDER BY claim, id DESC"
        found: dict[str, list[Any]] = {}
        for name, record, digest in self._rows(_database.SELECT_ACCOUNTS + where, claim):
            found.setdefault(name, []).append(_form.opened(record, digest, self.path, name))
        chosen = []
        for name, trees in found.items():
            trees.sort(key=_form.weight, reverse=True)  # stable: of equals the one kept last stays first
            chosen += [self._account(name, tree) for tree in (trees if every else trees[:1])]
        return chosen

    def _account(self, name: str, tree: Json) -> Account:
        try:
            return _form.account_from_json(tree)
        except msgspec.ValidationError as error:
            raise ValueError(
                f"the account of {name!r} in {self.path} has another form than this flyroom writes"
                f" ({error}); judge the claim again under the same settings, its results are kept: flyroom run {name}"
            ) from error

    def _there(self, names: Iterable[str]) -> set[str]:
        query = "SELECT key FROM results WHERE key IN (SELECT value FROM json_each(?))"
        return {name for (name,) in self._rows(query, list(names))}

    def _rows(self, query: str, *values: Any) -> list[Any]:
        given = [json.dumps(value) if isinstance(value, list) else value for value in values]
        with _database.explained(self.path):
            return self._connection.execute(query, given).fetchall()

    def _row(self, name: str, result: Result, maker: str) -> tuple[str | int, ...]:
        sealed = _form.sealed(self._to_json(result), name, maker)
        return (name, result.run.claim, int(result.run.version), maker, *sealed)

    def _to_json(self, result: Result) -> Json:
        record: dict[str, Json] = {
            "run": _form.plain_run(result.run),
            "values": {name: _form.number(value, f"value {name!r}") for name, value in result.values.items()},
            "curves": {
                name: [_form.number(value, f"curve {name!r}") for value in np.asarray(curve).tolist()]
                for name, curve in result.curves.items()
            },
            "wall_s": _form.number(result.wall_s, "wall time"),
            "cpu_s": _form.number(result.cpu_s, "processor time"),
        }
        if result.arrays:
            record["arrays"] = write_arrays(self.directory / FOLDER, result.arrays)
        return _form.portable(record)

    def _from_json(self, record: dict[str, Any], arrays: bool) -> Result:
        file = record.pop("arrays", None)
        loaded = read_arrays(self.directory / FOLDER, file) if arrays and file else {}
        return Result(run=Run(**record.pop("run")), arrays=loaded, **record)
