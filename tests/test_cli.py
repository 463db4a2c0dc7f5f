"""The command line: what it prints, with which exit status, and how it answers wrong words."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_claim

from flyroom import claims
from flyroom.cli import _terminal, main
from flyroom.cli._app import COMMANDS
from flyroom.cli._data import ARGUMENTS
from flyroom.data import CARDS, NAMES, load, maker
from flyroom.store import open_store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def toy(here, monkeypatch):
    """The toy in place of the claims."""
    monkeypatch.setattr(claims, "NAMES", ("toy",))
    monkeypatch.setattr(claims, "DEFAULT", "toy")
    real = claims.load
    monkeypatch.setattr(claims, "load", lambda name: toy_claim if name == "toy" else real(name))
    return here


def call(capsys, *words: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    try:
        status = main(words)
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


# Help


def test_help_imports_nothing_heavy():
    code = f"""
import sys
from flyroom.cli import _terminal, main
for words in [[], ["--help"], ["data"], ["--version"], *([*name.split(), "--help"] for name in {list(COMMANDS)!r})]:
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    assert not status, words
watched = {{"jax", "numpy", "torch", "altair", "sklearn", "scipy", "equinox", "vl_convert", "msgspec"}}
assert not watched & set(sys.modules), watched & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_list_of_commands_names_every_command(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    for name, function in COMMANDS.items():
        assert f"\n  {name} " in out
        assert inspect.getdoc(function)
    assert max(map(len, out.splitlines())) <= 100
    assert call(capsys) == (0, out, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_sentence(name, capsys):
    status, out, _ = call(capsys, *name.split(), "--help")
    assert status == 0
    lines = out.partition(" options ")[2].replace("│", " ").splitlines()
    names = [one for one, p in inspect.signature(COMMANDS[name]).parameters.items() if p.kind == p.KEYWORD_ONLY]
    for option in names:
        (place,) = [i for i, line in enumerate(lines) if line.split()[:1] == [f"--{option.replace('_', '-')}"]]
        said = " ".join(lines[place : place + 2]).partition("  ")[2].split("--")[1].split("(default")[0]
        assert len(re.findall(r"\b[a-z]+", said)) >= 3, option  # its name and some words
    assert "None" not in out


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_of_a_generator_is_an_option_with_help(name, capsys):
    status, out, _ = call(capsys, "data", "make", name, "--help")
    assert status == 0
    for argument in inspect.signature(maker(name)).parameters:
        assert f"--{argument.replace('_', '-')}" in out
        assert ARGUMENTS[argument].split()[0] in out


# Wrong words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("rum", "there is no command 'rum'; did you mean run"),
        ("xyzzy", "there is no command 'xyzzy'; there are run, claims"),
        ("data lst", "there is no command 'data lst'; did you mean data list"),
        ("data xyzzy", "there is no command 'data xyzzy'; there are data list, data show, data make"),
        ("run spatial-prio", "there is no claim 'spatial-prio'; did you mean spatial-prior?"),
        ("run --rns 3", "--runs INT"),
        ("run --runs many", "'many' is not a whole number"),
        ("run --runs 0", "runs 0, .* must be at least 1"),
        ("run --runs 1.5", "'1.5' is not a whole number"),
        ("run --net mnist1d-cn", "there is no network 'mnist1d-cn'; did you mean mnist1d-cnn"),
        ("run --net mlp:40-9", "mlp:40-9 has 9 outputs, but mnist1d has 10 classes"),
        ("run --net python:nowhere:make", "No module named 'nowhere'; python:MODULE:NAME needs"),
        ("train", "NET"),
        ("train mlp:40-x", "not numbers with dashes"),
        ("train mnist1d-mlp --lr nan", "the learning rate is nan"),
        ("train mnist1d-mlp --lr fast", "--lr"),
        ("train mnist1d-mlp --steps 0", "steps is 0"),
        ("train mnist1d-mlp --optimiser adm", "adam"),
        ("train mnist1d-mlp --data mnist", r"no dataset is called 'mnist' \(did you mean mnist1d"),
        ("train mnist1d-mlp --data moons", "does not take the 2 inputs of moons"),
        ("train mnist1d-mlp --data nowhere.npz", "there is no file nowhere.npz"),
        ("data show mnist", r"no dataset is called 'mnist' \(did you mean mnist1d"),
        ("data make mnist --out x.npz", r"no dataset is called 'mnist' \(did you mean mnist1d"),
        ("data make mnist1d", "--out PATH"),
        ("data make --out x.npz", "NAME"),
        ("data make mnist1d --out x.npz --samples 15", "not a multiple of the 10 classes.*use 10 or 20"),
        ("data make mnist1d --out x.npz --stream index", r"no stream 'index' \(did you mean indexed"),
        ("data make mnist1d --out x.npz --paddin 1 2", "--padding INT INT"),
        ("data make mnist1d --out x.npz --padding 60 36", "is reversed"),
        ("data make mnist1d --out x.npz --scale-coeff nan", "scale_coeff=nan is not finite"),
        ("data make moons --out x.npz --samples 10", "--samples"),
        ("data make moons --out x.npz --dtype float16", "float32"),
        ("data make moons --out x.csv", "x.csv ends in '.csv'; use .npz or .parquet"),
        ("data make moons --out nowhere/x.npz", "there is no directory nowhere; make it first"),
        ("export", "name a file with --csv, --parquet or --json"),
        ("export --csv x.csv", "there is no store in flyroom-store"),
        ("report", "there is no store in flyroom-store"),
    ],
)
def test_wrong_words_are_answered_with_what_is_allowed(words, sentence, capsys, here):
    status, out, err = call(capsys, *words.split())
    assert status == 2
    assert out == ""
    assert re.search(sentence, err), err
    assert "Traceback" not in err
    assert [path.name for path in here.iterdir()] == []  # nothing is left behind


# Data


def test_data_list(capsys):
    status, out, _ = call(capsys, "data", "list", "--json")
    assert status == 0
    for card, listed in zip(CARDS, json.loads(out), strict=True):
        assert listed == card
        assert {"id", "name", "modality", "tasks", "tier", "licence", "offline"} <= set(listed)
    assert all(f"{name} " in call(capsys, "data", "list")[1] for name in ("digits", "blobs"))


@pytest.mark.parametrize("name", NAMES)
def test_data_show(name, capsys):
    status, out, _ = call(capsys, "data", "show", name, "--json")
    shown = json.loads(out)
    assert status == 0 and shown["id"] == name
    defaults = {one: p.default for one, p in inspect.signature(maker(name)).parameters.items()}
    found = {one["name"]: one["default"] for one in shown["arguments"]}
    assert json.loads(json.dumps(defaults)) == found
    status, text, _ = call(capsys, "data", "show", name)
    assert shown["licence"] in text and "--seed" in text


def test_data_make_takes_the_arguments_of_the_generator(capsys, here):
    words = "data make mnist1d --samples 1000 --padding 30 50 --shuffle-seq --seed 7 --out x.npz --json"
    status, out, _ = call(capsys, *words.split())
    made = json.loads(out)
    assert status == 0 and made["train"] == [800, 40]
    ours = load("mnist1d", num_samples=1000, padding=(30, 50), shuffle_seq=True, seed=7)
    assert made["recipe"] == ours.recipe
    back = load(here / "x.npz")
    assert (back.x_train == ours.x_train).all() and back.x_train.dtype == "float64"


def test_data_make_in_another_order_of_words_and_the_other_stream(capsys, here):
    words = "data make --out=x.npz --stream=indexed --dtype float32 --num-samples 50 mnist1d"
    assert call(capsys, *words.split())[0] == 0
    assert load("x.npz").recipe["stream"] == "indexed"
    assert load("x.npz").x_train.dtype == "float32" and load("x.npz").x_train.shape == (40, 40)


def test_data_make_keeps_what_is_there(capsys, here):
    words = ["data", "make", "moons", "--n", "50", "--out", "x.npz"]
    assert call(capsys, *words)[0] == 0
    before = (here / "x.npz").read_bytes()
    status, _, err = call(capsys, *words, "--seed", "1")
    assert status == 2 and "x.npz is there already; choose another name, or add --overwrite" in err
    assert (here / "x.npz").read_bytes() == before
    assert call(capsys, *words, "--seed", "1", "--overwrite")[0] == 0
    assert (here / "x.npz").read_bytes() != before
    (here / "d.npz").mkdir()
    status, _, err = call(capsys, *["data", "make", "moons", "--out", "d.npz"])
    assert status == 2 and "is a directory; give the name of a file" in err


# Claims


def test_run_json_has_what_is_promised(capsys, toy):
    status, out, _ = call(capsys, "run", "--json")
    found = json.loads(out)
    assert status == 0 and set(found) == {"claims", "store"} and found["store"] == "flyroom-store"
    (one,) = found["claims"]
    assert {"id", "version", "verdict", "sentence", "statements", "runs", "wall_s", "cpu_s"} <= set(one)
    assert one["id"] == "toy" and one["verdict"] == "undecided" and one["runs"] == 12
    (statement,) = one["statements"]
    assert {"id", "verdict", "value", "interval", "published", "evidence", "n"} <= set(statement)
    assert statement["interval"] == [0.0, 1.0] and statement["evidence"] == "estimate"


def test_run_prints_the_table_and_writes_a_page(capsys, toy):
    status, out, err = call(capsys, "run", "toy", "--runs", "1")
    assert status == 0
    assert "toy: undecided. It is open." in out
    assert "A toy [of any colour] has a worth" in out  # not taken for a colour
    assert "toy: 6 of 6" in err
    page = toy / "flyroom-store" / "pages" / "toy.html"
    assert "page: flyroom-store/pages/toy.html" in out and page.read_text().startswith("<!doctype html>")
    status, _, err = call(capsys, "run", "--runs", "2")
    assert "6 of 12 runs are stored; 6 to run" in err


def test_quick_gives_way_to_what_was_said(capsys, toy):
    assert json.loads(call(capsys, "run", "--quick", "--json")[1])["claims"][0]["runs"] == 6
    assert json.loads(call(capsys, "run", "--quick", "--runs", "3", "--json")[1])["claims"][0]["runs"] == 18


def test_a_setting_that_a_claim_has_not(capsys, toy):
    status, _, err = call(capsys, "run", "--net", "mlp:40-10")
    assert status == 2 and "toy has no setting net; there are runs, unjudged" in err
    status, _, err = call(capsys, "run", "--set", "run=3")
    assert status == 2 and "toy has no setting run; did you mean runs?" in err
    status, _, err = call(capsys, "run", "--set", "runs=many")
    assert status == 2 and "toy: runs=many is not of the kind int" in err
    for word in ("runs", "=3", "runs="):
        status, _, err = call(capsys, "run", "--set", word)
        assert status == 2 and f"--set {word!r} is not of the form NAME=VALUE" in err


def test_a_setting_that_none_of_several_claims_has(capsys, here):
    status, _, err = call(capsys, "run", "all", "--set", "stepz=5")
    assert status == 2 and "none of these claims has a setting stepz; did you mean steps?" in err
    assert list(here.iterdir()) == []


def test_settings_are_set_by_name(capsys, toy):
    status, out, _ = call(capsys, "run", "--set", "runs=3", "--json")
    assert status == 0 and json.loads(out)["claims"][0]["runs"] == 18
    status, _, err = call(capsys, "run", "--set", "runs=1", "--set", "unjudged=true")
    assert status == 1 and "ZeroDivisionError" in err, err


def test_faithful_is_the_claims_own_word(capsys, toy, monkeypatch):
    assert json.loads(call(capsys, "run", "--faithful", "--json")[1])["claims"][0]["runs"] == 12  # nothing is shortened
    monkeypatch.setattr(toy_claim, "faithful", lambda settings: {"runs": 4}, raising=False)
    monkeypatch.setattr(toy_claim, "cost", lambda run: 1000.0)
    status, _, err = call(capsys, "run", "--faithful")
    assert status == 0 and "toy: about 3 h 20 min of one core; Ctrl-C stops" in err  # 12 more runs of 1000 s
    status, _, err = call(capsys, "run", "--faithful", "--quick")
    assert status == 2 and "--quick and --faithful ask for opposite things" in err


def test_a_claim_of_ones_own(capsys, here):
    status, out, _ = call(capsys, "new-claim", "my-claim")
    assert status == 0 and "flyroom run my_claim.py" in out
    status, out, _ = call(capsys, "run", "my_claim.py", "--quick", "--set", "steps=20", "--json")
    (one,) = json.loads(out)["claims"]
    assert status == 0 and one["id"] == "my-claim" and one["verdict"] == "undecided" and one["runs"] == 4
    assert (here / "flyroom-store" / "pages" / "my-claim.html").exists()
    status, _, err = call(capsys, "new-claim", "my-claim")
    assert status == 2 and "my_claim.py is there already" in err
    for name, sentence in (
        ("spatial-prior", "one of Flyroom's own claims"),
        ("index", "or pages"),
        ("My claim", "no name for a claim"),
    ):
        status, _, err = call(capsys, "new-claim", name)
        assert status == 2 and sentence in err


def test_types_of_settings_may_be_written_as_text(capsys, here):
    assert call(capsys, "new-claim", "late")[0] == 0
    text = (
        (here / "late.py")
        .read_text()
        .replace("from collections.abc", "from __future__ import annotations\n\nfrom collections.abc", 1)
    )
    (here / "late.py").write_text(text)
    status, out, err = call(capsys, "run", "late.py", "--quick", "--runs", "1", "--set", "steps=20", "--json")
    assert status == 0 and json.loads(out)["claims"][0]["runs"] == 2, err


def test_two_claims_of_one_id_are_refused(capsys, here):
    assert call(capsys, "new-claim", "one")[0] == 0
    (here / "two.py").write_text((here / "one.py").read_text())
    status, _, err = call(capsys, "run", "one.py", "two.py")
    assert status == 2 and "two of these claims have the id 'one'" in err


def test_numbers_of_numpy_are_printed_as_numbers(capsys):
    _terminal.print_json({"a": np.float64(0.5), "b": np.int64(3), "c": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"a": 0.5, "b": 3, "c": None}
    with pytest.raises(TypeError, match="Path is not a plain value"):
        _terminal.print_json(Path())


def test_a_text_in_brackets_is_not_taken_for_a_colour(capsys, toy, monkeypatch):
    import dataclasses

    monkeypatch.setattr(toy_claim, "ABOUT", dataclasses.replace(toy_claim.ABOUT, title="What [deep] nets do"))
    judge = toy_claim.judge

    def bracketed(results, settings):
        found = judge(results, settings)
        return dataclasses.replace(found, table=(("net", "acc [/x]"), *found.table[1:]))

    monkeypatch.setattr(toy_claim, "judge", bracketed)
    status, out, _ = call(capsys, "run", "--runs", "1")
    assert status == 0 and "What [deep] nets do" in " ".join(out.split()) and "acc [/x]" in out


def test_a_stop_says_so(capsys, toy, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("flyroom.store.open_store", stop)
    status, _, err = call(capsys, "report")
    assert status == 130 and err.strip() == "stopped"


def test_files_that_are_no_claims(capsys, here):
    status, _, err = call(capsys, "run", "absent.py")
    assert status == 2 and "there is no file absent.py; flyroom new-claim absent writes one" in err
    (here / "half.py").write_text("ABOUT = None\ndef cells(settings): ...\n")
    status, _, err = call(capsys, "run", "half.py")
    assert status == 2 and "half.py has no Settings, no run, no judge" in err
    (here / "broken.py").write_text("ABOUT = \n")
    status, _, err = call(capsys, "run", "broken.py")
    assert status == 2 and "broken.py" in err
    assert call(capsys, "new-claim", "taken")[0] == 0
    text = (here / "taken.py").read_text().replace('id="taken"', 'id="spatial-prior"')
    (here / "taken.py").write_text(text)
    status, _, err = call(capsys, "run", "taken.py")
    assert status == 2 and "says that its id is 'spatial-prior', which is one of Flyroom's own" in err


def test_a_claim_that_cannot_be_judged_is_status_1(capsys, toy, monkeypatch):
    monkeypatch.setattr(toy_claim, "broken", {"c"})
    status, out, err = call(capsys, "run", "--runs", "1", "--json")
    assert status == 1 and json.loads(out)["claims"] == []
    assert "c: FloatingPointError: c broke" in err
    assert "1 of 6 cells failed, so it is not judged" in err
    monkeypatch.setattr(toy_claim, "broken", set())
    status, _, err = call(capsys, "run", "--runs", "1")
    assert status == 0 and "5 of 6 runs are stored; 1 to run" in err


def test_claims(capsys, here):
    found = json.loads(call(capsys, "claims", "--json")[1])
    assert [one["id"] for one in found] == list(claims.NAMES)
    for one in found:
        assert set(one) >= {"id", "sentence", "source", "cost_s", "verdict"} and one["verdict"] is None
    assert "not run yet" in call(capsys, "claims")[1]
    assert list(here.iterdir()) == []  # looking makes no store


def test_claims_tells_the_last_verdict(capsys, toy):
    assert call(capsys, "run", "--runs", "1")[0] == 0
    assert json.loads(call(capsys, "claims", "--json")[1])[0]["verdict"] == "undecided"


def test_report(capsys, toy):
    assert call(capsys, "run", "--runs", "1")[0] == 0
    status, out, _ = call(capsys, "report", "--out", "site")
    assert status == 0 and out.split() == ["site/toy.html", "site/index.html"]
    assert 'href="toy.html"' in (toy / "site" / "index.html").read_text()
    status, _, err = call(capsys, "report", "other", "--out", "elsewhere")
    assert status == 2 and "holds no verdict on other; flyroom run makes one" in err
    assert not (toy / "elsewhere").exists()


def test_export(capsys, toy):
    assert call(capsys, "run", "--runs", "1")[0] == 0
    status, out, _ = call(capsys, "export", "--csv", "x.csv", "--json", "x.json")
    assert status == 0 and out.splitlines() == ["x.csv: 6 runs", "x.json: 6 runs"]
    assert (toy / "x.csv").read_text().splitlines()[0].startswith("key,claim,version,seed,settings.net")
    assert [row["values.worth"] for row in json.loads((toy / "x.json").read_text())] == [0, 10, 20, 30, 40, 50]
    status, _, err = call(capsys, "export", "--csv", "nowhere/x.csv")
    assert status == 2 and "there is no directory nowhere; make it first" in err


def test_export_parquet(capsys, toy):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (flyroom[lab])")
    assert call(capsys, "run", "--runs", "1")[0] == 0
    assert call(capsys, "export", "--parquet", "x.parquet")[:2] == (0, "x.parquet: 6 runs\n")
    assert parquet.read_table(toy / "x.parquet").num_rows == 6


# The installation


def test_doctor_on_a_fresh_a_used_and_a_corrupt_store(capsys, toy):
    status, out, _ = call(capsys, "doctor", "--json")
    found = json.loads(out)
    assert status == 0 and not found["store"]["exists"]
    assert {"version", "source", "packages", "machine", "devices", "store"} <= set(found)
    assert list(toy.iterdir()) == []

    assert call(capsys, "run", "--runs", "1")[0] == 0
    status, out, _ = call(capsys, "doctor", "--json")
    state = json.loads(out)["store"]
    assert status == 0 and state["ok"] and state["results"] == {"toy": 6} and state["accounts"] == 1
    assert "integrity: ok" in call(capsys, "doctor")[1]

    file = toy / "flyroom-store" / "flyroom.sqlite"
    for log in file.parent.glob("flyroom.sqlite-*"):
        log.unlink()
    file.write_bytes(b"not a database at all" * 500)
    status, out, _ = call(capsys, "doctor", "--json")
    assert status == 1 and not json.loads(out)["store"]["ok"]
    status, _, err = call(capsys, "run", "--runs", "1")
    assert status == 2 and "flyroom.sqlite" in err and "--set-aside" in err
    assert call(capsys, "run", "--runs", "1", "--set-aside")[0] == 0
    with open_store(toy / "flyroom-store") as store:
        assert store.counts() == {"toy": 6}
    assert list(file.parent.glob("flyroom.sqlite.set-aside-*"))


# Training


def test_train(capsys, here):
    words = "train mlp:2-4-2 --data moons --steps 10 --every 5 --batch 50 --runs 2 --out n --json"
    status, out, _ = call(capsys, *words.split())
    found = json.loads(out)
    assert status == 0 and [Path(one["file"]).exists() for one in found["networks"]] == [True, True]
    status, out, err = call(capsys, *words.split()[:-1])
    assert status == 0 and "n/mlp-2-4-2-seed1.safetensors  test " in out and "curves: n/curves.svg" in out
    assert "mlp:2-4-2: 2 of 2" in err


def test_train_does_not_write_over_a_file_in_the_way(capsys, here):
    (here / "n").write_text("mine")
    status, _, err = call(capsys, *["train", "mlp:2-2", "--data", "moons", "--out", "n"])
    assert status == 2 and "n is a file; the networks need a directory" in err


def test_a_network_of_the_working_directory_is_found(capsys, here, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (here / "net_in_cwd.py").write_text(
        "from flyroom.nets.spec import parse\n\ndef make(key):\n    return parse('mlp:2-2').init(key)\n"
    )
    words = "train python:net_in_cwd:make --data moons --steps 4 --every 2 --batch 50 --out n"
    assert call(capsys, *words.split())[0] == 0
