"""`flyroom net`: the table, the contract of --json, the page, and how it answers wrong words."""

import json

import jax
import pytest
from test_cli import call

from flyroom.nets import files
from flyroom.nets.spec import parse


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def opened(capsys, *words: str) -> dict:
    status, out, err = call(capsys, "net", *words, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_json_has_what_was_promised(capsys):
    found = opened(capsys, "mnist1d-cnn")
    assert (found["parameters"], found["multiply_adds"]) == (5210, 31_750)
    promised = {"name", "op", "output_shape", "parameters", "multiply_adds", "receptive_field", "activation_bytes"}
    assert all(promised <= set(layer) for layer in found["layers"])
    fields = [layer["receptive_field"] for layer in found["layers"] if layer["op"] == "conv"]
    assert fields == [[5], [9], [17]]


def test_a_resnet_needs_no_weights_and_no_input(capsys):
    found = opened(capsys, "resnet50")
    assert found["parameters"] == 25_557_032 and round(found["multiply_adds"] / 1e9, 3) == 4.089
    lecture = opened(capsys, "resnet50:v1", "--input", "3x224x224")
    assert round(lecture["multiply_adds"] / 1e9, 3) == 3.858
    assert opened(capsys, "resnet18:cifar")["layers"][0]["output_shape"] == [3, 32, 32]


def test_the_table_says_what_a_reader_asks(capsys):
    status, out, _ = call(capsys, "net", "mnist1d-cnn")
    assert status == 0
    assert "25 x 1 x 5 + 25" in out and "Parameters: 5,210" in out and "Multiply-adds: 31,750" in out
    assert "relu" not in out  # it has no parameters and sees no more
    assert "relu" in call(capsys, "net", "mnist1d-cnn", "--all")[1]


def test_what_is_seen_in_fact_is_measured(capsys):
    found = opened(capsys, "mnist1d-cnn?seed=1", "--effective")
    seen = {layer["name"]: layer["effective_field"] for layer in found["layers"] if "effective_field" in layer}
    for layer in found["layers"]:
        if layer["name"] in seen:
            assert 1 <= seen[layer["name"]][0] <= layer["receptive_field"][0]
    assert "seen in fact" in call(capsys, "net", "mnist1d-cnn", "--effective")[1]


def test_a_saved_network_is_opened(capsys, tmp_path):
    files.save(parse("mlp:40-7-10:tanh").init(jax.random.key(0)), "mlp:40-7-10:tanh", tmp_path / "one.safetensors")
    assert opened(capsys, "one.safetensors")["parameters"] == 40 * 7 + 7 + 70 + 10


def test_a_page_and_a_picture(capsys, tmp_path):
    status, _, err = call(capsys, "net", "mnist1d-cnn", "--page", "cnn.html", "--svg", "cnn.svg")
    assert status == 0 and err.splitlines() == ["written: cnn.html", "written: cnn.svg"]
    page = (tmp_path / "cnn.html").read_text("utf-8")
    assert "What one unit sees" in page and "25 x 1 x 5 + 25" in page and 'src="http' not in page
    assert "convolutions.2" in (tmp_path / "cnn.svg").read_text("utf-8")


def test_a_function_of_ones_own(capsys, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_net.py").write_text(
        "import jax.numpy as jnp\n\ndef make(key):\n    w = jnp.ones((6, 2))\n    return lambda x: jnp.tanh(x @ w)\n"
    )
    assert opened(capsys, "python:own_net:make", "--input", "6")["multiply_adds"] == 12
    status, _, err = call(capsys, "net", "python:own_net:make")
    assert status == 2 and "does not say what it takes; give --input, such as --input 3x224x224" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mnist1d-cmn"], "there is no network 'mnist1d-cmn'; did you mean mnist1d-cnn"),
        (["resnet50", "--input", "3x224"], "does not take a batch of examples of shape (3, 224)"),
        (["resnet50", "--input", "large"], "--input 'large' is no shape; write the lengths with x between them"),
        (["nothing.safetensors"], "there is no file nothing.safetensors"),
        (["mnist1d-cnn", "--svg", "cnn.gif"], "has no suffix that a figure is saved as"),
    ],
)
def test_wrong_words_are_answered(capsys, words, sentence):
    status, _, err = call(capsys, "net", *words)
    assert status == 2 and sentence in err
    assert "Traceback" not in err
