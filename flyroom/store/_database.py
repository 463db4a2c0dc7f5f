"""The SQLite file: opened, recognised, made, migrated, set aside, and its errors put into words."""

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from flyroom.store._form import Damaged, damaged, opened

FILE = "flyroom.sqlite"
APPLICATION = 0x466C7952  # "FlyR": how `file` and SQLite's own tools tell whose database this is
WAIT_S = 60.0  # for another process to finish its transaction

# Step n takes a store from schema n to n + 1; the first makes a new one. A step that was released is never
# edited.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE provenance (digest TEXT PRIMARY KEY, record TEXT NOT NULL)",
        "CREATE TABLE results (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, claim TEXT NOT NULL,"
        " version INTEGER NOT NULL, provenance TEXT NOT NULL REFERENCES provenance (digest),"
        " record TEXT NOT NULL, digest TEXT NOT NULL)",
        "CREATE INDEX results_of_claim ON results (claim, version)",
        "CREATE TABLE accounts (claim TEXT PRIMARY KEY, record TEXT NOT NULL, digest TEXT NOT NULL)",
    ),
    (  # one account for each pair of a claim and its settings; a higher id was kept later
        "ALTER TABLE accounts RENAME TO accounts_of_schema_1",
        "CREATE TABLE accounts"
        " (id INTEGER PRIMARY KEY, claim TEXT NOT NULL, record TEXT NOT NULL, digest TEXT NOT NULL)",
        "INSERT INTO accounts (claim, record, digest) SELECT claim, record, digest FROM accounts_of_schema_1",
        "DROP TABLE accounts_of_schema_1",
        "CREATE UNIQUE INDEX accounts_of_settings ON accounts (claim, json_extract(record, '$.settings'))",
    ),
)

# Records are read as bytes: their digest is checked before they are believed to be text.
SELECT_RESULTS = (
    "SELECT results.key, results.provenance, CAST(results.record AS BLOB), results.digest,"
    " CAST(provenance.record AS BLOB)"
    " FROM results LEFT JOIN provenance ON provenance.digest = results.provenance"
)
SELECT_ACCOUNTS = "SELECT claim, CAST(record AS BLOB), digest FROM accounts"


def connect(path: Path, *, writable: bool, thorough: bool) -> sqlite3.Connection:
    """A connection to the store at `path`, made or migrated where it must be. `thorough` reads every row."""
    with explained(path):
        source = path.resolve().as_uri() + ("?mode=rwc" if writable else reading_mode(path))
        connection = sqlite3.connect(source, uri=True, timeout=WAIT_S, isolation_level=None)
    try:
        with explained(path):
            schema = recognise(connection, path)
            if schema and (fault := next(faults(connection, path, thorough), None)):
                raise damaged(path, fault)
            if schema < len(STEPS):
                _migrate(connection, path, writable)
            if writable:
                _write_ahead(connection)
                connection.execute("PRAGMA synchronous = FULL")
        return connection
    except BaseException:
        connection.close()
        raise


def reading_mode(path: Path) -> str:
    """How to open the file so that nothing is created: SQLite would make a log, even for a reader."""
    return "?mode=ro" if _beside(path, "-wal").exists() else "?mode=ro&immutable=1"


def recognise(connection: sqlite3.Connection, path: Path) -> int:
    """The schema of a database of ours; an error if it is not ours, or newer than this code."""
    # A process killed while it made the file leaves an empty database, which is schema 0: nobody's yet.
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0
    if application != APPLICATION and not (application == schema == 0 and empty):
        raise ValueError(
            f"{path} is a database of another program (application_id {application}), not a Flyroom store;"
            " nothing was changed. Give another directory"
        )
    if schema > len(STEPS):
        raise ValueError(
            f"{path} has schema {schema}, made by a newer flyroom; this one knows up to {len(STEPS)}."
            " Update flyroom, or give another directory"
        )
    return schema


def faults(connection: sqlite3.Connection, path: Path, thorough: bool) -> Iterator[str]:
    """What is wrong with the database, one line each: its structure and, if `thorough`, each row's digest."""
    check = "integrity_check" if thorough else "quick_check(1)"
    yield from (line for (line,) in connection.execute(f"PRAGMA {check}") if line != "ok")
    if not thorough or connection.execute("PRAGMA user_version").fetchone()[0] != len(STEPS):
        return  # the tables of an older schema are read after its migration
    rows = ((row[0], row[2:4], row[:2]) for row in connection.execute(SELECT_RESULTS))
    yield from _changed(rows, path, "result")
    makers = connection.execute("SELECT digest, CAST(record AS BLOB) FROM provenance")
    yield from _changed(((digest, (text, digest), ()) for digest, text in makers), path, "provenance")
    yield from _changed_accounts(connection, path)


def _changed_accounts(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    accounts = connection.execute(SELECT_ACCOUNTS)
    yield from _changed(((row[0], row[1:], row[:1]) for row in accounts), path, "account")


def _changed(rows, path: Path, what: str) -> Iterator[str]:
    for name, (text, digest), others in rows:
        try:
            opened(text, digest, path, *others)
        except Damaged:
            yield f"the {what} {name} is not what was written"


def _migrate(connection: sqlite3.Connection, path: Path, writable: bool) -> None:
    if not writable:
        raise PermissionError(
            f"{path} has an older schema and cannot be migrated, because it may not be written; copy the"
            " directory to where you may write"
        )
    with transaction(connection):
        # Another process may have done it while this one waited.
        schema = recognise(connection, path)
        # What cannot be believed cannot be rewritten either: accounts are read by the step from schema 1.
        if schema and (fault := next(_changed_accounts(connection, path), None)):
            raise damaged(path, fault)
        for step in STEPS[schema:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    # SQLite does not wait for others when it changes the kind of its journal, so this does.
    until = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that happens inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def rename_aside(path: Path) -> Path:
    """Rename the file, and the log that belongs to it, to a name that says when; returns that name."""
    aside = path.with_name(f"{path.name}.set-aside-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    for suffix in ("-wal", "-shm", ""):
        if (part := _beside(path, suffix)).exists():
            part.rename(_beside(aside, suffix))
    return aside


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors, and those of a full disk, in words that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        explanation = _explanation(error, path)
        if explanation is None:
            raise
        raise explanation from error
    except UnicodeDecodeError as error:  # SQLite's own message quotes a name from the file
        raise damaged(path, str(error)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise _full(path, str(error)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise _forbidden(path, str(error)) from error
        raise


def _explanation(error: sqlite3.Error, path: Path) -> Exception | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # raised by Python's module: text that is not UTF-8, or a store that is closed already
        return damaged(path, str(error)) if isinstance(error, sqlite3.OperationalError) else None
    match code & 0xFF:
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case sqlite3.SQLITE_FULL:
            return _full(path, str(error))
        case sqlite3.SQLITE_IOERR:
            return OSError(
                errno.EIO,
                f"{path} could not be read or written ({error}): the disk is full, a limit on the size of"
                " files is reached, or the disk fails. What was finished before is kept; make room and run"
                " again",
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return TimeoutError(
                f"{path} was held by another process for {WAIT_S:g} seconds; wait for it or end it, and run again"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return _forbidden(path, str(error))
    return None


def _forbidden(path: Path, detail: str) -> PermissionError:
    return PermissionError(
        f"{path} cannot be written ({detail}): give a directory in which you may write, or change the permissions"
        f" of {path.parent} and of what is in it"
    )


def _full(path: Path, detail: str) -> OSError:
    return OSError(
        errno.ENOSPC,
        f"no room to write the store {path} ({detail}). What was finished before is kept; make room and run again",
    )


def look(directory: Path, create: bool) -> bool:
    """Whether the store in `directory` may be written; the directory is made if `create` says so."""
    path = directory / FILE
    try:
        if create:
            directory.mkdir(parents=True, exist_ok=True)
        # An empty file is what a process leaves that was killed while it made the store.
        there = path.is_file() and path.stat().st_size > 0
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"the store {directory} cannot be made: there is a file where a directory must be. Give another directory"
        ) from error
    except PermissionError as error:
        raise PermissionError(
            f"the store {directory} cannot be made or read: permission denied. Give a directory in which you may write"
        ) from error
    nearest = next(part for part in (directory, *directory.absolute().parents) if part.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"there can be no store {directory}: {nearest} is a file. Give another directory")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, and the store's file has that name. Give another directory")
    if not (there or create):
        raise FileNotFoundError(
            f"there is no store in {directory} (no {FILE} in it); give the directory of one, or run a claim first"
        )
    writable = os.access(directory, os.W_OK | os.X_OK) and (not path.exists() or os.access(path, os.W_OK))
    if create and not writable:
        raise PermissionError(
            f"the store {directory} may be read but not written; give a directory in which you may write,"
            f" or change the permissions of {directory} and of what is in it"
        )
    return writable
