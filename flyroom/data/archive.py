"""A Dataset in one file: `.npz` (NumPy's zip of arrays) or Parquet, with a digest of its contents inside.

Nothing is ever unpickled, and nothing is allocated on a file's word alone: arrays are stored uncompressed, so that a
file can declare no more than it holds.
"""

import contextlib
import hashlib
import json
import math
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from flyroom.data import _parquet
from flyroom.records import Dataset

FORMAT = "flyroom dataset 1"
PARTS = ("x_train", "y_train", "x_test", "y_test")
KINDS = "fiub"  # floating point, integers, unsigned integers, booleans: never objects
MOST_MEMBERS = 1000


def save(dataset: Dataset, path: str | Path, dtype: Any = None, *, overwrite: bool = False) -> Path:
    """Write `dataset` to `path`, which ends in .npz or .parquet; `dtype` (float32 or float64) is that of x, if given.

    Written beside the path and then renamed, so that the path never holds half a file. An .npz has one array per
    part, read by `numpy.load` as well; a Parquet file has a row per example: `test` (is it of the test part), `label`
    and `x` (flattened). **Raises** ValueError for another suffix or dtype, FileExistsError unless told to overwrite,
    ImportError for Parquet without pyarrow.
    """
    path = Path(path)
    _suffix(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name, or say overwrite=True")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is not a directory; make it first")
    arrays = _arrays(dataset, dtype)
    header = {
        "format": FORMAT,
        "name": dataset.name,
        "classes": list(dataset.classes),
        "axes": list(dataset.axes),
        "recipe": dict(dataset.recipe),
    }
    header["sha256"] = digest(header, arrays)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            if path.suffix == ".npz":
                _write_npz(file, header, arrays)
            else:
                _parquet.write(file, header, arrays)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
    return path


def read(path: str | Path) -> Dataset:
    """The Dataset in a file that `save` wrote. **Raises** FileNotFoundError, and ValueError that says what is wrong
    with the file: not an archive, not one of ours, damaged, or declaring more than it holds."""
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        header, arrays = _read_npz(path) if suffix == ".npz" else _parquet.read(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a whole .npz archive: {error}") from error
    _check_header(path, header)
    missing = [part for part in PARTS if part not in arrays]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}; it was not made by flyroom")
    try:
        actual = digest(header, arrays)
    except ValueError as error:
        raise ValueError(f"{path} has a header that is not plain JSON: {error}") from error
    if header.get("sha256") != actual:
        raise ValueError(f"{path} is damaged: its contents do not have the digest that is written in it")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if y.ndim != 1 or y.dtype.kind not in "iu" or x.ndim < 1 or len(x) != len(y):
            raise ValueError(f"{path} has {part} examples of shape {x.shape} but labels of shape {y.shape} ({y.dtype})")
    return Dataset(
        name=header["name"],
        **{part: arrays[part] for part in PARTS},
        classes=tuple(header["classes"]),
        axes=tuple(header["axes"]),
        recipe=header["recipe"],
        extras={name.removeprefix("extras/"): array for name, array in arrays.items() if name not in PARTS},
    )


def digest(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of the header and of every array's name, type, shape and little-endian bytes: the same in either form."""
    sha = hashlib.sha256(_text({key: value for key, value in header.items() if key != "sha256"}))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(_text([name, array.dtype.str, list(array.shape)]))
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _suffix(path: Path) -> str:
    if path.suffix not in (".npz", ".parquet"):
        raise ValueError(f"{path.name} ends in {path.suffix or 'no suffix'!r}; use .npz or .parquet")
    return path.suffix


def _arrays(dataset: Dataset, dtype: Any) -> dict[str, np.ndarray]:
    """All arrays by the name that they have in the file, little-endian, x in `dtype`."""
    if dtype is not None and np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype={np.dtype(dtype)} is not offered; use float32 or float64")
    arrays = {part: np.asarray(getattr(dataset, part)) for part in PARTS}
    if dtype is not None:
        arrays |= {part: arrays[part].astype(dtype) for part in ("x_train", "x_test")}
    arrays |= {f"extras/{name}": np.asarray(array) for name, array in dataset.extras.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in KINDS:
            raise ValueError(f"{name} has type {array.dtype}, which is not a number; it cannot be saved")
        arrays[name] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return arrays


def _write_npz(file: Any, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    text = np.frombuffer(_text(header), np.uint8)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in {"header": text, **arrays}.items():
            # A fixed date, so that equal datasets make equal files.
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _read_npz(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS or len({member.filename for member in members}) < len(members):
            raise ValueError(
                f"{path} holds {len(members)} members, too many or of equal names; flyroom made no such file"
            )
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
            raise ValueError(
                f"{path} is compressed or encrypted; flyroom's archives are neither, so it made no such file"
            )
        declared, actual = sum(member.file_size for member in members), path.stat().st_size
        if declared > actual:
            raise ValueError(f"{path} declares {declared} bytes but has {actual}; it is damaged or was made to mislead")
        if "header.npy" not in archive.namelist():
            raise ValueError(f"{path} has no header; it was not made by flyroom")
        arrays = {member.filename.removesuffix(".npy"): _read_member(path, archive, member) for member in members}
    text = arrays.pop("header")
    try:
        return json.loads(text.astype(np.uint8).tobytes()), arrays
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} has a header that cannot be read: {error}") from error


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, allocated only once its declared shape has been found to fill the member exactly."""
    where = f"{path}: {member.filename}"
    with archive.open(member) as file:
        try:
            version = np.lib.format.read_magic(file)
            parse = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, column_major, dtype = parse(file)
        except (ValueError, KeyError, TypeError, EOFError, SyntaxError) as error:
            raise ValueError(f"{where} is not a NumPy array: {error}") from error
        if dtype.hasobject or dtype.kind not in KINDS:
            raise ValueError(f"{where} has type {dtype}; only numbers are read, never objects")
        held = member.file_size - file.tell()
        if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{where} declares shape {shape} of {dtype} but holds {held} bytes")
        array = np.empty(math.prod(shape), dtype)
        filled, into = 0, array.view(np.uint8)
        while filled < held:
            piece = file.read(min(held - filled, 1 << 20))
            if not piece:
                raise ValueError(f"{where} ends early; the file is truncated")
            into[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        return array.reshape(shape, order="F" if column_major else "C")


def _check_header(path: Path, header: Any) -> None:
    def texts(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)

    if not isinstance(header, dict) or header.get("format") != FORMAT:
        given = header.get("format") if isinstance(header, dict) else None
        raise ValueError(f"{path} is of format {given!r}; this version reads {FORMAT!r}")
    if not (
        isinstance(header.get("name"), str)
        and texts(header.get("classes"))
        and texts(header.get("axes"))
        and isinstance(header.get("recipe"), dict)
    ):
        raise ValueError(f"{path} has a header in which name, classes, axes or recipe is missing or of a wrong type")
