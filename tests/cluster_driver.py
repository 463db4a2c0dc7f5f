"""As a program, `python cluster_driver.py ADDRESS STORE TRACES`: a claim of twelve slow cells on a cluster.

It prints the number of each cell that came back.
"""

import sys
from pathlib import Path
from types import ModuleType

import cluster_cells
import toy_claim

from flyroom import cluster, engine
from flyroom.records import Judgement, Provenance, Verdict
from flyroom.store import open_store

MADE = Provenance("0", "", {}, {}, "flyroom run", "2026-01-01T00:00:00+00:00")
CELLS = 12


def main(address: str, store: Path, traces: Path) -> None:
    claim = ModuleType("claim")
    vars(claim).update(
        ABOUT=toy_claim.ABOUT,
        figure=toy_claim.figure,
        run=lambda cell, settings: cluster_cells.do(cell),
        judge=lambda results, settings: Judgement("toy", 1, Verdict.undecided, "It is open.", (), len(results)),
    )
    cells = cluster_cells.deeds(traces, ["work"] * CELLS, seconds=0.5)
    with open_store(store) as opened, cluster.connect(address) as there:
        left = engine.pending(cells, opened.missing, 1)

        def finished(cell, outcome):
            print(cell.runs[0].settings["number"], flush=True)

        engine.conduct(claim, toy_claim.Settings(), cells, left, opened, MADE, finished, place=there)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
