"""The table of commands, and the options that several of them share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

Command = Callable[..., int]
Function = TypeVar("Function", bound=Command)

COMMANDS: dict[str, Command] = {}  # "run", "data make": the function whose arguments are the command's options


def command(name: str) -> Callable[[Function], Function]:
    """Put a function into the table; its docstring's first sentence is what `flyroom --help` says of it."""

    def put(function: Function) -> Function:
        COMMANDS[name] = function
        return function

    return put


def _optional(kind: Callable[[str], Any], metavar: str, what: str) -> PrimitiveConstructorSpec:
    """An option that may be left out: None then, and a plain sentence where its value is wrong."""

    def read(words: list[str]) -> Any:
        try:
            return kind(words[0])
        except ValueError:
            raise ValueError(f"{words[0]!r} is not {what}") from None

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=read,
        is_instance=lambda value: value is None or isinstance(value, str | int | Path),
        str_from_instance=lambda value: [] if value is None else [str(value)],
    )


_UNSAID = arg(help_behavior_hint="")  # "(default: None)" tells nobody anything
WholeOrNone = Annotated[int | None, _optional(int, "INT", "a whole number"), _UNSAID]
TextOrNone = Annotated[str | None, _optional(str, "TEXT", "a text"), _UNSAID]
PathOrNone = Annotated[Path | None, _optional(Path, "PATH", "a path"), _UNSAID]

Claims = Positional[Annotated[tuple[str, ...], arg(metavar="CLAIM ...", help_behavior_hint="")]]
StorePath = Annotated[Path, arg(help="directory of the store", metavar="DIR")]
AsJson = Annotated[bool, arg(help="print the result as JSON and nothing else")]
DEFAULT_STORE = Path("flyroom-store")


def let_import(*words: str | None) -> None:
    """For python:MODULE:NAME and for a claim's file: what stands beside it is found, as `python` finds it."""
    for word in words:
        if word is not None and (word.startswith("python:") or word.endswith(".py")):
            folder = str(Path.cwd() if word.startswith("python:") else Path(word).resolve().parent)
            if folder not in sys.path:
                sys.path.insert(0, folder)
