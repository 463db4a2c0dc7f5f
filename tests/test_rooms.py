"""The house rules: imports run one way, effects have one address, files and functions stay short.

Each rule is a function from sources to complaints, so that a small false package shows that it can fail.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the top down. A room imports only from steps below its own; rooms of one step are independent.
STAIRCASE = (
    {"__main__"},
    {"cli"},
    {"report"},
    {"claims"},
    {"engine", "cluster", "compare", "ensemble", "fit"},
    {"train", "measure", "stats", "plot", "store"},
    {"data", "nets", "losses", "recipes"},
    {"machine"},
    {"records"},
)
STEP = {room: step for step, rooms in enumerate(STAIRCASE) for room in rooms}
FAMILIES = {"data", "nets", "measure", "claims"}  # packages of leaves that never import each other
# The staircase inside a family, from the top; "*" is every leaf that is not named, "_" every private file, which is
# below all where it is not named.
# A family that is not here has leaves only.
INNER: dict[str, tuple[set[str], ...]] = {
    "nets": (
        {"layouts"},
        {"files"},
        {"spec"},
        {"reader", "torch"},
        {"graph"},
        {"resnet", "image"},
        {"blocks", "conv", "deep", "gru", "linear", "mlp", "neuron", "quadratic", "residual", "rnn", "stack"},
        {"convolution", "local", "norms", "pooling", "prelu"},
        {"activations", "derivatives", "padding"},
    ),
    "data": ({"archive", "views", "splits"}, {"*"}),
    "measure": ({"trajectory"}, {"*"}, {"enclosure"}, {"paths", "_"}),
    "claims": ({"*"}, {"_"}, {"trials", "statements"}),
}
ONLY_IN = {"altair": "plot", "rich": "cli", "tyro": "cli"}  # third-party packages with one address
HEAVY = {
    "jax",
    "torch",
    "altair",
    "sklearn",
    "scipy",
}  # `flyroom --help` answers without these

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
# At most three, each with its reason.
EXCEPTIONS: dict[str, str] = {}

Sources = dict[str, str]  # module name -> source; a package stands under its own name


def sources() -> Sources:
    found = {}
    for path in sorted((ROOT / "flyroom").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imported(source: str, known: Sources) -> Iterator[tuple[str, str | None]]:
    """Every (module, name) that `source` imports, wherever in the file; a relative one starts with a dot."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # What `import flyroom` is good for shows in what is taken from it.
                taken = attributes(tree, "flyroom") if (alias.name, alias.asname) == ("flyroom", None) else set()
                yield from ((alias.name, name) for name in taken or {None})
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield (inner, None) if inner in known else (module, alias.name)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "importlib.import_module"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, None


def attributes(tree: ast.AST, of: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == of
    }


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def room(module: str) -> str:
    """`flyroom.data.mnist1d` -> `data`; the package itself has no room."""
    return module.split(".")[1] if "." in module else ""


def wrong_imports(known: Sources) -> list[str]:
    complaints = []
    for module, source in known.items():
        if room(module) and room(module) not in STEP:
            complaints.append(f"{module} has no step on the staircase")
            continue
        for target, name in imported(source, known):
            if target.startswith("."):
                complaints.append(f"{module} imports {target}: relative")
            elif target.split(".")[0] == "flyroom" and (why := refusal(module, target, name)):
                complaints.append(f"{module} imports {target}: {why}")
            elif (home := ONLY_IN.get(target.split(".")[0])) and room(module) != home:
                complaints.append(f"{module} imports {target}: only {home} does")
    return complaints


def refusal(module: str, target: str, name: str | None) -> str | None:
    """Why `module` may not import `target` (or `name` from it); None where it may."""
    if not room(module):
        return None  # flyroom/__init__.py is the door to all rooms
    if not room(target):
        return None if name == "__version__" else "the door"
    if room(target) not in STEP:
        return "no such room"
    if room(target) == room(module):
        leaf, other = module.split(".")[2:], target.split(".")[2:]
        return leaf_refusal(room(module), leaf, other) if room(module) in FAMILIES else None
    if any(part.startswith("_") and not part.startswith("__") for part in target.split(".")[2:]):
        return "private"
    if STEP[room(target)] < STEP[room(module)]:
        return "upward"
    return "sideways" if STEP[room(target)] == STEP[room(module)] else None


def leaf_refusal(family: str, leaf: list[str], target: list[str]) -> str | None:
    """Inside a family: its `__init__` may load its leaves; a leaf may use private siblings, inner files, and what
    stands below it on the family's own staircase.
    """
    if not leaf:
        return None
    if not target:
        return "its own family"
    if leaf[0] == target[0] or target[0].startswith("_"):
        return None
    own, other = inner_step(family, leaf[0]), inner_step(family, target[0])
    if own is None or other is None:
        return f"a step of {family} is missing"
    if own == other:
        return "a sibling"
    return None if own < other else "upward"


def inner_step(family: str, leaf: str) -> int | None:
    """0 is the top. None: a file without a step, in a family whose staircase names every one."""
    staircase = INNER.get(family, ({"*"},))
    if leaf.startswith("_"):
        return next((step for step, leaves in enumerate(staircase) if "_" in leaves), len(staircase))
    named = [step for step, leaves in enumerate(staircase) if leaf in leaves]
    return (named or [step for step, leaves in enumerate(staircase) if "*" in leaves] or [None])[0]


EFFECTS = {"sys.argv", "os.environ", "os.environb", "os.getenv", "sys.stdout", "sys.stderr", "sys.stdin"}


def wrong_effects(known: Sources) -> list[str]:
    """Printing, reading what was typed, and reading the environment belong to the command line."""
    complaints = []
    for module, source in known.items():
        if room(module) == "cli":
            continue
        for node in ast.walk(ast.parse(source)):
            found = None
            if isinstance(node, ast.Call) and called(node) in ("print", "input"):
                found = called(node)
            elif isinstance(node, ast.Attribute) and ast.unparse(node) in EFFECTS:
                found = ast.unparse(node)
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                found = ", ".join(sorted(names & EFFECTS))
            if found:
                complaints.append(f"{module}:{getattr(node, 'lineno', 0)} uses {found}: only cli does")
    return complaints


def too_long(known: Sources) -> list[str]:
    """Files and functions over the limits, as `module` and `module.function`; docstrings are not counted."""
    complaints = []
    for module, source in known.items():
        if len(source.splitlines()) > LONGEST_FILE:
            complaints.append(module)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                first = node.body[0]
                if ast.get_docstring(node) is not None:
                    lines -= (first.end_lineno or first.lineno) - first.lineno + 1
                if lines > LONGEST_FUNCTION:
                    complaints.append(f"{module}.{node.name}")
    return complaints


def loaded(module: str, watched: set[str]) -> set[str]:
    """Which of `watched` a fresh interpreter has loaded after importing `module`."""
    code = f"import {module}, sys; print(*sorted({watched!r} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


def test_imports_run_one_way():
    known = sources()
    assert {
        "flyroom",
        "flyroom.records",
        "flyroom.data",
    } <= known.keys()  # the rule looks at the right folder
    assert wrong_imports(known) == []


def test_effects_have_one_address():
    assert wrong_effects(sources()) == []


def test_files_and_functions_stay_short():
    known = {**sources(), "lab": (ROOT / "lab.py").read_text(encoding="utf-8")}
    assert [found for found in too_long(known) if found not in EXCEPTIONS] == []
    assert len(EXCEPTIONS) <= 3
    assert set(EXCEPTIONS) <= set(too_long(known)), "an exception that is no longer needed"


@pytest.mark.parametrize("module", ["flyroom", "flyroom.cli"])
def test_the_command_line_starts_light(module: str):
    assert loaded(module, HEAVY) == set()


# That each of these can fail.

CLEAN = {
    "flyroom": "def __getattr__(name):\n    from flyroom import cli\n",
    "flyroom.__main__": "from flyroom.cli import main",
    "flyroom.cli": "import sys, rich\nfrom flyroom import claims, report, store\nprint(sys.argv)",
    "flyroom.report": "from flyroom import __version__, plot\nfrom flyroom.store import read",
    "flyroom.claims": "import importlib\nimportlib.import_module('flyroom.claims.one')",
    "flyroom.claims.one": "from flyroom.train import train_many\nfrom flyroom.claims._curves import mean",
    "flyroom.claims._curves": "import numpy as np",
    "flyroom.train": "from flyroom.records import Run",
    "flyroom.plot": "import altair as alt",
    "flyroom.store": "import flyroom.records",
    "flyroom.data": "",
    "flyroom.data.mnist1d": "from flyroom.data._files import save\nfrom flyroom.records import Dataset",
    "flyroom.data._files": "import numpy as np",
    "flyroom.data.catalogue": "from flyroom.data.catalogue.fetch import fetch",
    "flyroom.data.catalogue.fetch": "from flyroom.data.catalogue.readers import idx",
    "flyroom.data.catalogue.readers": "",
    "flyroom.data.catalogue.readers.idx": "",
    "flyroom.records": "",
    "flyroom.machine": "import flyroom\nfrom flyroom.records import Provenance\nprint_ = flyroom.__version__",
    "flyroom.data.archive": "from flyroom.data import _files, mnist1d",
    "flyroom.nets": "",
    "flyroom.nets._layers": "",
    "flyroom.nets.activations": "",
    "flyroom.nets.mlp": "from flyroom.nets._layers import draw\nfrom flyroom.nets.activations import relu",
    "flyroom.nets.spec": "from flyroom.nets.activations import relu\nfrom flyroom.nets.mlp import MLP",
    "flyroom.nets.files": "from flyroom.nets.spec import parse",
    "flyroom.ensemble": "from flyroom import plot, train\nfrom flyroom.nets import files",
}


def test_a_clean_house_passes():
    assert wrong_imports(CLEAN) == []
    assert wrong_effects(CLEAN) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("flyroom.records", "import flyroom.cli", "flyroom.records imports flyroom.cli: upward"),
        ("flyroom.records", "from flyroom.machine import cores", "upward"),
        ("flyroom.machine", "from flyroom.data import load", "upward"),
        ("flyroom.machine", "import flyroom\nflyroom.__version__\nflyroom.train.devices()", "the door"),
        ("flyroom.ensemble", "from flyroom.engine import here", "sideways"),
        ("flyroom.ensemble", "from flyroom.claims import one", "upward"),
        ("flyroom.nets.mlp", "from flyroom.nets.gru import BiGRU", "a sibling"),
        ("flyroom.nets.mlp", "from flyroom.nets.spec import parse", "upward"),
        ("flyroom.nets.spec", "from flyroom.nets.files import read", "upward"),
        ("flyroom.nets.activations", "from flyroom.nets.padding import pad", "a sibling"),
        ("flyroom.nets._layers", "from flyroom.nets.mlp import MLP", "upward"),
        ("flyroom.nets.mystery", "from flyroom.nets.mlp import MLP", "a step of nets is missing"),
        ("flyroom.data.mnist1d", "from flyroom.data.archive import save", "upward"),
        ("flyroom.data.archive", "from flyroom.data.views import pytorch", "a sibling"),
        ("flyroom.data.archive", "from flyroom.data import load", "its own family"),
        ("flyroom.claims.one", "from flyroom.claims.two import judge", "a sibling"),
        ("flyroom.claims.statements", "from flyroom.claims.one import judge", "upward"),
        ("flyroom.train", "from flyroom import claims", "imports flyroom.claims: upward"),
        ("flyroom.train", "from flyroom.stats import bca", "sideways"),
        ("flyroom.store", "def f():\n    if 1:\n        from flyroom.plot import chart", "sideways"),
        ("flyroom.store", "import importlib\nimportlib.import_module('flyroom.plot')", "sideways"),
        ("flyroom.data.shapes", "from flyroom.data.mnist1d import make", "a sibling"),
        ("flyroom.data.shapes", "from flyroom.data import mnist1d", "a sibling"),
        ("flyroom.data.shapes", "from flyroom.data.catalogue.fetch import fetch", "a sibling"),
        ("flyroom.data._files", "from flyroom.data.mnist1d import make", "upward"),
        ("flyroom.data.shapes", "from flyroom.data import load", "its own family"),
        ("flyroom.train", "from flyroom.data._files import save", "private"),
        ("flyroom.train", "from .records import Run", "imports .records: relative"),
        ("flyroom.data.shapes", "from . import mnist1d", "relative"),
        ("flyroom.store", "from flyroom import Run", "the door"),
        ("flyroom.store", "import flyroom", "the door"),
        ("flyroom.utils", "", "flyroom.utils has no step on the staircase"),
        ("flyroom.store", "from flyroom.absent import x", "no such room"),
        ("flyroom.report", "import altair", "imports altair: only plot does"),
        ("flyroom.engine", "def f():\n    from rich.progress import Progress", "only cli does"),
    ],
)
def test_wrong_imports_are_seen(module: str, source: str, complaint: str):
    (found,) = wrong_imports({**CLEAN, module: source})
    assert complaint in found


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("def f():\n    print(1)", "print"),
        ("x = input()", "input"),
        ("import sys\nsys.argv", "sys.argv"),
        ("import sys\nsys.stderr.write('x')", "sys.stderr"),
        ("import os\nos.environ['X']", "os.environ"),
        ("import os\nos.getenv('X')", "os.getenv"),
        ("from os import environ", "os.environ"),
        ("from sys import argv as words", "sys.argv"),
    ],
)
def test_wrong_effects_are_seen(source: str, used: str):
    (found,) = wrong_effects({**CLEAN, "flyroom.engine": source})
    assert found.startswith("flyroom.engine:") and f"uses {used}:" in found


def test_long_files_and_functions_are_seen():
    assert too_long({"m": "x = 1\n" * LONGEST_FILE}) == []
    assert too_long({"m": "x = 1\n" * (LONGEST_FILE + 1)}) == ["m"]
    body = "    x = 1\n" * (LONGEST_FUNCTION - 1)
    docstring = '    """One.\n\n    Two.\n    """\n'
    assert too_long({"m": "def f():\n" + docstring + body}) == []
    assert too_long({"m": "def f():\n" + docstring + body + "    x = 2\n"}) == ["m.f"]


def test_a_heavy_import_is_seen():
    assert loaded("json", HEAVY | {"json"}) == {"json"}
