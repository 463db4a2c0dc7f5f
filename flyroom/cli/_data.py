"""Commands on data: data list, data show, data make."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from flyroom.cli._app import AsJson, app
from flyroom.cli._terminal import print_json


@app.command(name="data list")
def data_list(*, json: AsJson = False) -> int:
    """List the data sets."""
    from flyroom.data import CARDS

    if json:
        print_json(list(CARDS))
        return 0
    for card in CARDS:
        print(f"{card['id']:10} {card['name']}  ({card['modality']}; {', '.join(card['tasks'])}; {card['licence']})")
    return 0


@app.command(name="data make")
def data_make(
    name: Positional[str],
    *,
    out: Path,
    stream: str | None = None,
    dtype: Literal["float32", "float64"] = "float64",
    overwrite: bool = False,
    json: AsJson = False,
    rest: Positional[tuple[str, ...]] = (),
) -> int:
    """Make a data set and save it: flyroom data make mnist1d --samples 1000000 --stream indexed --out x.npz

    Every argument of the generator is an option as well (--samples, --seed, --padding 36 60, ...); a wrong one is
    answered with the list.

    Args:
        name: a data set of `flyroom data list`
        out: a file that ends in .npz or .parquet
        stream: mnist1d's canonical (equal to the published package, bit for bit) or indexed (endless, random access)
        dtype: the type of the numbers in the file
        overwrite: replace the file if it is there
    """
    import tyro

    from flyroom.data import archive, maker

    words = ["--num-samples" if word == "--samples" else word for word in rest]
    dataset = tyro.cli(maker(name, stream), args=words, prog=f"flyroom data make {name}")
    path = archive.save(dataset, out, dtype, overwrite=overwrite)
    shapes = {"train": list(dataset.x_train.shape), "test": list(dataset.x_test.shape)}
    if json:
        print_json({"path": str(path), "name": dataset.name, **shapes, "recipe": dict(dataset.recipe)})
    else:
        print(f"{path}: {dataset.name}, train {shapes['train']}, test {shapes['test']}")
    return 0
