"""Commands on networks: train."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from flyroom.cli._app import AsJson, command, let_import
from flyroom.cli._terminal import print_json, progress, spark


@command("train")
def train(
    net: Positional[Annotated[str, arg(metavar="NET")]],
    *,
    data: str = "mnist1d",
    lr: float = 1e-2,
    steps: int = 6000,
    batch: int = 100,
    runs: int = 1,
    seed: int = 0,
    optimiser: Literal["adam", "sgd", "momentum", "rmsprop"] = "adam",
    order: Literal["contiguous", "shuffled"] = "contiguous",
    every: int = 250,
    out: Path = Path("nets"),
    json: AsJson = False,
) -> int:
    """Train a network many times over, and save the networks and their curves.

    Args:
        net: a network, such as mnist1d-cnn or mlp:40-100-10:tanh
        data: a data set (flyroom data list) or an archive that flyroom made
        lr: learning rate
        steps: updates of each network
        batch: examples an update
        runs: how many networks, with seeds from --seed on
        seed: the first network's seed, of its first weights and of a shuffled order
        optimiser: momentum is SGD with momentum 0.9
        order: contiguous batches, round and round, or epochs shuffled anew
        every: steps between two points of a curve
        out: directory for the .safetensors files, curves.json and curves.svg; files of the same
            names are replaced
    """
    from flyroom import ensemble
    from flyroom.data import load

    let_import(net)
    dataset = load(Path(data) if Path(data).suffix in (".npz", ".parquet") else data)
    plan = ensemble.Plan(net, lr, steps, batch, runs, seed, optimiser, order, every)
    ensemble.check(plan, dataset, out)
    with progress(net, runs, float(runs)) as advance:
        outcome = ensemble.train_and_save(plan, dataset, out, lambda done: advance(done, float(done), net))
    if json:
        print_json(outcome)
        return 0
    for network in outcome["networks"]:
        ended = f"diverged at step {network['diverged_at_step']}" if network["diverged_at_step"] is not None else ""
        print(
            f"{network['file']}  test {network['test_accuracy']:.1%}  train {network['train_accuracy']:.1%}  "
            f"{spark(network['curve'])}  {ended}".rstrip()
        )
    print(f"curves: {outcome['figure']}")
    return 0
