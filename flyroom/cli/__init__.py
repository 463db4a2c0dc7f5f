"""The command line: the only room that prints, reads argv or the environment.

Each command is a function in a file of this folder, and what it needs is imported inside it, so that `flyroom --help`
answers at once. Results go to standard output, progress and errors to standard error. Exit status: 0 done (an
undecided claim is done), 1 a claim could not be judged or a file not be written, 2 the words were wrong, 130 stopped.
"""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from tyro.conf import FlagCreatePairsOff

from flyroom.cli import _claims, _data, _doctor, _networks
from flyroom.cli._app import app
from flyroom.cli._terminal import say

__all__ = ["main"]

COMMANDS = (_claims, _networks, _data, _doctor)  # importing them has put their commands into the table
GROUPS = ("data",)  # commands of two words: "data make"


def _words(argv: Sequence[str]) -> list[str]:
    """Two words to one command ("data make"), generator options behind the rest, near matches for a wrong command."""
    words = list(argv)
    if words and words[0] in GROUPS and len(words) > 1 and not words[1].startswith("-"):
        words[:2] = [f"{words[0]} {words[1]}"]
    names = list(app._subcommands)
    if words and words[0] in GROUPS:
        inner = [name for name in names if name.startswith(words[0])]
        raise ValueError(f"flyroom {words[0]} needs a second word: {', '.join(inner)}")
    if words and not words[0].startswith("-") and words[0] not in names:
        near = get_close_matches(words[0], names, n=2, cutoff=0.4) or names
        raise ValueError(f"there is no command {words[0]!r}; did you mean {' or '.join(near)}?")
    return words


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    try:
        return int(
            app.cli(prog="flyroom", args=_words(sys.argv[1:] if argv is None else argv), config=(FlagCreatePairsOff,))
        )
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader had enough: flyroom ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("FLYROOM_TRACEBACK"):
            raise
        say(f"flyroom: {error}")
        return 1 if isinstance(error, OSError) and not isinstance(error, FileNotFoundError) else 2
