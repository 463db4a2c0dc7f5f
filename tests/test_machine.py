"""What is recorded of the machine, and what is not."""

import getpass
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import pytest

import flyroom
from flyroom import machine


def test_provenance_says_what_is_needed_to_do_it_again():
    made = machine.provenance("flyroom run --runs 20")
    assert made.version == flyroom.__version__
    assert made.command == "flyroom run --runs 20"
    assert made.packages["python"] == platform.python_version()
    for name in ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "scikit-learn"):
        assert made.packages[name] == version(name)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(made.started)).total_seconds()) < 60
    assert made.started.endswith("+00:00")
    assert msgspec.json.decode(msgspec.json.encode(made), type=type(made)) == made


def test_the_machine_is_described():
    described = machine.machine()
    assert described["system"] == platform.system()
    assert len(described["processor"]) > 2
    assert 1 <= described["cores"] <= 4096
    assert described["memory_bytes"] > 2**27


def test_nothing_says_who_or_where():
    made = machine.provenance(f"{Path('~').expanduser()}/venv/bin/flyroom run")
    assert made.command == "~/venv/bin/flyroom run"
    text = json.dumps([made.machine, made.packages, made.version, made.source])
    assert "/home" not in text and str(Path.cwd()) not in text and str(Path("~").expanduser()) not in text
    words = set(re.split(r"[^\w.-]+", text))
    assert socket.gethostname() not in words
    assert getpass.getuser() not in words


def test_the_processor_of_this_linux_is_read_from_proc(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    text = "processor\t: 0\nmodel name\t: Fast 1\nflags\t: a: b\n\nprocessor\t: 1\nmodel name\t: Fast 2\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert machine._processor() == "Fast 1"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "")
    assert machine._processor() == (platform.processor() or platform.machine())


def test_the_digest_follows_the_sources(tmp_path, monkeypatch):
    folder = tmp_path / "flyroom"
    shutil.copytree(Path(machine.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(machine, "__file__", str(folder / "machine.py"))

    def digest() -> str:
        return machine.source_digest.__wrapped__()

    first = digest()
    assert re.fullmatch("[0-9a-f]{64}", first) and digest() == first
    source = folder / "records.py"
    content = source.read_bytes()
    source.write_bytes(content.replace(b"\n", b"\r\n"))
    assert digest() == first, "line ends do not count"
    source.write_bytes(content + b"# more\n")
    assert digest() != first
    source.write_bytes(content)
    (folder / "notes.txt").write_text("not a source")
    assert digest() == first
    source.rename(folder / "verbs.py")
    assert digest() != first


@pytest.mark.parametrize(
    ("setting", "value"),
    [("JAX_ENABLE_X64", "1"), ("JAX_RANDOM_SEED_OFFSET", "5"), ("JAX_DEFAULT_MATMUL_PRECISION", "bfloat16")],
)
def test_other_numbers_than_the_usual_ones_are_refused(setting, value):
    words = [sys.executable, "-c", "from flyroom import machine; machine.require_usual_numbers()"]
    assert subprocess.run(words, check=False, capture_output=True).returncode == 0
    done = subprocess.run(words, check=False, capture_output=True, text=True, env={**os.environ, setting: value})
    assert done.returncode == 1 and f"unset {setting}" in done.stderr
