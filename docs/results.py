"""Put the results of a store where the documentation shows them.

    python docs/results.py --store flyroom-store

fills the marked places (`<!-- results -->` to `<!-- /results -->`) of README.md and docs/claims/spatial-prior.md,
writes docs/spatial-prior.svg, and prints the table. Doing it twice changes nothing more.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flyroom import plot
from flyroom.claims import load
from flyroom.records import Account, Statement
from flyroom.store import open_store

ROOT = Path(__file__).resolve().parent.parent
CLAIM = "spatial-prior"
BEGIN, END = "<!-- results -->", "<!-- /results -->"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    lines = (head, ruler, *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def fill(text: str, results: str) -> str:
    """The text with `results` in its marked place; ValueError unless there is exactly one."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"there must be one {BEGIN} and after it one {END}")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{results}\n\n{END}{rest.split(END)[1]}"


def summary(account: Account) -> str:
    """The table that the terminal shows, the verdict, and where the numbers come from."""
    judgement, origin = account.judgement, account.provenance
    machine = origin.machine
    packages = ", ".join(
        f"{name} {origin.packages[name]}" for name in ("python", "jax", "numpy") if name in origin.packages
    )
    where = f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores, {packages}"
    return "\n\n".join(
        (
            markdown(judgement.table[0], judgement.table[1:]),
            f"**{account.about.id}: {judgement.verdict.value}.** {judgement.sentence}",
            f"{judgement.runs} networks, {judgement.cpu_s:.0f} s of processor time ({where}), by `{origin.command}`.",
        )
    )


def statements(account: Account) -> str:
    """Every statement with its verdict; those that decide the claim are bold."""
    head = ("statement", "verdict", "value [95 %]", "published", "p (Holm)", "n")
    return markdown(head, [_row(one) for one in account.judgement.statements])


def _row(one: Statement) -> tuple[str, ...]:
    scale, sign = (100, " %") if one.unit == "accuracy" else (1, "")
    value = "" if one.value is None else f"{scale * one.value:.1f}{sign}"
    if one.interval is not None:
        value += f" [{scale * one.interval[0]:.1f}, {scale * one.interval[1]:.1f}]"
    sentence = f"**{one.sentence}**" if one.headline else one.sentence
    p = "" if one.p is None else f"{one.p:.2g}"
    return sentence, one.verdict.value, value, one.published or "", p, str(one.n or "")


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Fill the marked places of the documentation below `root`; 1 where the store has no verdict."""
    parser = argparse.ArgumentParser(description="Put the results of a store where the documentation shows them.")
    parser.add_argument("--store", type=Path, default=Path("flyroom-store"), help="directory of the store")
    store = parser.parse_args(words).store
    with open_store(store, create=False) as opened:
        account = opened.account(CLAIM)
        made_by = {(one.source, str(one.machine), str(one.packages)) for one in opened.provenance(claim=CLAIM)}
    if account is None:
        print(f"{store} holds no verdict on {CLAIM}; flyroom run makes one", file=sys.stderr)
        return 1
    if dict(account.settings) != asdict(load(CLAIM).Settings()) or len(made_by) > 1:
        print(
            f"{store} was not made by a plain flyroom run, by one version on one machine; make another", file=sys.stderr
        )
        return 1
    short = summary(account)
    places = {
        root / "README.md": short,
        root / "docs" / "claims" / f"{CLAIM}.md": f"{short}\n\n{statements(account)}",
    }
    filled = {path: fill(path.read_text("utf-8"), results) for path, results in places.items()}  # all, or none
    for path, text in filled.items():
        path.write_text(text, "utf-8")
    plot.save(next(iter(account.figures.values())), root / "docs" / f"{CLAIM}.svg")
    print(short)
    return 0


if __name__ == "__main__":
    sys.exit(main())
