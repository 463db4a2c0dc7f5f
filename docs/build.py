"""Check the documentation's links, compute its numbers, make the API reference from docstrings; no network is used.

    python docs/build.py                 # writes docs/api/, exit status 1 if anything is wrong
    python docs/build.py --links         # only the links
    python docs/build.py --numbers       # only the numbers of the pages that are computed

On the pages of `COMPUTED` every output under `>>>` is written by the build: examples are run, and where one prints
something else than the page shows, the page is changed. (The tests run the examples of all pages and change nothing.)

pdoc (in the extra `dev`) makes the reference. Its pages must load nothing: whatever a page would fetch from
elsewhere (a script, a style, a font, a picture) is an error here; links that a reader may follow are none.
"""

import argparse
import doctest
import re
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
API = "docs/api"
COMPUTED = ("docs/trajectory.md", "docs/trajectory-bounds.md", "docs/parts/paths.md")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE  # of the tests, too

LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"(?<=^```python\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"^(https?:)?//", re.IGNORECASE)
STYLE_FETCH = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
MADE = (API,)  # what is not there before the build


def broken_links(root: Path) -> list[str]:
    """Every relative link in README.md and docs/**/*.md that leads nowhere, as "file: link"."""
    pages = [path for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))] if path.is_file()]
    found = []
    for page in pages:
        for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
            if not re.match(r"(https?|mailto):", link) and not _leads(page, link, root):
                found.append(f"{page.relative_to(root)}: {link}")
    return found


def _leads(page: Path, link: str, root: Path) -> bool:
    name, _, anchor = unquote(link).partition("#")
    target = page if not name else (page.parent / name).resolve()
    if not target.is_relative_to(root.resolve()) or not target.exists():
        return any(target.is_relative_to(root.resolve() / made) for made in MADE)
    return not anchor or target.suffix != ".md" or anchor in anchors(target.read_text("utf-8"))


def anchors(text: str) -> set[str]:
    """The names of a page's headings, as GitHub makes them: lower case, no punctuation, dashes for spaces."""
    names: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = 0
        while (numbered := f"{name}-{count}" if count else name) in names:
            count += 1
        names.add(numbered)
    return names


class _Noted(doctest.DocTestRunner):
    """Keeps what examples print where they print something else than is shown."""

    def __init__(self) -> None:
        super().__init__(optionflags=FLAGS)
        self.printed: list[tuple[doctest.Example, str]] = []

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.printed.append((example, got))

    def report_unexpected_exception(self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any):
        line, raised = (test.lineno or 0) + example.lineno + 1, exc_info[1]
        raise ValueError(f"{test.name}, line {line}: {raised!r}") from raised


def computed(text: str, page: str) -> str:
    """The page with the outputs of its Python as they are; blocks share their names, as in the tests.

    Raises ValueError, with the line, where an example raises something that the page does not show.
    """
    module = ModuleType("documentation_page")  # for what looks up the module of a class
    sys.modules[module.__name__] = module
    try:
        return PYTHON.sub(lambda block: _computed(block, page, module.__dict__), text)
    finally:
        del sys.modules[module.__name__]


def _computed(block: re.Match[str], page: str, names: dict[str, Any]) -> str:
    line = block.string.count("\n", 0, block.start())
    if ">>>" not in block[0]:
        exec(compile("\n" * line + block[0], page, "exec"), names)
        return block[0]
    test, runner = doctest.DocTestParser().get_doctest(block[0], names, page, page, line), _Noted()
    runner.run(test, clear_globs=False)
    names.update(test.globs)  # a doctest works on a copy
    lines = block[0].splitlines(keepends=True)
    for example, printed in reversed(runner.printed):
        begin = example.lineno + example.source.count("\n")
        shown = re.sub(r"(?m)^$(?=\n)", "<BLANKLINE>", printed).splitlines(keepends=True)
        lines[begin : begin + example.want.count("\n")] = shown
    return "".join(lines)


def rewritten(root: Path) -> list[str]:
    """Compute the pages of `COMPUTED`; returns those that had to be changed."""
    found = []
    for page in COMPUTED:
        text = (root / page).read_text("utf-8")
        new = computed(text, page)
        if new != text:
            (root / page).write_text(new, "utf-8")
            found.append(page)
    return found


class _Loads(HTMLParser):
    """Collects what a page would fetch from elsewhere when it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_style = tag == "style"
        fetched = [given.get(name) for name in ("src", "srcset", "poster", "data")]
        if tag == "link" and given.get("rel") not in ("canonical", "author", "license"):
            fetched.append(given.get("href"))
        self.found += [link for link in fetched if link and ELSEWHERE.match(link)]
        self.found += STYLE_FETCH.findall(given.get("style") or "")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += STYLE_FETCH.findall(data)


def loads(html: str) -> list[str]:
    """Addresses that a browser would fetch by itself on opening the page."""
    parser = _Loads()
    parser.feed(html)
    return parser.found


def modules(root: Path) -> Iterator[str]:
    """The package's public modules, by name."""
    for path in sorted((root / "flyroom").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts)


def reference(root: Path, out: Path) -> list[str]:
    """Write the API reference into `out`; returns what is wrong with it, as sentences."""
    from pdoc import extract, pdoc
    from pdoc.render import configure

    configure(docformat="markdown", search=True, show_source=False)
    names = list(modules(root))
    # A package that lists its names in __all__ hides its modules from pdoc; naming one twice is warned of.
    hidden = sorted(set(names) - set(extract.walk_specs([root / "flyroom"])))
    pdoc(root / "flyroom", *hidden, output_directory=out)
    wrong = [f"{name} has no page" for name in names if not (out / f"{name.replace('.', '/')}.html").is_file()]
    for page in sorted(out.rglob("*.html")):
        wrong += [f"{page.relative_to(out)} loads {link}" for link in loads(page.read_text("utf-8"))]
    return wrong


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Check, compute, build, and say what is wrong; 0 if nothing is."""
    parser = argparse.ArgumentParser(description="Check the links, compute the numbers, make the API reference.")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--links", action="store_true", help="only check the links")
    only.add_argument("--numbers", action="store_true", help="only compute the numbers of the pages that are computed")
    asked = parser.parse_args(words)
    wrong, done = [], []
    if not asked.numbers:
        wrong += [f"broken link in {link}" for link in broken_links(root)]
        done.append("links are sound")
    if not asked.links:
        changed = rewritten(root)
        done.append(f"numbers were changed in {', '.join(changed)}" if changed else "numbers are as shown")
    if not asked.links and not asked.numbers:
        wrong += reference(root, root / API)
        done.append(f"the reference is in {API}")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    print(f"{len(wrong)} faults" if wrong else ", ".join(done))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
