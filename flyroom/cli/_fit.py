"""The command that trains one network on images, by a recipe."""

from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from flyroom.cli._app import AsJson, PathOrNone, TextOrNone, WholeOrNone, command
from flyroom.cli._terminal import duration, print_json, say


@command("fit")
def fit(
    recipe: Positional[Annotated[str, arg(metavar="RECIPE")]] = "",
    *,
    data: TextOrNone = None,
    seed: int = 0,
    epochs: WholeOrNone = None,
    batch: WholeOrNone = None,
    device: Literal["any", "cpu", "gpu"] = "any",
    precision: Literal["float32", "bfloat16"] = "float32",
    out: PathOrNone = None,
    json: AsJson = False,
) -> int:
    """Train one network on images by a recipe, with checkpoints; without a recipe, list them.

    Args:
        recipe: which recipe, such as digits or cifar-10
        data: the images: a data set (flyroom data list) or an archive that flyroom made; by default the recipe's own
        seed: of first weights, batches and augmentation
        epochs: fewer or more than the recipe says; the schedule follows
        batch: images an update, a multiple of the number of devices
        device: where to train; any takes every GPU that there is, and the CPU otherwise
        precision: of products; bfloat16 is for GPUs
        out: directory for the checkpoint of each epoch and the trained network; the same command goes on from there
    """
    import jax

    from flyroom.recipes import RECIPES

    if not recipe:
        print("\n".join(f"{name:16} {one.net:22} {_quoted(one)}".rstrip() for name, one in RECIPES.items()))
        return 0
    if device != "any":
        jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda"}[device])
    from flyroom import fit as fitting

    plan, dataset = _plan(recipe, data, epochs, batch)

    def told(epoch: int, loss: float) -> None:
        say(f"epoch {epoch} of {plan.epochs}: loss {loss:.4f}")

    devices = _devices(device)
    found = fitting.fit(
        plan, dataset, seed=seed, directory=out, devices=devices, precision=precision, progress=None if json else told
    )
    file = None if out is None else _saved(found, plan, dataset, seed, Path(out))
    low, high = found.test_accuracy.interval or (found.test_accuracy.value,) * 2
    if json:
        print_json(
            {
                "recipe": recipe,
                "test_accuracy": found.test_accuracy.value,
                "interval": [low, high],
                "quoted": plan.quoted,
                "losses": found.losses,
                "wall_s": found.wall_s,
                "file": file,
            }
        )
        return 0
    print(
        f"{recipe}: test accuracy {found.test_accuracy.value:.1%} [{low:.1%}, {high:.1%}] of {found.test_accuracy.n} "
        f"images{_quoted(plan, ', ')}; {duration(found.wall_s)} on {len(devices)} x {devices[0].platform}"
    )
    if file is not None:
        print(f"network: {file}")
    return 0


def _quoted(recipe: Any, before: str = "") -> str:
    return "" if recipe.quoted is None else f"{before}quoted {recipe.quoted:.0%}"


def _plan(name: str, data: str | None, epochs: int | None, batch: int | None) -> tuple[Any, Any]:
    """The recipe with what was changed, and its data; ValueError for a recipe or data that there is none of."""
    from dataclasses import replace
    from difflib import get_close_matches

    from flyroom.data import NAMES, load
    from flyroom.recipes import RECIPES

    if name not in RECIPES:
        near = get_close_matches(name, RECIPES, n=2) or list(RECIPES)
        raise ValueError(f"there is no recipe {name!r}; did you mean {' or '.join(near)}?")
    given = {key: value for key, value in (("epochs", epochs), ("batch", batch)) if value is not None}
    if min(given.values(), default=1) < 1:
        raise ValueError(f"{given}: epochs and batch must be at least 1")
    wanted = data or name
    is_file = Path(wanted).suffix in (".npz", ".parquet")
    if not is_file and wanted not in NAMES:
        raise ValueError(
            f"{wanted} is not among the data sets that are here ({', '.join(NAMES)}); give its images with --data "
            "FILE.npz, an archive as flyroom.data.archive.save writes it"
        )
    return replace(RECIPES[name], **given), load(Path(wanted) if is_file else wanted)


def _devices(device: str) -> list[Any]:
    """One CPU, or every GPU; ValueError where there is none of what was asked for."""
    import jax

    try:
        found = jax.devices()
    except RuntimeError as error:
        raise ValueError(f"there is no {device} that JAX can use here ({error}); leave --device out") from None
    return list(found) if found[0].platform != "cpu" else found[:1]


def _saved(found: Any, plan: Any, dataset: Any, seed: int, out: Path) -> str:
    """The trained network beside its checkpoint, as `flyroom net` opens it."""
    from flyroom.nets import files

    path = out / "network.safetensors"
    shape = dataset.x_train.shape[1:]
    channels = shape[dataset.axes.index("channel")] if "channel" in dataset.axes else 1
    spec = f"{plan.net}?channels={channels}&classes={len(dataset.classes)}"
    files.save(found.net, spec, path, notes={"seed": seed, "test_accuracy": found.test_accuracy.value})
    return str(path)
