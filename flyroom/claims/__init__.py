"""Published statements, one file each, to be put to the test.

A claim is a module with these names:

    ABOUT       records.About: id, version, sentence, source, prediction, measured cost, what is shortened
    Settings    a frozen dataclass; its defaults are the claim's default run
    cells(settings) -> list[Cell]            every run that is wanted, those of one setting together
    run(cell, settings) -> list[Result]      trains and measures the runs of a cell
    judge(results, settings) -> Judgement    pure: stored results in, verdict out
    figure(results, judgement) -> {caption: Vega-Lite specification, or the text of an animated SVG}

    cost(run) -> seconds of one core         an estimate, for progress
    quick(settings) -> changed settings      the short form, which may leave things undecided
    faithful(settings) -> changed settings   the published protocol, where the default is shorter; may be absent

Claims share instruments (`trials`, from settings to numbers by seed; `statements`, from statistics to sentences) and no
decisions: each states its numbers itself. A claim of one's own is such a file anywhere: `flyroom run my_claim.py`.
"""

import importlib
import importlib.util
import sys
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

NAMES = (
    "spatial-prior",
    "self-supervised",
    "lottery-ticket",
    "double-descent",
    "meta-learning-rate",
    "meta-activation",
    "pooling",
    "tsne",
    "human-ceiling",
    "sample-efficiency",
    "translation",
    "discriminative",
    "building",
    "full-batch-depth",
    "random-labels",
    "residual-depth",
    "augmentation",
    "universal-approximation",
    "fit-by-order",
    "skip-connections",
    "batch-norm-batch-size",
    "input-normalisation",
    "dead-relu",
    "sigmoid-against-relu",
    "feature-hierarchy",
    "field-and-resolution",
    "weight-sharing",
    "downsampling",
    "trajectory-growth",
    "transitions-follow-length",
    "remaining-depth",
    "training-and-length",
    "trajectory-regularisation",
    "bound-ladder",
    "quadratic-length",
)
DEFAULT = "spatial-prior"
INDEX = "index"  # no claim's id: its page would be the gallery's
PARTS = ("ABOUT", "Settings", "cells", "run", "judge", "figure", "cost", "quick")


def load(name: str) -> ModuleType:
    """The claim of that name, or the one in that Python file.

    Raises ValueError with near matches where there is none, and for a file that is no claim; FileNotFoundError for a
    file that is not there. A file is executed: it is a program, and only to be loaded from whom one would run one.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in NAMES:
        near = get_close_matches(name, NAMES, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(NAMES)}"
        raise ValueError(f"there is no claim {name!r}; {hint}")
    return importlib.import_module(f"flyroom.claims.{name.replace('-', '_')}")


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; flyroom new-claim {path.stem} writes one to begin with")
    module_name = path.stem.replace("-", "_")
    if module_name in sys.modules or module_name in sys.stdlib_module_names:
        module_name = f"claim_{module_name}"  # a file called json.py is not to stand in for the library
    spec = importlib.util.spec_from_file_location(module_name, path.resolve())
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickling look a module up by its name
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[module_name]
        raise ValueError(f"{error.filename or path}, line {error.lineno}: {error.msg}") from error
    except BaseException:
        del sys.modules[module_name]
        raise
    missing = [part for part in PARTS if not hasattr(module, part)]
    if missing:
        raise ValueError(
            f"{path} has no {', no '.join(missing)}; a claim has {', '.join(PARTS)}: flyroom new-claim NAME writes one"
        )
    if module.ABOUT.id == INDEX:
        raise ValueError(f"{path} says that its id is {INDEX!r}, which is the gallery's own page; choose another")
    if module.ABOUT.id in NAMES:
        raise ValueError(
            f"{path} says that its id is {module.ABOUT.id!r}, which is one of Flyroom's own; choose another, or their "
            "results would be taken for each other's"
        )
    return module
