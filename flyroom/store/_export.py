"""Every result as one row of a flat table, for pandas, Polars, DuckDB or a spreadsheet."""

import csv
import io
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from flyroom.records import Json
from flyroom.store._form import encode
from flyroom.store._store import Record, Store

Columns = dict[str, list[Any]]  # one value per row; None where a run has no such value

LISTS = "curves."  # the columns with this beginning hold lists of numbers
OBJECTS = ("machine", "packages")


def export(store: Store, path: str | Path, format: str) -> int:
    """Write every result of `store` to `path`, one row a run, and return how many rows there are.

    Columns: `key`, `claim`, `version`, `seed`; one for each setting (`settings.net`), for each argument of
    the data (`data.name`), value (`values.accuracy`) and curve (`curves.loss`) that any run has; `wall_s`
    and `cpu_s` (seconds), `flyroom`, `source`, `machine`, `packages`, `command`, `started`. A column has one
    type: if its values have several (64 in one run and "full" in another) it is JSON text. Curves are lists
    in Parquet and JSON, JSON text in CSV. NaN and infinities stay what they are in CSV and Parquet; JSON has
    none, and gets null.

    The file has its name only when it is whole; one that was there before is replaced.

    Raises:
        ValueError: another format.
        ImportError: Parquet without pyarrow.
        FileNotFoundError, IsADirectoryError: the path is not one of a file in a directory that exists.
    """
    writers: dict[str, Callable[[Columns], bytes]] = {"csv": _csv, "parquet": _parquet, "json": _json}
    if format not in writers:
        raise ValueError(f"the format is {format!r}; it must be one of {', '.join(writers)}")
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no directory {path.parent}; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the name of a file")
    records = store.records()
    content = writers[format](_columns(records))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return len(records)


def _columns(records: Iterable[Record]) -> Columns:
    rows = [_row(record) for record in records]
    names = list(_row_start()) + _found(rows, "settings.") + _found(rows, "data.") + _found(rows, "values.")
    names += _found(rows, LISTS) + list(_row_end())
    return {name: _one_type(name, [row.get(name) for row in rows]) for name in names}


def _found(rows: list[dict[str, Any]], beginning: str) -> list[str]:
    return sorted({name for row in rows for name in row if name.startswith(beginning)})


def _row_start(record: Record | None = None) -> dict[str, Any]:
    run = record and record.result.run
    return {
        "key": record and record.key,
        "claim": run and run.claim,
        "version": run and run.version,
        "seed": run and run.seed,
    }


def _row_end(record: Record | None = None) -> dict[str, Any]:
    result, made = record and record.result, record and record.provenance
    return {
        "wall_s": result and result.wall_s,
        "cpu_s": result and result.cpu_s,
        "flyroom": made and made.version,
        "source": made and made.source,
        "machine": made and dict(made.machine),
        "packages": made and dict(made.packages),
        "command": made and made.command,
        "started": made and made.started,
    }


def _row(record: Record) -> dict[str, Any]:
    run, result = record.result.run, record.result
    return (
        _row_start(record)
        | {f"settings.{name}": value for name, value in run.settings.items()}
        | {f"data.{name}": value for name, value in run.data.items()}
        | {f"values.{name}": value for name, value in result.values.items()}
        | {f"{LISTS}{name}": value for name, value in result.curves.items()}
        | _row_end(record)
    )


def _one_type(name: str, values: list[Any]) -> list[Any]:
    if name.startswith(LISTS) or name in OBJECTS:
        return values
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and float in kinds:
        return [None if value is None else float(value) for value in values]
    if kinds in ({bool}, {int}, {str}, set()):
        return values
    return [None if value is None else encode(value).decode() for value in values]


def _csv(columns: Columns) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([_cell(value) for value in column] for column in columns.values()), strict=True))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode(_finite(value)).decode() if isinstance(value, dict | list) else value


def _json(columns: Columns) -> bytes:
    rows = zip(*columns.values(), strict=True)
    return msgspec.json.encode([_finite(dict(zip(columns, row, strict=True))) for row in rows])


def _finite(tree: Any) -> Json:
    if isinstance(tree, dict):
        return {name: _finite(item) for name, item in tree.items()}
    if isinstance(tree, list):
        return [_finite(item) for item in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def _parquet(columns: Columns) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet needs pyarrow, which is not installed; pip install 'flyroom[lab]', or export CSV or JSON"
        ) from error
    types = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    arrays = {}
    for name, values in columns.items():
        kind = next((type(value) for value in values if value is not None), str)
        if name in OBJECTS:
            arrays[name] = pyarrow.array([encode(value).decode() for value in values], pyarrow.string())
        elif name.startswith(LISTS):
            arrays[name] = pyarrow.array(values, pyarrow.list_(pyarrow.float64()))
        else:
            unsigned = kind is int and max((value or 0) for value in values) >= 2**63
            chosen = pyarrow.uint64() if unsigned else types.get(kind, pyarrow.string())
            arrays[name] = pyarrow.array(values, chosen)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays), buffer)
    return buffer.getvalue()
