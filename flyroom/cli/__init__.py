"""The command line: the only room that prints, reads argv or the environment.

Each command is a function in a file of this folder, and what it needs is imported inside it, so that `flyroom --help`
answers at once. Results go to standard output, progress and errors to standard error. Exit status: 0 done (an
undecided claim is done), 1 a claim could not be judged or a file not be written, 2 the words were wrong, 130 stopped.
"""

import io
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from flyroom import __version__
from flyroom.cli import _claims, _compare, _data, _doctor, _fit, _length, _net, _networks, _new_claim, _run
from flyroom.cli._app import COMMANDS
from flyroom.cli._terminal import overview, say

__all__ = ["main"]

# Importing them has put their commands into the table.
ROOMS = (_run, _claims, _compare, _new_claim, _networks, _fit, _net, _length, _data, _doctor)
ORDERED = {name: one for room in ROOMS for name, one in COMMANDS.items() if one.__module__ == room.__name__}
HELP = ("-h", "--help")
# What was asked for is not there, or is in the way: other words would help. Other faults of files are status 1.
WRONG_PATH = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without ± still gets its table
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as stop:
        say(f"\n{str(stop) or 'stopped'}")
        return 130
    except BrokenPipeError:  # the reader had enough: flyroom ... | head
        _close_output()
        return 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        if os.environ.get("FLYROOM_TRACEBACK"):
            raise
        # The store speaks to Python; here the same is said in words of the command line.
        say("flyroom: " + str(error).replace("open_store(directory, set_aside=True)", "flyroom run --set-aside"))
        if isinstance(error, OSError) and not isinstance(error, WRONG_PATH):
            _close_output()  # it may be the full one, and is flushed again when Python ends
            return 1
        return 2


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in HELP:
        print(overview("flyroom", ORDERED))
        return 0
    if words[0] == "--version":
        print(f"flyroom {__version__}")
        return 0
    group = {name: function for name, function in COMMANDS.items() if name.startswith(f"{words[0]} ")}
    if group and (len(words) == 1 or words[1] in HELP):
        print(overview(f"flyroom {words[0]}", group))
        return 0
    name, rest = (" ".join(words[:2]), words[2:]) if group else (words[0], words[1:])
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=2, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(group or ORDERED)}"
        raise ValueError(f"there is no command {name!r}; {hint}")
    import tyro

    function = _data.with_generator(rest) if name == "data make" else COMMANDS[name]
    return tyro.cli(function, prog=f"flyroom {name}", args=rest, config=(tyro.conf.FlagCreatePairsOff,))


def _close_output() -> None:
    """Let what is still to be printed go nowhere, so that Python does not complain of it while it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
