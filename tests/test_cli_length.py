"""`flyroom length`: the contract of --json, the tables, LaTeX, page and pictures, and how it answers wrong words."""

import json

import jax
import numpy as np
import pytest
from test_cli import call

from flyroom.measure import paths, trajectory
from flyroom.nets import files
from flyroom.nets.reader import Unread
from flyroom.nets.spec import parse

NET, PATH = "mlp:6-9-8-3:relu?seed=2", "circle:seed=1,radius=2"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", np.random.default_rng(0).standard_normal((3, 6)))
    np.save("wide.npy", np.zeros((3, 7)))
    np.save("still.npy", np.ones((3, 6)))
    np.save("nan.npy", np.full((3, 6), np.nan))


def measured(capsys, *words: str) -> dict:
    status, out, err = call(capsys, "length", *words, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def chords(net: str, path: str, count: int) -> float:
    """The sum of chords of the output, in float64: from below, and as near as the square of their number."""
    spec = parse(net)
    assert spec.shape is not None
    drawn = spec.init(jax.random.key(spec.seed or 0))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(np.float64) if hasattr(leaf, "astype") else leaf, drawn)
        x = jax.numpy.asarray(paths.points(paths.parse(path, spec.shape), np.linspace(0, 1, count)))
        y = np.asarray(wide(x))
    return float(np.linalg.norm(np.diff(y, axis=0), axis=1).sum())


def test_json_has_what_was_promised(capsys):
    found = measured(capsys, NET, "--path", PATH)
    assert {"net", "path", "input_length", "layers", "ladder", "cpu_s"} <= set(found)
    assert (found["net"], found["path"], found["reached"]) == (NET, PATH, True)
    assert [layer["name"] for layer in found["layers"]] == ["layers.0", "relu_1", "layers.1", "relu_2", "layers.2"]
    assert all({"name", "length", "evidence", "pieces"} <= set(layer) for layer in found["layers"])
    assert all({"name", "side", "value", "evidence", "condition"} <= set(rung) for rung in found["ladder"])
    assert {layer["evidence"] for layer in found["layers"]} == {"certified"}
    low, high = found["input_length"]
    assert low <= 4 * np.pi <= high and high - low < 1e-9


@pytest.mark.parametrize(("net", "missing"), [(NET, 3e-4), (NET.replace("relu", "tanh"), 1e-7)])
def test_the_length_is_that_of_the_chords_and_inside_the_ladder(capsys, net, missing):
    found = measured(capsys, net, "--path", PATH, "--rel-tol", "1e-6")
    low, high = found["layers"][-1]["length"]
    fine = chords(net, PATH, 20_001)  # a chord over a kink is too short by a part of itself
    assert high >= fine and low <= fine * (1 + missing) and high - low <= 1e-6 * high
    sides = [rung["side"] for rung in found["ladder"]]
    assert sides == sorted(sides, reverse=True) and set(sides) == {"upper", "lower"}
    upper = [rung["value"][1] for rung in found["ladder"] if rung["side"] == "upper"]
    lower = [rung["value"][0] for rung in found["ladder"] if rung["side"] == "lower"]
    assert upper == sorted(upper, reverse=True) and lower == sorted(lower, reverse=True)
    assert upper[-1] >= low and lower[0] <= high
    first = found["ladder"][0]
    assert first["factor"] == pytest.approx(upper[0] / fine, rel=1e-4)


def test_a_line_through_an_affine_map_is_as_long_as_that_says(capsys):
    found = measured(capsys, "mlp:6-4:relu", "--path", "points.npy", "--no-ladder")
    x = np.load("points.npy")
    weight = np.asarray(jax.tree.leaves(parse("mlp:6-4:relu").init(jax.random.key(0)))[0], np.float64)
    weight = weight if weight.shape[0] == 4 else weight.T
    exact = sum(np.linalg.norm(weight @ step) for step in np.diff(x, axis=0))
    low, high = found["layers"][-1]["length"]
    assert low * (1 - 1e-12) <= exact <= high * (1 + 1e-12) and found["ladder"] == []


def test_the_tables_are_as_wide_as_the_paper(capsys):
    status, out, _ = call(capsys, "length", NET, "--path", PATH)
    assert status == 0 and max(map(len, out.splitlines())) <= 120
    assert "\u2264 slope constants" in out and "= the length" in out and "Certified: every interval" in out
    assert out.index("\u2264 slope constants") < out.index("= the length") < out.index("\u2265 integral")
    assert "Not as sharp" not in out
    tables = out.partition("\n 1  ")[0]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 80


def test_what_was_not_reached_is_said(capsys):
    words = ("mlp:6-9-8-3:tanh", "--path", PATH, "--rel-tol", "1e-9", "--seconds", "1e-6", "--no-ladder")
    status, out, _ = call(capsys, "length", *words)
    assert status == 0 and "Not as sharp as asked" in out and "hold all the same" in " ".join(out.split())
    assert measured(capsys, *words)["reached"] is False


def test_layers_are_chosen(capsys):
    last = measured(capsys, NET, "--path", PATH, "--layers", "last", "--no-ladder")
    assert [layer["name"] for layer in last["layers"]] == ["layers.2"]
    two = measured(capsys, NET, "--path", PATH, "--layers", "relu_1, layers.0", "--no-ladder")
    assert [layer["name"] for layer in two["layers"]] == ["layers.0", "relu_1"]


def test_saved_networks_and_functions_of_ones_own(capsys, tmp_path, monkeypatch):
    spec = "mlp:6-5-2:tanh"
    files.save(parse(spec).init(jax.random.key(0)), spec, tmp_path / "one.safetensors")
    words = ("--path", "points.npy", "--no-ladder")
    assert measured(capsys, "one.safetensors", *words)["layers"] == measured(capsys, spec, *words)["layers"]
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_length.py").write_text(
        "import jax.numpy as jnp\n\ndef make(key):\n    return lambda x: 3.0 * x[:, :2]\n"
    )
    found = measured(capsys, "python:own_length:make", "--input", "6", *words)
    exact = 3 * np.linalg.norm(np.diff(np.load("points.npy")[:, :2], axis=0), axis=1).sum()
    low, high = found["layers"][-1]["length"]
    assert low * (1 - 1e-12) <= exact <= high * (1 + 1e-12)


def test_lengths_remain_where_there_are_no_bounds(capsys, monkeypatch):
    def refused(*_, **__):
        raise Unread("softmax_1: its Jacobian is not followed")

    monkeypatch.setattr(trajectory, "bounds", refused)
    found = measured(capsys, NET, "--path", PATH)
    assert found["ladder"] == [] and found["left_out"] == ["softmax_1: its Jacobian is not followed"]
    assert "No bounds: softmax_1" in call(capsys, "length", NET, "--path", PATH)[1]
    status, _, err = call(capsys, "length", NET, "--path", PATH, "--latex")
    assert status == 2 and "there are no bounds to print: softmax_1" in err


def test_latex_and_nothing_else(capsys):
    status, out, err = call(capsys, "length", NET, "--path", PATH, "--latex")
    assert (status, err) == (0, "") and out.startswith("% Needs") and out.count(r"\item") == out.count(r"\emph{Proof.}")
    assert out.count(r"\begin{") == out.count(r"\end{") and r"relu\_1" in out and "Certified" not in out


def test_pictures_alone(capsys, tmp_path):
    status, _, err = call(capsys, "length", "mlp:6-5-2:relu", "--path", PATH, "--svg", "path.svg")
    assert status == 0 and err.splitlines() == ["written: path.svg"]
    picture = (tmp_path / "path.svg").read_text("utf-8")
    assert "\u2264 slope constants" in picture and "100.0% of the variance, radius" in picture


@pytest.mark.slow
def test_a_page(capsys, tmp_path):
    status, _, err = call(capsys, "length", "mlp:6-5-2:relu", "--path", PATH, "--page", "path.html")
    assert status == 0 and err.splitlines() == ["written: path.html"]
    page = (tmp_path / "path.html").read_text("utf-8")
    for part in ("A walk along the path", "The bounds around the length", "Lengths, layer by layer", "Open the LaTeX"):
        assert part in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["mlp:6-x", "--path", PATH], "not numbers with dashes"),
        ([NET, "--path", "helix:seed=0"], "no path is called 'helix:seed=0'"),
        ([NET, "--path", "wide.npy"], "wide.npy has shape (3, 7); the network takes examples of shape (6,)"),
        ([NET, "--path", "still.npy"], "has length zero"),
        ([NET, "--path", "nan.npy"], "not finite"),
        ([NET, "--path", "nothing.npy"], "there is no file nothing.npy"),
        ([NET, "--path", "line:radius=-1"], "radius is '-1'; give a positive number"),
        ([NET, "--path", PATH, "--rel-tol", "2"], "rel_tol 2.0"),
        ([NET, "--path", PATH, "--layers", "layer"], "there is no layer 'layer'; there are input, layers.0"),
        ([NET, "--path", PATH, "--seconds", "0"], "--seconds 0: give a positive number"),
        ([NET, "--path", PATH, "--seconds", "nan"], "--seconds nan: give a positive number"),
        ([NET, "--path", PATH, "--latex", "--json"], "give one of them"),
        ([NET, "--path", PATH, "--latex", "--no-ladder"], "give one of them"),
        ([NET, "--path", PATH, "--page", "path.pdf"], "a page is a file that ends in .html"),
        ([NET, "--path", PATH, "--svg", "path.gif"], "has no suffix that a figure is saved as"),
        ([NET, "--path", PATH, "--svg", "nowhere/path.svg"], "nowhere does not exist"),
        (["mnist1d-gru", "--path", "line:seed=0"], "there is no enclosure of the operation 'gru'"),
        (["python:own:make", "--path", PATH], "No module named 'own'"),
    ],
)
def test_wrong_words_are_answered(capsys, words, sentence):
    status, out, err = call(capsys, "length", *words)
    assert (status, out) == (2, "") and sentence in err
    assert "Traceback" not in err and err.count("\n") == 1
