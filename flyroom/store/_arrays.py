"""The arrays of one result in one `.npz` file whose name is the SHA-256 digest of its bytes."""

import hashlib
import io
import os
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from flyroom.store._form import Damaged

FOLDER = "arrays"
TEMPORARY = ".tmp"
NUMBERS_AND_TEXT = "biufcSUmM"  # NumPy's kinds whose bytes mean the same to every reader


def write_arrays(folder: Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> str:
    """Write the arrays to `folder` and return the digest that names their file.

    The same arrays give the same bytes. The file takes its name when all of it is on the disk.

    Raises:
        TypeError: an array of Python objects, of records or of a type that NumPy does not have (bfloat16).
    """
    content = _pack(arrays)
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(exist_ok=True)
    temporary = folder / f"{digest}.{os.getpid()}{TEMPORARY}"
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / f"{digest}.npz")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(folder)
    return digest


def read_arrays(folder: Path, digest: str) -> dict[str, np.ndarray]:
    """The arrays of the file with this digest; nothing in it is ever unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: its bytes have another digest.
    """
    path = folder / f"{digest}.npz"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing: the arrays of a stored result were in it. Put it back from a copy, or"
            " begin a new store and run again"
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(
            f"{path} is damaged: its digest is not its name. Put it back from a copy, or begin a new store"
            " and run again"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return dict(archive)


def sweep(folder: Path, age_s: float = 3600.0) -> None:
    """Remove what killed processes left half-written. A younger file may belong to a process that lives."""
    for path in folder.glob(f"*{TEMPORARY}"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > age_s:
                path.unlink()


def _pack(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> bytes:
    # np.savez would take an array called "file" for its own argument; the form of the file is the same.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            if array.dtype.kind not in NUMBERS_AND_TEXT:
                raise TypeError(
                    f"array {name!r} has the type {array.dtype}; a store takes arrays of numbers, truth"
                    " values or text: convert it, for example with .astype(np.float32)"
                )
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return buffer.getvalue()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and a rename needs no such help
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
