"""Put the results of a store where the documentation shows them.

    python docs/results.py --store flyroom-store

fills the marked places: `<!-- results -->` of README.md and of each claim's page in docs/claims/, `<!-- gallery -->` of
README.md and docs/gallery.md; and writes docs/spatial-prior.svg. What is shown of claims that the store does not hold
stays. Doing it twice changes nothing more.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from flyroom import plot
from flyroom.claims import DEFAULT, NAMES, load
from flyroom.records import Account, Statement, Verdict
from flyroom.store import Store, open_store

ROOT = Path(__file__).resolve().parent.parent


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    lines = (head, ruler, *rows)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def place(text: str, mark: str) -> str:
    """What stands in the marked place; empty where there is none."""
    return text.partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0]


def fill(text: str, results: str, mark: str = "results") -> str:
    """The text with `results` in its marked place; ValueError unless there is exactly one."""
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"there must be one {begin} and after it one {end}")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{results}\n\n{end}{rest.split(end)[1]}"


def summary(account: Account) -> str:
    """The table that the terminal shows, the verdict, and where the numbers come from."""
    judgement, origin = account.judgement, account.provenance
    machine = origin.machine
    packages = ", ".join(
        f"{name} {origin.packages[name]}" for name in ("python", "jax", "numpy") if name in origin.packages
    )
    where = f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores, {packages}"
    command = "flyroom run" if account.about.id == DEFAULT else f"flyroom run {account.about.id}"
    table = [markdown(judgement.table[0], judgement.table[1:])] if judgement.table else []
    return "\n\n".join(
        (
            *table,
            f"**{account.about.id}: {judgement.verdict.value}.** {judgement.sentence}",
            f"{judgement.runs} networks, {judgement.wall_s:.0f} s, {judgement.cpu_s:.0f} s of processor time ({where}),"
            f" by `{command}`.",
        )
    )


def statements(account: Account) -> str:
    """Every statement with its verdict; those that decide the claim are bold."""
    head = ("statement", "verdict", "value [95 %]", "published", "p (Holm)", "n")
    return markdown(head, [_row(one) for one in account.judgement.statements])


def _row(one: Statement) -> tuple[str, ...]:
    scale, sign = (100, " %") if one.unit == "accuracy" else (1, "")
    digits = ".1f" if one.unit == "accuracy" or one.value is None or abs(one.value) >= 10 else ".3g"
    value = "" if one.value is None else f"{scale * one.value:{digits}}{sign}"
    if one.interval is not None:
        value += f" [{scale * one.interval[0]:{digits}}, {scale * one.interval[1]:{digits}}]"
    sentence = f"**{one.sentence}**" if one.headline else one.sentence
    p = "" if one.p is None else f"{one.p:.2g}"
    return sentence, one.verdict.value, value, one.published or "", p, str(one.n or "")


def gallery(found: Mapping[str, Account], shown: str) -> str:
    """A line for each claim; of one that the store does not hold the line that is `shown` stays."""
    head = ("claim", "verdict", "headlines that hold", "networks", "wall, s")
    there = {line.partition("](docs/claims/")[2].partition(".md)")[0]: line for line in shown.splitlines()}
    rows: list[tuple[str, ...]] = []
    for name in NAMES:
        link = f"[{load(name).ABOUT.title}](docs/claims/{name}.md)"
        if name in found:
            judgement = found[name].judgement
            headlines = [one for one in judgement.statements if one.headline]
            held = f"{sum(one.verdict == Verdict.supported for one in headlines)} of {len(headlines)}"
            rows.append((link, judgement.verdict.value, held, f"{judgement.runs:,}", f"{judgement.wall_s:.0f}"))
        elif name in there:
            rows.append((link, *(cell.strip() for cell in there[name].strip().split("|")[2:-1])))
        else:
            rows.append((link, "not run yet", "", "", ""))
    networks, total = (sum(int(row[i].replace(",", "")) for row in rows if row[i]) for i in (3, 4))
    rows.append(("all", "", "", f"{networks:,}", f"{total}"))
    return markdown(head, rows)


def sentences(found: Mapping[str, Account], shown: str) -> str:
    """Every published sentence with our verdict, and every headline under it; what is `shown` of others stays."""
    there = {
        part.partition("](claims/")[2].partition(".md)")[0]: part.strip() for part in ("\n" + shown).split("\n## ")
    }
    parts = []
    for name in NAMES:
        if name not in found:
            parts += [f"## {there[name]}"] if name in there else []
            continue
        about, judgement = found[name].about, found[name].judgement
        rows = [_row(one) for one in judgement.statements if one.headline]
        head = ("headline", "verdict", "value [95 %]", "published", "p (Holm)", "n")
        parts.append(
            f"## [{about.title}](claims/{about.id}.md)\n\n> {about.sentence}\n\n*{about.source}.* "
            f"**{judgement.verdict.value.capitalize()}.** {judgement.sentence}\n\n{markdown(head, rows)}"
        )
    return "\n\n".join(parts)


def plain(store: Store, name: str) -> Account | None:
    """The account of a claim; None where there is none.

    Raises ValueError where it was not made by a plain run, by one version on one machine.
    """
    claim = load(name)
    every = [one for one in store.accounts(every=True) if one.about.id == name]
    if not every:
        return None
    wanted = (claim.ABOUT.version, asdict(claim.Settings()))
    account = next((one for one in every if (one.about.version, dict(one.settings)) == wanted), None)
    if account is None:
        raise ValueError(f"{name} was not made by a plain flyroom run of this version; make another")
    made_by = {
        (one.provenance.source, str(one.provenance.machine), str(one.provenance.packages))
        for one in store.records(claim=name)
        if one.key in account.keys
    }
    if len(made_by) > 1:
        raise ValueError(f"{name} was not made by one version on one machine; make another in a new store")
    return account


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Fill the marked places of the documentation below `root`; 1 where the store has no plain verdict."""
    parser = argparse.ArgumentParser(description="Put the results of a store where the documentation shows them.")
    parser.add_argument("--store", type=Path, default=Path("flyroom-store"), help="directory of the store")
    store = parser.parse_args(words).store
    try:
        with open_store(store, create=False) as opened:
            found = {name: account for name in NAMES if (account := plain(opened, name)) is not None}
    except ValueError as error:
        print(f"{store}: {error}", file=sys.stderr)
        return 1
    if not found:
        print(f"{store} holds no verdict; flyroom run all makes them", file=sys.stderr)
        return 1
    pages = {name: root / "docs" / "claims" / f"{name}.md" for name in found}
    filled = {
        page: fill(page.read_text("utf-8"), f"{summary(found[name])}\n\n{statements(found[name])}")
        for name, page in pages.items()
    }
    readme = (root / "README.md").read_text("utf-8")
    if DEFAULT in found:
        readme = fill(readme, summary(found[DEFAULT]))
    whole = root / "docs" / "gallery.md"
    readme = fill(readme, gallery(found, place(readme, "gallery")), "gallery")
    text = whole.read_text("utf-8")
    filled[whole] = fill(text, sentences(found, place(text, "gallery")), "gallery")
    filled[root / "README.md"] = readme
    for page, text in filled.items():  # all of them could be made
        page.write_text(text, "utf-8")
    if DEFAULT in found:
        plot.save(next(iter(found[DEFAULT].figures.values())), root / "docs" / f"{DEFAULT}.svg")
    print("\n".join(f"{account.judgement.verdict.value:10}  {name}" for name, account in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
