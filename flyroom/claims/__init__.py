"""Published statements, one file each, to be put to the test.

A claim is a module with these names:

    ABOUT       records.About: id, version, sentence, source, prediction, measured cost
    Settings    a frozen dataclass; its defaults are the claim's default run
    cells(settings) -> list[Cell]            every run that is wanted, those of one setting together
    run(cell, settings) -> list[Result]      trains and measures the runs of a cell
    judge(results, settings) -> Judgement    pure: stored results in, verdict out
    figure(results, judgement) -> {caption: Vega-Lite specification}

    cost(run) -> seconds of one core         an estimate, for progress
    quick(settings) -> changed settings      the short form, which may leave things undecided

Claims share instruments and no decisions: each states its numbers itself.
"""

import importlib
from difflib import get_close_matches
from types import ModuleType

NAMES = ("spatial-prior",)
DEFAULT = "spatial-prior"


def load(name: str) -> ModuleType:
    """The claim of that name; ValueError with near matches where there is none."""
    if name not in NAMES:
        near = get_close_matches(name, NAMES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(NAMES)}"
        raise ValueError(f"there is no claim {name!r}; {hint}")
    return importlib.import_module(f"flyroom.claims.{name.replace('-', '_')}")
