"""The Parquet form of an archive: a row per example, everything else in the schema's metadata."""

import base64
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

KEY = b"flyroom"
_MISSING = "Parquet needs pyarrow, which is not installed; pip install 'flyroom[lab]', or save to .npz"


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return pyarrow, pyarrow.parquet


def write(file: Any, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write to an open binary file; no compression and no dictionaries, so that sizes can be checked when read."""
    arrow, parquet = _pyarrow()
    if arrays["x_train"].dtype != arrays["x_test"].dtype or arrays["x_train"].shape[1:] != arrays["x_test"].shape[1:]:
        raise ValueError("training and test examples differ in type or shape; Parquet needs one, .npz takes both")
    x = np.concatenate([arrays["x_train"], arrays["x_test"]])
    y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    test = np.arange(len(x)) >= len(arrays["x_train"])
    extras = {
        name: [array.dtype.str, list(array.shape), base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()]
        for name, array in arrays.items()
        if name.startswith("extras/")
    }
    about = {"header": header, "shape": list(x.shape[1:]), "x": x.dtype.str, "y": y.dtype.str, "extras": extras}
    values = arrow.FixedSizeListArray.from_arrays(arrow.array(x.ravel()), math.prod(x.shape[1:]))
    table = arrow.table({"test": arrow.array(test), "label": arrow.array(y.astype(np.int64)), "x": values})
    table = table.replace_schema_metadata({KEY: json.dumps(about).encode()})
    parquet.write_table(table, file, compression="NONE", use_dictionary=False, row_group_size=100_000)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays; ValueError for what was not written by `write` or declares more than the file holds."""
    arrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            about = _about(path, file.schema_arrow.metadata)
            shape, x_type, y_type = tuple(about["shape"]), np.dtype(about["x"]), np.dtype(about["y"])
            width = math.prod(shape)
            _check_sizes(path, file, width, x_type)
            expected = {"test": arrow.bool_(), "label": arrow.int64(), "x": arrow.from_numpy_dtype(x_type)}
            given = {field.name: field.type for field in file.schema_arrow}
            if arrow.types.is_fixed_size_list(given.get("x")) and given["x"].list_size == width:
                given["x"] = given["x"].value_type
            if given != expected:
                raise ValueError(f"{path} has columns {given}; expected {expected}")
            table = file.read()
    except arrow.ArrowException as error:
        raise ValueError(f"{path} is not a whole Parquet file: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
    if any(column.null_count for column in table.columns):
        raise ValueError(f"{path} has missing values; flyroom made no such file")
    values = [chunk.flatten().to_numpy() for chunk in table["x"].chunks]
    x = np.concatenate([np.empty(0, x_type), *values]).reshape(len(table), *shape)
    y, test = table["label"].to_numpy().astype(y_type), table["test"].to_numpy()
    arrays = {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}
    return about["header"], arrays | _extras(path, about["extras"])


def _about(path: Path, metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    if not metadata or KEY not in metadata:
        raise ValueError(f"{path} has no header; it was not made by flyroom")
    try:
        about = json.loads(metadata[KEY])
        sound = (
            isinstance(about["header"], dict)
            and isinstance(about["extras"], dict)
            and all(isinstance(size, int) and size >= 0 for size in about["shape"])
            and np.dtype(about["x"]).kind in "fiu"
            and np.dtype(about["y"]).kind in "iu"
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} has a header that cannot be read: {error!r}") from error
    if not sound:
        raise ValueError(f"{path} has a header with values of a wrong type")
    return about


def _check_sizes(path: Path, file: Any, width: int, x_type: np.dtype) -> None:
    """All columns uncompressed, and no more rows declared than the file's own size can hold."""
    metadata, actual = file.metadata, path.stat().st_size
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    columns = [group.column(index) for group in groups for index in range(group.num_columns)]
    if any(column.compression != "UNCOMPRESSED" for column in columns):
        raise ValueError(f"{path} is compressed; flyroom's archives are not, so it made no such file")
    if any(column.has_dictionary_page for column in columns):
        raise ValueError(f"{path} holds dictionaries; flyroom's archives do not, so it made no such file")
    declared = metadata.num_rows * (width * x_type.itemsize + 8)
    if declared > actual:
        raise ValueError(f"{path} declares {declared} bytes but has {actual}; it is damaged or was made to mislead")


def _extras(path: Path, extras: dict[str, Any]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, stored in extras.items():
        try:
            kind, shape, text = stored
            dtype = np.dtype(kind)
            if dtype.hasobject or dtype.kind not in "fiub":
                raise ValueError(f"type {dtype} is not a number")
            arrays[name] = np.frombuffer(base64.b64decode(text, validate=True), dtype).reshape(shape).copy()
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {name} cannot be read: {error}") from error
    return arrays
