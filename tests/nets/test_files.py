"""Networks in files: whole or not at all, and refused where they are not what they say."""

import json

import equinox as eqx
import jax
import numpy as np
import pytest
from pytorch_layout import NAMES
from safetensors import safe_open
from safetensors.numpy import save_file

from flyroom.nets import files
from flyroom.nets.norms import AtInference
from flyroom.nets.resnet import ResNet
from flyroom.nets.spec import Spec, parse

SPEC = "mlp:3-4-2:tanh?seed=5"


@pytest.fixture
def net():
    return parse(SPEC).init(jax.random.key(5))


@pytest.mark.parametrize("spec", [SPEC, *NAMES])
def test_round_trip(tmp_path, spec):
    net = parse(spec).init(jax.random.key(5))
    files.save(net, spec, tmp_path / "net.safetensors", notes={"seed": 5})
    again = files.read(tmp_path / "net.safetensors")
    assert jax.tree.structure(again) == jax.tree.structure(net)
    for a, b in zip(jax.tree.leaves(net), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    with safe_open(tmp_path / "net.safetensors", framework="numpy") as file:
        assert file.metadata()["flyroom_spec"] == spec
        assert json.loads(file.metadata()["flyroom_notes"]) == {"seed": 5}


def test_names_are_paths(tmp_path, net):
    files.save(net, SPEC, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="numpy") as file:
        assert set(file.keys()) == {f"layers.{i}.{part}" for i in (0, 1) for part in ("weight", "bias")}


@pytest.fixture
def small(monkeypatch):
    """A ResNet of two blocks in the place of the eighteen layers that its text stands for."""

    def init(key):
        return ResNet.of_blocks(key, (1, 1), bottleneck=False, width=4, classes=3, stem="cifar")

    monkeypatch.setattr(files, "parse", lambda text: Spec(text, init))
    net = init(jax.random.key(1))
    random = np.random.default_rng(0)
    running = jax.tree.map(lambda leaf: leaf + random.random(leaf.shape).astype(np.float32), net.begin())
    return AtInference(net, running)


def test_running_statistics_are_saved_and_read(tmp_path, small):
    path, x = tmp_path / "net.safetensors", np.random.default_rng(2).normal(size=(2, 3, 8, 8)).astype(np.float32)
    files.save(small, "resnet18:cifar", path)
    again = files.read(path)
    assert isinstance(again, AtInference) and jax.tree.structure(again) == jax.tree.structure(small)
    for a, b in zip(jax.tree.leaves(small), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    applied = eqx.filter_jit(lambda model, x: model(x))
    np.testing.assert_array_equal(applied(again, x), applied(small, x))
    with safe_open(path, framework="numpy") as file:
        assert {"net.stem.weight", "net.stages.1.0.shortcut.norm.gain", "running.norm.mean"} <= set(file.keys())
        assert "running.stages.1.0.norms.0.variance" in file.keys()  # noqa: SIM118 (it is not a mapping)


def test_weights_without_their_statistics_are_refused(tmp_path, small):
    path = tmp_path / "net.safetensors"
    with pytest.raises(
        ValueError, match=r"a ResNet computes with running statistics.*save norms.AtInference\(net, run"
    ):
        files.save(small.net, "resnet18:cifar", path)
    assert not path.exists()
    found = {name: np.asarray(leaf) for name, leaf in files.named(small).items()}
    save_file({k: v for k, v in found.items() if k != "running.norm.mean"}, path, {"flyroom_spec": "resnet18:cifar"})
    with pytest.raises(ValueError, match=r"running.norm.mean has the shape None and should have \(4,\)"):
        files.read(path)
    save_file(found | {"running.norm.variance": -np.ones(4, np.float32)}, path, {"flyroom_spec": "resnet18:cifar"})
    with pytest.raises(ValueError, match=r"running.norm.variance holds variances below 0; the file was damaged"):
        files.read(path)


def test_a_large_network_is_known_by_its_shapes():
    found = files.named(files.empty(parse("resnet152").init))
    assert found["net.last.weight"].shape == (1000, 2048) and found["running.norm.mean"].shape == (64,)
    assert sum(name.startswith("running.") for name in found) == 2 * 155


def named(net):
    return {f"layers.{i}.{k}": np.asarray(getattr(net.layers[i], k)) for i in (0, 1) for k in ("weight", "bias")}


def test_what_is_refused(tmp_path, net):
    path = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match=r"there is no file .*net.safetensors; a network is a .safetensors"):
        files.read(path)
    path.write_bytes(b"\x80\x04 a pickle, say")
    with pytest.raises(ValueError, match=r"net.safetensors is not a safetensors file \(.*; a .pt or .pth is a pickle"):
        files.read(path)
    save_file(named(net), path)
    with pytest.raises(ValueError, match="holds arrays but not which network they belong to; save it with flyroom"):
        files.read(path)
    save_file(named(net), path, {"flyroom_spec": "mlp:3-5-2"})
    with pytest.raises(ValueError, match=r"not hold the network 'mlp:3-5-2': layers.0.bias has .*\(4,\).*have \(5,\)"):
        files.read(path)
    save_file({k: v for k, v in named(net).items() if k != "layers.1.bias"}, path, {"flyroom_spec": SPEC})
    with pytest.raises(ValueError, match=r"layers.1.bias has the shape None and should have \(2,\)"):
        files.read(path)
    save_file(named(net) | {"more": np.zeros(3)}, path, {"flyroom_spec": SPEC})
    with pytest.raises(ValueError, match=r"more has the shape \(3,\) and should have None"):
        files.read(path)
    save_file(named(net) | {"layers.0.bias": np.array([0, np.nan, 0, 0], np.float32)}, path, {"flyroom_spec": SPEC})
    with pytest.raises(ValueError, match=r"layers.0.bias holds values that are not finite; the network diverged"):
        files.read(path)
    save_file(named(net), path, {"flyroom_spec": "mlp:3-4-2:tanhh"})
    with pytest.raises(ValueError, match="did you mean tanh"):
        files.read(path)


def test_a_file_never_chooses_what_is_imported(tmp_path, net, monkeypatch):
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    save_file(named(net), tmp_path / "net.safetensors", {"flyroom_spec": "python:trap:init"})
    with pytest.raises(ValueError, match="wants to import 'python:trap:init'; load it in Python"):
        files.read(tmp_path / "net.safetensors")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, net, monkeypatch):
    path = tmp_path / "net.safetensors"
    files.save(net, SPEC, path)
    before = path.read_bytes()

    def half(arrays, unfinished, metadata):
        unfinished.write_bytes(before[:20])
        raise OSError("no space left on device")

    monkeypatch.setattr(files, "save_file", half)
    with pytest.raises(OSError, match="no space left"):
        files.save(jax.tree.map(lambda leaf: leaf + 1, net), SPEC, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
