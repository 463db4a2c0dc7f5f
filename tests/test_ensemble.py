"""Trained and saved: the files hold the networks that training gave, and nothing starts that cannot end."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from flyroom import ensemble, losses, train
from flyroom.data import load
from flyroom.ensemble import Plan
from flyroom.nets import files
from flyroom.nets.spec import parse

DATA = load("moons", n=200)
PLAN = Plan("mlp:2-8-2:tanh", learning_rate=0.05, steps=40, batch=20, runs=3, seed=5, every=20)


def strict(text: str):
    """JSON as it is defined: no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    out = tmp_path_factory.mktemp("nets")
    counted = []
    written = ensemble.train_and_save(PLAN, DATA, out, counted.append)
    assert sum(counted) == 3
    return out, written


def test_what_is_written(saved):
    out, written = saved
    names = [f"mlp-2-8-2-tanh-seed{seed}.safetensors" for seed in (5, 6, 7)]
    assert sorted(path.name for path in out.iterdir()) == ["curves.json", "curves.svg", *names]
    assert [Path(one["file"]).name for one in written["networks"]] == names
    assert written["step"] == [0, 20, 40]
    curves = strict((out / "curves.json").read_text())
    assert curves["plan"]["learning_rate"] == 0.05
    assert [len(one["test_loss"]) for one in curves["curves"]] == [3, 3, 3]
    assert (out / "curves.svg").read_text().startswith("<svg")


def test_a_file_holds_the_network_that_training_gave(saved):
    _, written = saved
    x, y = train.examples(DATA)
    order = train.contiguous(len(x), PLAN.batch, PLAN.steps)
    again = train.train_many(
        [parse(PLAN.net).init(jax.random.key(seed)) for seed in (5, 6, 7)],
        x,
        y,
        order,
        train.Protocol(losses.cross_entropy),
        learning_rate=PLAN.learning_rate,
    )
    x_test = jnp.asarray(DATA.x_test, jnp.float32)
    logits = [np.asarray(files.read(Path(one["file"]))(x_test)) for one in written["networks"]]
    for ours, one, stated in zip(logits, again, written["networks"], strict=True):
        np.testing.assert_allclose(ours, np.asarray(one.net(x_test)), rtol=1e-6)
        assert stated["test_accuracy"] == np.mean(ours.argmax(1) == DATA.y_test)
        assert stated["test_accuracy"] > 0.8  # it learned: a network at its first weights does not
        assert stated["curve"][-1] == stated["test_accuracy"]
    assert not np.allclose(logits[0], logits[1])


def test_a_file_says_how_it_came_about(saved):
    _, written = saved
    with safe_open(written["networks"][1]["file"], framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["flyroom_spec"] == PLAN.net
    notes = json.loads(metadata["flyroom_notes"])
    assert notes["seed"] == 6 and notes["plan"]["steps"] == 40 and notes["data"]["name"] == "moons"
    assert notes["test_accuracy"] == written["networks"][1]["test_accuracy"]


def test_shuffled_epochs_make_other_networks_by_seed(saved, tmp_path):
    _, contiguous = saved
    written = ensemble.train_and_save(replace(PLAN, order="shuffled", runs=1), DATA, tmp_path)
    x = jnp.asarray(DATA.x_test, jnp.float32)
    ours = files.read(Path(written["networks"][0]["file"]))(x)
    assert not np.allclose(ours, files.read(Path(contiguous["networks"][0]["file"]))(x))
    again = ensemble.train_and_save(replace(PLAN, order="shuffled", runs=1), DATA, tmp_path / "again")
    np.testing.assert_array_equal(ours, files.read(Path(again["networks"][0]["file"]))(x))


def test_images_are_flattened(tmp_path):
    plan = Plan("mlp:64-10", steps=2, batch=10, every=1)
    ensemble.check(plan, load("digits"), tmp_path)
    assert len(ensemble.train_and_save(plan, load("digits"), tmp_path)["networks"]) == 1


def test_a_network_that_diverges_is_noted(tmp_path):
    plan = replace(PLAN, optimiser="sgd", learning_rate=1e38, runs=1)
    (network,) = ensemble.train_and_save(plan, DATA, tmp_path)["networks"]
    assert 0 < network["diverged_at_step"] < 40
    assert strict((tmp_path / "curves.json").read_text())["curves"][0]["train_loss"][-1] is None
    with pytest.raises(ValueError, match="not finite; the network diverged or was damaged"):
        files.read(Path(network["file"]))


@pytest.mark.parametrize("optimiser", ensemble.OPTIMISERS)
def test_every_optimiser_lowers_the_loss(optimiser, tmp_path):
    ensemble.train_and_save(replace(PLAN, optimiser=optimiser, runs=1, net="mlp:2-2"), DATA, tmp_path)
    (curve,) = json.loads((tmp_path / "curves.json").read_text())["curves"]
    assert curve["train_loss"][-1] < curve["train_loss"][0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"runs": 0}, "runs is 0; it must be at least 1"),
        ({"steps": -3}, "steps is -3; it must be at least 1"),
        ({"every": 0}, "every is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be 0 or more"),
        ({"learning_rate": float("nan")}, "the learning rate is nan; it must be finite and above 0"),
        ({"learning_rate": 0.0}, "the learning rate is 0.0; it must be"),
        ({"batch": 161}, "batch is 161; moons has 160 examples"),
        ({"batch": 0}, "batch is 0; moons has 160 examples"),
        ({"optimiser": "adm"}, "there is no 'adm'; did you mean adam"),
        ({"order": "shuffle"}, "there is no 'shuffle'; did you mean shuffled"),
        ({"net": "mlp:2-8-3"}, "mlp:2-8-3 has 3 outputs, but moons has 2 classes"),
        ({"net": "mlp:3-8-2"}, "mlp:3-8-2 does not take the 2 inputs of moons"),
        ({"net": "mnist1d-cn"}, "there is no network 'mnist1d-cn'; did you mean mnist1d-cnn"),
        ({"net": "python:math:sqrt"}, "python:math:sqrt does not take the 2 inputs of moons"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_training(wrong, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        ensemble.check(replace(PLAN, **wrong), DATA, tmp_path)


def test_a_file_in_the_way_is_seen_before_training(tmp_path):
    (tmp_path / "taken").write_text("mine")
    for out in (tmp_path / "taken", tmp_path / "taken" / "nets"):
        with pytest.raises(NotADirectoryError, match="taken is a file; the networks need a directory"):
            ensemble.check(PLAN, DATA, out)
    ensemble.check(PLAN, DATA, tmp_path / "new" / "nets")
    assert not (tmp_path / "new").exists()  # checking makes nothing


def test_a_network_for_images_is_sent_to_fit():
    with pytest.raises(ValueError, match=r"resnet18:cifar is a network for images, .*; flyroom fit trains it"):
        ensemble.check_net("resnet18:cifar", load("digits"))
