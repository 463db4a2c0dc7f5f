"""What `flyroom doctor` says of a store: looked at, never changed."""

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from flyroom.records import Json
from flyroom.store import _database
from flyroom.store._arrays import FOLDER, TEMPORARY


def health(directory: str | Path) -> dict[str, Json]:
    """Examine a store, every byte of it, without creating or changing anything.

    Returns `path`; `exists`; `bytes` (the file, its log and the arrays); `schema`; `integrity` ("ok", or
    what is wrong); `results` by claim; `accounts` (one for each of a claim's settings); of the files with
    arrays, `arrays` (how many), `missing`, `damaged`, `unreferenced` (a process was killed between them and
    the results that they belong to; harmless); `temporary` (half-written files, removed when the store is
    opened an hour later); `set_aside` (damaged files of former times); and `ok`: nothing is wrong that could
    lose a result.
    """
    directory = Path(directory)
    path = directory / _database.FILE
    files = sorted((directory / FOLDER).glob("*.npz"))
    report: dict[str, Any] = {
        "path": str(path),
        "exists": path.is_file(),
        "bytes": sum(file.stat().st_size for file in [*directory.glob(f"{_database.FILE}*"), *files]),
        "schema": None,
        "integrity": "ok" if path.is_file() else "there is no store",
        "results": {},
        "accounts": 0,
    }
    wanted: set[str] = set()
    if report["exists"]:
        try:
            with _database.explained(path), _reader(path) as connection:
                wanted = _examine(connection, path, report)
        except (ValueError, OSError) as error:
            report["integrity"] = str(error)
    report |= _examine_arrays(files, wanted)
    report["temporary"] = [file.name for file in sorted((directory / FOLDER).glob(f"*{TEMPORARY}"))]
    report["set_aside"] = [file.name for file in sorted(directory.glob(f"{_database.FILE}.set-aside-*"))]
    report["ok"] = report["integrity"] == "ok" and not report["missing"] and not report["damaged"]
    return report


def _examine(connection: sqlite3.Connection, path: Path, report: dict[str, Any]) -> set[str]:
    """Fill in what the database says; returns the digests of the arrays that it refers to."""
    report["schema"] = _database.recognise(connection, path)
    faults = list(_database.faults(connection, path, thorough=True))
    report["integrity"] = "; ".join(faults) or "ok"
    if report["schema"] != len(_database.STEPS):
        return set()
    query = "SELECT claim, COUNT(*) FROM results GROUP BY claim ORDER BY claim"
    report["results"] = dict(connection.execute(query))
    report["accounts"] = connection.execute("SELECT COUNT(*) FROM accounts").fetchone()[0]
    records = connection.execute("SELECT CAST(record AS BLOB) FROM results WHERE record LIKE '%\"arrays\":%'")
    found = set()
    for (text,) in records:
        try:
            found.add(msgspec.json.decode(text).get("arrays"))
        except ValueError:  # said already, among the faults
            continue
    return found - {None}


def _examine_arrays(files: list[Path], wanted: set[str]) -> dict[str, Json]:
    damaged, unreferenced = [], []
    for file in files:
        with file.open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.stem:
                damaged.append(file.name)
        if file.stem not in wanted:
            unreferenced.append(file.name)
    missing = sorted(f"{digest}.npz" for digest in wanted - {file.stem for file in files})
    return {"arrays": len(files), "missing": missing, "damaged": damaged, "unreferenced": unreferenced}


@contextmanager
def _reader(path: Path) -> Iterator[sqlite3.Connection]:
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if log.exists() and not index.exists():
        # To read a log SQLite makes an index beside it, which belongs to nobody's store but a copy's.
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(log, folder)
            with _opened(Path(shutil.copy(path, folder))) as connection:
                yield connection
    else:
        with _opened(path) as connection:
            yield connection


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    source = path.resolve().as_uri() + _database.reading_mode(path)
    with closing(sqlite3.connect(source, uri=True, timeout=_database.WAIT_S)) as connection:
        yield connection
