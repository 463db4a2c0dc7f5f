"""The documentation does what it says: its Python runs, its command lines are understood, its links lead somewhere."""

import doctest
import functools
import importlib
import importlib.util
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import flyroom
from flyroom import claims, cli, engine, machine
from flyroom.claims import spatial_prior
from flyroom.cli import _app, _data
from flyroom.records import Account, Judgement, Result, Verdict
from flyroom.store import open_store

ROOT = Path(__file__).parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: the words after the fence, its text, and the line that the text begins on."""

    words: list[str]
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    return [Block(m[1].split(), m[2], text.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(text)]


def run_python(block: Block, page: str, names: dict[str, Any]) -> None:
    """Run one block in `names`: `>>>` examples by doctest, anything else as it stands."""
    where = f"{page}:{block.line}"
    if ">>>" not in block.text:
        exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(block.text, names, where, page, block.line - 1)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)  # a doctest works on a copy
    assert not said, "".join(said)


def run_page(text: str, page: str) -> int:
    """Run the Python of a page from top to bottom; returns how many blocks there were."""
    # A module, so that dataclasses and pickles find the classes that the page defines.
    module = ModuleType("documentation_page")
    sys.modules[module.__name__] = module
    ran = 0
    try:
        for block in blocks(text):
            if block.words[:1] != ["python"]:
                continue
            kind = block.words[1:]
            if kind == ["fresh"]:
                run_fresh(block)
            elif not kind or importlib.util.find_spec(kind[0]) is not None:  # ```python pandas
                run_python(block, page, module.__dict__)
            ran += 1
    finally:
        del sys.modules[module.__name__]
    return ran


def run_fresh(block: Block) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", block.text], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run_page((ROOT / page).read_text("utf-8"), page)


def test_the_page_that_says_everything_has_python():
    found = [block for block in blocks((ROOT / "docs/all-of-flyroom.md").read_text("utf-8")) if block.words]
    assert sum(block.words[0] == "python" for block in found) > 20


def test_the_page_on_claims_shows_what_new_claim_writes():
    first = next(block for block in blocks((ROOT / "docs/add-a-claim.md").read_text("utf-8")) if block.words)
    assert first.text == (ROOT / "flyroom/claims/_skeleton.py").read_text("utf-8")


@pytest.mark.parametrize(
    "text",
    ["```python\n>>> 1 + 1\n3\n```\n", "```python\nassert 1 == 2\n```\n", "```python fresh\nraise OSError\n```\n"],
)
def test_a_wrong_example_is_seen(text: str):
    with pytest.raises(AssertionError):
        run_page(text, "page")


def test_blocks_of_a_page_share_their_names():
    assert (
        run_page("```python\none = 1\n```\n\n```python\n>>> two = one + 1\n>>> two\n2\n```\n```sh\nx\n```\n", "page")
        == 2
    )


# Command lines. ---------------------------------------------------------------------------------------------------


def command_lines() -> list[str]:
    """Every line of a shell block (of an indented one in README.md, too) that calls flyroom."""
    found = []
    for page in ("README.md", *PAGES):
        text = (ROOT / page).read_text("utf-8")
        lines = [
            line for block in blocks(text) if block.words[:1] in (["sh"], ["bash"]) for line in block.text.splitlines()
        ]
        lines += [line.strip() for line in text.splitlines() if line.startswith("    ")]
        mentioned = re.findall(r"`(flyroom [^`]*)`", text)
        lines += [
            line for line in mentioned if line.removeprefix("flyroom ") not in _app.COMMANDS
        ]  # a bare name is no call
        for line in lines:
            calls = line.startswith("flyroom ")
            through_lab = re.match(r"python3 lab\.py (?!test)(\w.*)", line)
            words = line if calls else f"flyroom {through_lab[1]}" if through_lab else ""
            if words and "..." not in words:
                found.append(words)
    return list(dict.fromkeys(found))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The real table of commands, in which every command only notes that it was called, with legal arguments."""
    made: list[str] = []

    def silent(name: str, function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def note(*values: Any, **named: Any) -> int:
            made.append(name)
            return 0

        return note

    for name, function in list(_app.COMMANDS.items()):
        monkeypatch.setitem(_app.COMMANDS, name, silent(name, function))
    monkeypatch.setattr(_data, "data_make", _app.COMMANDS["data make"])  # its options depend on the data set
    return made


@pytest.mark.parametrize("line", command_lines())
def test_a_command_line_is_understood(line: str, calls: list[str], capsys: pytest.CaptureFixture[str]):
    words = shlex.split(line, comments=True)[1:]
    try:
        status = cli.main(words)
    except SystemExit as ended:  # --help, and words that are wrong
        status = ended.code
    assert not status, capsys.readouterr()
    assert calls or words[-1] in ("--help", "--version")


@pytest.mark.parametrize(
    "line",
    [
        "flyroom run --runs many",
        "flyroom trian x",
        "flyroom doctor --stroe x",
        "flyroom data make moons --padding 1 2 --out x.npz",
    ],
)
def test_a_wrong_command_line_is_seen(line: str, calls: list[str]):
    try:
        status = cli.main(shlex.split(line)[1:])
    except SystemExit as ended:
        status = ended.code
    assert status and not calls


def test_every_command_is_shown():
    shown = {" ".join(shlex.split(line, comments=True)[1:3]) for line in command_lines()}
    for name in _app.COMMANDS:
        assert any(line == name or line.startswith(f"{name} ") for line in shown), name


def test_cheap_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    for line in command_lines():
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "claims" or words[:2] == ["data", "list"]:
            assert cli.main(words) == 0, line
            assert "mnist1d" in capsys.readouterr().out.lower().replace("-", ""), line
    assert cli.main(["doctor", "--store", "none"]) == 0
    assert f"flyroom {flyroom.__version__}" in capsys.readouterr().out


# Docstrings. ------------------------------------------------------------------------------------------------------

MODULES = sorted(
    found.name for found in pkgutil.walk_packages(flyroom.__path__, "flyroom.") if not found.name.endswith("__main__")
)


def doctests(module: ModuleType) -> list[doctest.DocTest]:
    """The examples of a module's docstrings, those behind `jaxtyped` functions included."""
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    said: list[str] = []
    for test in doctests(module):
        if "torch" in (test.docstring or "").split(">>>", 1)[1] and importlib.util.find_spec("torch") is None:
            continue
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_no_example_in_a_docstring_is_overlooked():
    for name in MODULES:
        module = importlib.import_module(name)
        written = len(re.findall(r"^\s+>>> |^>>> ", Path(str(module.__file__)).read_text("utf-8"), re.MULTILINE))
        found = sum(len(test.examples) for test in doctests(module))
        assert found == written, f"{name}: {written} examples, {found} found"


# Scripts. ---------------------------------------------------------------------------------------------------------


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build, results = script("build"), script("results")


def test_the_build_computes_what_a_page_shows():
    page = (
        "# One\n```python\n>>> print('a', 'b', sep='\\n\\n')\n>>> [1,\n...  2]\n3\n"
        ">>> 1 + 1\n3\n>>> [1, 2]\n[1,   2]\n>>> y = 3\n```\n"
        "and 3\n```python\nx = 4\n```\n```python\n>>> x + y\n```\n```sh\n>>> 1\n2\n```\n"
    )
    made = build.computed(page, "page")
    assert made == (  # what agrees stays as it is written
        "# One\n```python\n>>> print('a', 'b', sep='\\n\\n')\na\n<BLANKLINE>\nb\n>>> [1,\n...  2]\n[1, 2]\n"
        ">>> 1 + 1\n2\n>>> [1, 2]\n[1,   2]\n>>> y = 3\n```\n"
        "and 3\n```python\nx = 4\n```\n```python\n>>> x + y\n7\n```\n```sh\n>>> 1\n2\n```\n"
    )
    assert build.computed(made, "page") == made and run_page(made, "page") == 3
    assert build.FLAGS == FLAGS


def test_the_build_says_where_an_example_fails():
    with pytest.raises(ValueError, match=r"page, line 3: ZeroDivisionError"):
        build.computed("one\n```python\n>>> 1 / 0\n```\n", "page")


def test_computed_pages_are_written_where_they_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "COMPUTED", ("a.md", "b.md"))
    for name, shown in (("a.md", "2"), ("b.md", "3")):
        (tmp_path / name).write_text(f"```python\n>>> 1 + 1\n{shown}\n```\n")
    assert build.rewritten(tmp_path) == ["b.md"]
    assert (tmp_path / "b.md").read_text() == (tmp_path / "a.md").read_text()
    assert build.main(["--numbers"], tmp_path) == 0 and build.rewritten(tmp_path) == []


def test_links_lead_somewhere():
    assert build.broken_links(ROOT) == []


def test_broken_links_are_seen(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/b.md").write_text("# A title, with `code`\n\n# Twice\n\n# Twice\n")
    (tmp_path / "README.md").write_text(
        "[a](docs/b.md) [b](docs/c.md) [c](docs/b.md#a-title-with-code) [d](docs/b.md#no) [e](https://x.org/y)\n"
        "[f](../README.md) [g](docs/api/flyroom.html) [h](docs/b.md#twice-1) [i](#none)\n```sh\n[j](k)\n```\n"
    )
    assert build.broken_links(tmp_path) == [
        f"README.md: {link}" for link in ("docs/c.md", "docs/b.md#no", "../README.md", "#none")
    ]
    assert build.main(["--links"], tmp_path) == 1


@pytest.mark.parametrize(
    ("html", "fetched"),
    [
        ('<script src="https://cdn.org/a.js"></script>', ["https://cdn.org/a.js"]),
        ('<link rel="stylesheet" href="//cdn.org/a.css">', ["//cdn.org/a.css"]),
        (
            '<style>@import "https://fonts.org/f"; a { background: url(http://x.org/p) }</style>',
            ["https://fonts.org/f", "http://x.org/p"],
        ),
        ('<img style="background: url(\'https://x.org/p\')" src="data:,">', ["https://x.org/p"]),
        ('<a href="https://x.org">x</a><script src="search.js"></script><svg xmlns="http://www.w3.org/2000/svg"/>', []),
    ],
)
def test_what_a_page_would_load_is_seen(html: str, fetched: list[str]):
    assert build.loads(html) == fetched


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pdoc") is None, reason="pdoc is not installed (pip install '.[dev]')")
def test_the_reference_is_made_and_loads_nothing(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, 'docs'); import build; from pathlib import Path\n"
         "sys.exit('\\n'.join(build.reference(Path('.'), Path(sys.argv[1]))) or 0)", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "flyroom/train.html").read_text("utf-8")
    assert "train_many" in page
    assert build.loads(page) == []


def test_results_are_put_where_they_belong(tmp_path: Path):
    """From a store with made-up accuracies to Markdown: idempotent, and nothing but the marked places changes."""
    accuracy = {"mnist1d-linear": 0.3, "mnist1d-mlp": 0.6, "mnist1d-gru": 0.8, "mnist1d-cnn": 0.9, "knn:10": 0.55}

    def run(cell: Any, settings: Any) -> list[Result]:
        found = []
        for one in cell.runs:
            value = accuracy.get(one.settings["net"], 0.5) + one.seed / 1000
            curves = {"step": [0.0, 1.0], "test_accuracy": [0.1, value]}
            timed = one.settings["net"] == "pytorch-time"
            values = {"test_accuracy": value, "cell": 0.0, "cell_size": 1.0}
            found.append(Result(one, values, {} if timed else curves))
        return found

    claim = ModuleType("made_up")
    vars(claim).update(vars(spatial_prior), run=run)
    settings = spatial_prior.Settings()
    cells = spatial_prior.cells(settings)
    store = tmp_path / "store"
    with open_store(store) as opened:
        account = engine.conduct(claim, settings, cells, cells, opened, machine.provenance("flyroom run"))
    assert account.judgement.verdict is not Verdict.supported  # nothing was lost by shuffling
    places = [tmp_path / "README.md", tmp_path / "docs/claims/spatial-prior.md"]
    places[1].parent.mkdir(parents=True)
    for place in places:
        place.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    line = "| [of another store](docs/claims/double-descent.md) | undecided | 9 of 10 | 1,200 | 34 |\n"
    places[0].write_text(f"<!-- gallery -->\n{line}<!-- /gallery -->\n" + places[0].read_text())
    section = "## [of another store](claims/double-descent.md)\n\nkept\n"
    (tmp_path / "docs/gallery.md").write_text(f"<!-- gallery -->\n\n{section}\n<!-- /gallery -->\n")
    assert results.main(["--store", str(store)], tmp_path) == 0
    once = [place.read_text("utf-8") for place in places]
    assert results.main(["--store", str(store)], tmp_path) == 0
    assert once == [place.read_text("utf-8") for place in places]
    for text in once:
        assert "before\n<!-- results -->\n\n| network |" in text and text.endswith("-->\nafter\n")
        assert all("| " + " | ".join(row) + " |\n" in text for row in account.judgement.table) and "\nold\n" not in text
        assert f"**spatial-prior: {account.judgement.verdict.value}.**" in text
    assert "**The linear is below the MLP**" in once[1] and "The linear is below the MLP**" not in once[0]
    assert "(docs/claims/double-descent.md) | undecided | 9 of 10 | 1,200 | 34 |" in once[0]
    assert f"| {1200 + account.judgement.runs:,} |" in once[0]
    assert section in (tmp_path / "docs/gallery.md").read_text("utf-8")
    assert "| not run yet |" in once[0] and f"| {account.judgement.verdict.value} |" in once[0]
    assert f"> {spatial_prior.ABOUT.sentence}" in (tmp_path / "docs/gallery.md").read_text("utf-8")
    assert (tmp_path / "docs/spatial-prior.svg").read_text("utf-8").startswith("<svg")


def test_results_of_another_run_than_the_plain_one_are_refused(tmp_path: Path, capsys):
    with open_store(tmp_path) as opened:
        made = machine.provenance("flyroom run --runs 3")
        judgement = Judgement("spatial-prior", 1, Verdict.undecided, "?", (), 0)
        settings = asdict(spatial_prior.Settings(runs=3))
        opened.keep(Account(spatial_prior.ABOUT, judgement, {}, made, settings, ()))
    assert results.main(["--store", str(tmp_path)], tmp_path) == 1
    assert "not made by a plain flyroom run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "<!-- results -->", "<!-- /results --><!-- results -->", 2 * "<!-- results --><!-- /results -->"]
)
def test_a_page_without_one_marked_place_is_refused(text: str):
    with pytest.raises(ValueError, match="there must be one <!-- results -->"):
        results.fill(text, "x")


def test_an_empty_store_fills_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    open_store(tmp_path / "store").close()
    assert results.main(["--store", str(tmp_path / "store")], tmp_path) == 1
    assert "holds no verdict; flyroom run all makes them" in capsys.readouterr().err


def test_the_repository_has_the_marked_places():
    for page in ("README.md", *(f"docs/claims/{name}.md" for name in claims.NAMES)):
        assert "\nx\n" in results.fill((ROOT / page).read_text("utf-8"), "x")
    for page in ("README.md", "docs/gallery.md"):
        assert "\nx\n" in results.fill((ROOT / page).read_text("utf-8"), "x", "gallery")


@pytest.mark.slow
def test_the_first_lesson_runs(tmp_path: Path):
    lesson = ROOT / "examples" / "first_lesson.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::UserWarning"}
    done = subprocess.run([sys.executable, str(lesson)], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "three seeds: undecided" in done.stdout and done.stdout.count(" plain ") == 4
    assert list(tmp_path.iterdir()) == []  # a lesson leaves nothing behind


def test_the_first_lesson_is_a_notebook_in_cells():
    text = (ROOT / "examples" / "first_lesson.py").read_text("utf-8")
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
    prose = [cell for cell in cells if cell.startswith(" [markdown]\n")]
    assert text.startswith("# %% [markdown]") and 5 <= len(prose) < len(cells)
    for cell in prose:
        assert all(line.startswith("#") for line in cell.splitlines()[1:] if line), cell
