"""Names of pages, and how they are written."""

import os
import tempfile
from pathlib import Path
from urllib.parse import quote

from flyroom.records import Account

INDEX = "index.html"


def filename(account: Account) -> str:
    """The name of the file that the gallery links to."""
    return _name(account.about.id)


def address(claim: str) -> str:
    """The link from one page to that of a claim: the file's name with its percent signs quoted."""
    return quote(_name(claim))


def _name(claim: str) -> str:
    return f"{quote(claim, safe='')}.html"


def write(text: str, path: str | Path) -> Path:
    """Write a page; the file takes its name only when it is complete, and an older one stands until then."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: give the name of a file, such as {path / 'claim.html'}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} does not exist: make the directory first, or write somewhere else")
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
    return path
