"""A cell's function as bytes: what is installed goes by name, what only this process has goes along as source.

A claim in a file of the user's is such a source, with whatever modules beside it are in use. A worker imports it from
the parcel as it would from a disk, so anything may stand in it that may stand in a module.
"""

import pickle
import sys
import sysconfig
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from flyroom import machine


class Source(NamedTuple):
    """A module as it travels; `path` is where its file was."""

    text: str
    path: str
    is_package: bool


def first_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def packed(work: Callable[..., Any]) -> bytes:
    """A function, and the sources of all loaded modules that are not installed, to be opened on a worker.

    Raises TypeError where something that the function holds cannot be sent.
    """
    import cloudpickle

    sources, without = {}, []
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name not in ("__main__", "__mp_main__") and not installed(module):
            source = _source(module)
            if source is not None:
                sources[name] = source
            elif module.__name__ == name:
                without.append(module)  # made by a program: what is taken from it is sent itself
    try:
        for module in without:
            cloudpickle.register_pickle_by_value(module)
        sent = cloudpickle.dumps(work)
    except Exception as error:  # an object of the user's may refuse in any way
        raise TypeError(f"the cells' function cannot be sent ({type(error).__name__}: {first_line(error)})") from error
    finally:
        for module in without:
            cloudpickle.unregister_pickle_by_value(module)
    return zlib.compress(pickle.dumps((sources, sent)))


def opened(parcel: bytes) -> Callable[..., Any]:
    """The function; modules that travelled with it replace others of their names in this process."""
    sources, sent = pickle.loads(zlib.decompress(parcel))
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, Shelf)]
    sys.meta_path.insert(0, Shelf(sources))
    there = {name: sys.modules[name] for name in sources if name in sys.modules}
    if any(_loaded_from(module) != sources[name] for name, module in there.items()):
        for name in there:  # all of them: one whose own text is the same may hold a part of one that changed
            del sys.modules[name]
    return pickle.loads(sent)


class Shelf(MetaPathFinder, InspectLoader):
    """Imports modules from their sources in memory."""

    def __init__(self, sources: Mapping[str, Source]):
        self.sources = sources

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """Where Python asks first; None lets it look elsewhere."""
        if fullname not in self.sources and not self.is_package(fullname):
            return None
        spec = ModuleSpec(fullname, self, is_package=self.is_package(fullname))
        if fullname in self.sources:
            spec.origin, spec.has_location = self.sources[fullname].path, True
        return spec

    def is_package(self, fullname: str) -> bool:
        """A folder without `__init__.py` is one as well, if something in it is here."""
        if fullname in self.sources:
            return self.sources[fullname].is_package
        return any(name.startswith(f"{fullname}.") for name in self.sources)

    def get_source(self, fullname: str) -> str:
        """For the import, and for the lines that a traceback shows."""
        return self.sources[fullname].text if fullname in self.sources else ""

    def get_code(self, fullname: str) -> Any:
        """Compiled under the name of the file that it was, so that a traceback says it."""
        path = self.sources[fullname].path if fullname in self.sources else "<folder>"
        return self.source_to_code(self.get_source(fullname), path)


def _loaded_from(module: ModuleType) -> Source | None:
    loader = getattr(module, "__loader__", None)
    return loader.sources.get(module.__name__) if isinstance(loader, Shelf) else _source(module)


def _source(module: ModuleType) -> Source | None:
    spec = getattr(module, "__spec__", None)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        text = Path(spec.origin).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return Source(text, spec.origin, spec.submodule_search_locations is not None)


def installed(module: ModuleType) -> bool:
    """Whether a worker finds this module under its name: flyroom, the standard library, an installed package."""
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return False
    if not spec.has_location or spec.origin is None:
        return True  # built in, frozen, or a folder
    path = Path(spec.origin)
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    path = path.resolve()
    return any(path.is_relative_to(home) for home in _homes())


@cache
def _homes() -> tuple[Path, ...]:
    library = (Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
    return tuple(home.resolve() for home in (Path(machine.__file__).parent, *library))
