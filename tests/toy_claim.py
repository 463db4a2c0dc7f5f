"""A claim that is judged in no time: for tests of what conducts claims. It trains nothing, and can be told to fail.

As a program it is the command `flyroom` with this claim in place of the real ones; each cell then takes a while.
"""

import sys
import time
from dataclasses import dataclass

from flyroom.records import About, Cell, Json, Judgement, Result, Run, Statement, Verdict

ABOUT = About("toy", 1, "A toy", "Every toy is worth its number.", "none", "It is.", 1.0)
NETS = ("a", "b", "c", "d", "e", "f")
broken: set[str] = set()  # nets whose cells fail
seconds = 0.0  # that a cell takes


@dataclass(frozen=True)
class Settings:
    runs: int = 2
    unjudged: bool = False


def quick(settings: Settings) -> dict[str, int]:
    return {"runs": 1}


def cells(settings: Settings) -> list[Cell]:
    if settings.runs < 1:
        raise ValueError(f"runs is {settings.runs}; it must be at least 1")
    return [
        Cell(tuple(Run(ABOUT.id, ABOUT.version, {"net": net}, seed, {"name": "none"}) for seed in range(settings.runs)))
        for net in NETS
    ]


def cost(run: Run) -> float:
    return 1.0


def run(cell: Cell, settings: Settings) -> list[Result]:
    time.sleep(seconds)
    net = cell.runs[0].settings["net"]
    if net in broken:
        raise FloatingPointError(f"{net} broke")
    return [Result(one, {"worth": 10.0 * NETS.index(net) + one.seed}, {"c": [0.5, 1.0]}) for one in cell.runs]


def judge(results: list[Result], settings: Settings) -> Judgement:
    if settings.unjudged:
        raise ZeroDivisionError("nothing to divide by")
    worth = sum(one.values["worth"] for one in results)
    statement = Statement("worth", "A toy [of any colour] has a worth", Verdict.undecided, worth, (0.0, 1.0))
    table = (("net", "worth"), *((str(one.run.settings["net"]), str(one.values["worth"])) for one in results))
    return Judgement(ABOUT.id, 1, Verdict.undecided, "It is open.", (statement,), len(results), table)


def figure(results: list[Result], judgement: Judgement) -> dict[str, Json]:
    return {}


if __name__ == "__main__":
    from flyroom import claims
    from flyroom.cli import main

    seconds = 0.4
    claims.NAMES, claims.DEFAULT = (ABOUT.id,), ABOUT.id
    claims.load = lambda name: sys.modules["__main__"]
    raise SystemExit(main())
