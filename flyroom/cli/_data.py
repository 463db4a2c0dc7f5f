"""Commands on data: data list, data show, data make."""

import importlib.util
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from flyroom.cli._app import AsJson, TextOrNone, command
from flyroom.cli._terminal import print_json

# What each argument of a generator means; the docstrings in flyroom.data say more.
ARGUMENTS = {
    "num_samples": "examples in all, training and test part together; canonical: a multiple of 10",
    "train_split": "the fraction of them that is the training part",
    "template_len": "makes the signal before subsampling longer: template_len + the larger padding",
    "padding": "fewest and most points that are added around a digit",
    "scale_coeff": "how much the height of a digit varies",
    "max_translation": "shifts are 0 to this less 1",
    "corr_noise_scale": "deviation of the smooth noise, before it is smoothed",
    "iid_noise_scale": "deviation of the noise of each point",
    "shear_scale": "how much a signal is tilted",
    "shuffle_seq": "permute the positions, all examples alike",
    "final_seq_length": "points of a finished signal",
    "seed": "where randomness begins",
    "n": "examples in all, training and test part together",
    "noise": "standard deviation that is added to each coordinate",
    "factor": "radius of the inner circle, between 0 and 1",
    "classes": "how many clouds",
}
_OF_THE_FILE = ("dtype",)  # `data make` has this option itself, for what is written


@command("data list")
def data_list(*, json: AsJson = False) -> int:
    """List the data sets."""
    from flyroom.data import CARDS

    if json:
        print_json(list(CARDS))
        return 0
    for card in CARDS:
        print(f"{card['id']:10} {card['name']}")
    print("\nflyroom data show NAME says more; flyroom data make NAME --out FILE makes one.")
    return 0


@command("data show")
def data_show(name: Positional[Annotated[str, arg(metavar="NAME")]], *, json: AsJson = False) -> int:
    """Show the card of a data set, and what its generator takes.

    Args:
        name: a data set of `flyroom data list`
    """
    from flyroom.data import CARDS, maker

    options = [
        {"name": option, "default": parameter.default, "help": ARGUMENTS[option]}
        for option, parameter in _generator(maker(name)).items()
    ]
    card = next(card for card in CARDS if card["id"] == name)
    if json:
        print_json({**card, "arguments": options})
        return 0
    print(f"{card['id']}: {card['name']}")
    print(f"  {card['modality']}; {', '.join(card['tasks'])}; {card['tier']}; licence {card['licence']}\n")
    for option in options:
        default = option["default"]
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        print(f"  {_option(option['name']):19} {shown:8} {option['help']}")
    return 0


@command("data make")
def data_make(
    name: Positional[Annotated[str, arg(metavar="NAME")]],
    *,
    out: Path,
    stream: TextOrNone = None,
    dtype: Literal["float32", "float64"] = "float64",
    overwrite: bool = False,
    json: AsJson = False,
    **arguments: Any,
) -> int:
    """Make a data set and save it: flyroom data make mnist1d --samples 1000000 --stream indexed --out x.npz

    Every argument of the generator is an option as well: flyroom data make NAME --help shows them.

    Args:
        name: a data set of `flyroom data list`
        out: a file that ends in .npz or .parquet
        stream: mnist1d only: canonical (the default; the published package's, bit for bit) or indexed (random access)
        dtype: the type of the numbers in the file
        overwrite: replace the file if it is there
    """
    from flyroom.data import archive, maker

    _check_out(out, overwrite)
    make = maker(name, stream)
    if "dtype" in inspect.signature(make).parameters:
        arguments["dtype"] = dtype
    path = archive.save(dataset := make(**arguments), out, dtype, overwrite=overwrite)
    shapes = {"train": list(dataset.x_train.shape), "test": list(dataset.x_test.shape)}
    if json:
        print_json({"path": str(path), "name": dataset.name, **shapes, "recipe": dict(dataset.recipe)})
    else:
        print(f"{path}: {dataset.name}, train {shapes['train']}, test {shapes['test']}")
    return 0


def with_generator(words: list[str]) -> Callable[..., int]:
    """`data_make` with the arguments of the generator that `words` name as further options."""
    if all(word.startswith("-") for word in words):
        return _with_options(())  # --help, which needs no data

    from flyroom.data import NAMES, maker

    name = next((word for word in words if word in NAMES), words[0] if words and words[0][0:1] != "-" else None)
    split = [part for word in words for part in word.split("=", 1)]
    stream = dict(pairwise(split)).get("--stream")
    return _with_options(() if name is None else _generator(maker(name, stream)).values())


def _with_options(parameters: Iterable[inspect.Parameter]) -> Callable[..., int]:
    own = list(inspect.signature(data_make).parameters.values())[:-1]  # but for **arguments

    @wraps(data_make)
    def make(*given: Any, **named: Any) -> int:
        return data_make(*given, **named)

    del make.__wrapped__  # or its own signature would be looked at
    signature = inspect.Signature([*own, *map(_as_option, parameters)])
    make.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
    make.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()} | {"return": int}
    return make


def _generator(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(make).parameters
    return {name: one for name, one in parameters.items() if name not in _OF_THE_FILE}


def _as_option(parameter: inspect.Parameter) -> inspect.Parameter:
    kind = tuple[int, int] if isinstance(parameter.default, tuple) else type(parameter.default)
    long = (f"--{parameter.name.replace('_', '-')}",)
    said = arg(
        name=_option(parameter.name).removeprefix("--"),
        aliases=long if long[0] != _option(parameter.name) else None,
        help=ARGUMENTS[parameter.name],
    )
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, said])


def _option(name: str) -> str:
    return "--samples" if name == "num_samples" else f"--{name.replace('_', '-')}"


def _check_out(out: Path, overwrite: bool) -> None:
    """Say what is wrong with the file's name before a million examples are made for it."""
    if out.suffix not in (".npz", ".parquet"):
        raise ValueError(f"--out {out} ends in {out.suffix or 'no suffix'!r}; use .npz or .parquet")
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("Parquet needs pyarrow, which is not installed; pip install 'flyroom[lab]', or use .npz")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: there is no directory {out.parent}; make it first")
    if out.is_dir():
        raise IsADirectoryError(f"--out {out} is a directory; give the name of a file")
    if out.exists() and not overwrite:
        raise FileExistsError(f"--out {out} is there already; choose another name, or add --overwrite")
