"""The bootstrap: what it decides, what it refuses, what it hands on. No network, no installation."""

import ast
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType

import pytest

LAB = Path(__file__).resolve().parents[1] / "lab.py"


def load(path: Path) -> ModuleType:
    """lab.py as a module that believes it lives at `path`."""
    spec = importlib.util.spec_from_file_location("lab_under_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with lab.py, a project file, and something in .venv that looks like an environment."""
    root = tmp_path / "a checkout"  # with a space, as people have
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "lab.py").write_bytes(LAB.read_bytes())
    (root / "pyproject.toml").write_text("[project]\n")
    release = ".".join(map(str, sys.version_info[:3]))
    (root / ".venv" / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {release}\n")
    (root / ".venv" / "lib" / "python3.11" / "site-packages" / "pip").mkdir(parents=True)
    return root


@pytest.fixture
def lab(checkout: Path) -> ModuleType:
    module = load(checkout / "lab.py")
    module.PYTHON.parent.mkdir(exist_ok=True)
    module.PYTHON.write_text("")
    return module


def stamp(lab: ModuleType, extras: str, **changed: str) -> None:
    text = lab.fingerprint(lab.ROOT)
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    (lab.VENV / lab.STAMP).write_text(text + "\n" + extras)


def plan(lab: ModuleType, *extras: str) -> str:
    return lab.plan(lab.VENV, lab.fingerprint(lab.ROOT), set(extras))


def test_parses_on_old_pythons():
    """So that Python 3.6 prints the sentence. The grammar of 3.7 would let more through."""
    ast.parse(LAB.read_text(encoding="utf-8"), feature_version=(3, 6))
    with pytest.raises(SyntaxError):  # the check can fail
        ast.parse("if (found := 1): pass", feature_version=(3, 6))


def test_old_pythons_are_refused_in_a_sentence():
    fake = "import sys; sys.version_info = (3, 9, 18, 'final', 0); import runpy; runpy.run_path(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", fake, str(LAB)], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "needs Python 3.11 or newer, and this is Python 3.9" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_needs_the_standard_library_only():
    imported = set()
    for node in ast.walk(ast.parse(LAB.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported and imported <= sys.stdlib_module_names


def test_a_complete_installation_is_ready(lab: ModuleType):
    stamp(lab, "lab test")
    assert plan(lab, "lab") == "ready"
    assert plan(lab, "lab", "test") == "ready"


def test_missing_extras_and_a_changed_project_are_installed(lab: ModuleType):
    stamp(lab, "lab")
    assert plan(lab, "lab", "test") == "install"
    stamp(lab, "lab test")
    (lab.ROOT / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    assert plan(lab, "lab") == "install"


def test_another_python_or_another_place_is_rebuilt(lab: ModuleType):
    release = f"-{sys.version_info[0]}.{sys.version_info[1]}"
    stamp(lab, "lab", **{release: "-3.99"})
    assert plan(lab, "lab") == "rebuild"
    stamp(lab, "lab", **{"a checkout": "an older place"})
    assert plan(lab, "lab") == "rebuild"
    stamp(lab, "lab")
    lab.PYTHON.unlink()  # the Python that it was made from was removed
    assert plan(lab, "lab") == "rebuild"


def test_without_a_stamp_a_sound_environment_is_kept(lab: ModuleType):
    assert plan(lab, "lab") == "install"
    (lab.VENV / lab.STAMP).write_bytes(b"\xff\xfe\x00garbage")
    assert plan(lab, "lab") == "install"


@pytest.mark.parametrize("version", ["3.99.1", "", "nonsense"])
def test_without_a_stamp_a_foreign_environment_is_rebuilt(lab: ModuleType, version: str):
    (lab.VENV / "pyvenv.cfg").write_text(f"version = {version}\n")
    assert plan(lab, "lab") == "rebuild"
    (lab.VENV / "pyvenv.cfg").unlink()
    assert plan(lab, "lab") == "rebuild"


@pytest.mark.parametrize("left", ["numpy-2.0.dist-info", "~umpy"])
def test_an_installation_that_was_killed_is_rebuilt(lab: ModuleType, left: str):
    (site,) = lab.sites(lab.VENV)
    (site / "scipy-1.0.dist-info").mkdir()
    (site / "scipy-1.0.dist-info" / "RECORD").write_text("")
    assert plan(lab, "lab") == "install"
    (site / left).mkdir()
    assert plan(lab, "lab") == "rebuild"


def test_pip_keeps_its_settings_and_stays_in_the_environment():
    lab = load(LAB)
    given = {
        "PIP_INDEX_URL": "https://a.b",
        "PIP_TARGET": "/usr",
        "PIP_USER": "1",
        "HOME": "",
        "PATH": "/bin",
    }
    passed = lab.environment(given)
    assert passed["PIP_INDEX_URL"] == "https://a.b" and passed["PATH"] == "/bin"
    assert passed["PIP_USER"] == "0" and "PIP_TARGET" not in passed and "HOME" not in passed
    assert given["PIP_USER"] == "1"  # the program that is started afterwards sees the caller's environment
    assert lab.environment({"HOME": "/home/someone"})["HOME"] == "/home/someone"


def fake_python(lab: ModuleType, body: str) -> None:
    """An environment whose Python is a shell script: it shows what lab.py starts, and how."""
    lab.PYTHON.write_text("#!/bin/sh\n" + textwrap.dedent(body))
    lab.PYTHON.chmod(0o755)


def start(lab: ModuleType, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(lab.ROOT / "lab.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd or lab.ROOT.parent)


posix = pytest.mark.skipif(os.name == "nt", reason="uses a shell script for a Python")


@posix
@pytest.mark.parametrize(
    ("words", "started"),
    [
        (["run", "--quick"], "-P -m flyroom run --quick"),
        (["claims"], "-P -m flyroom claims"),
        (["data", "test"], "-P -m flyroom data test"),
        (["test", "-k", "a b"], "-P -m pytest -n auto --maxprocesses=4 --dist=loadfile -k a b"),
    ],
)
def test_words_reach_their_program(lab: ModuleType, words: list[str], started: str):
    stamp(lab, "lab test")
    fake_python(lab, 'echo "$@"; pwd; exit 7')
    ended = start(lab, *words)
    folder = lab.ROOT if words[0] == "test" else lab.ROOT.parent
    assert ended.stdout.splitlines() == [started, str(folder)]
    assert ended.stderr == ""  # a second start says nothing of its own
    assert ended.returncode == 7


@posix
def test_an_installation_is_stamped_only_when_it_went_well(lab: ModuleType):
    fake_python(lab, 'case "$*" in *"pip install"*) echo no network; exit 5;; *) echo started;; esac')
    ended = start(lab, "run")
    assert ended.returncode == 1 and ended.stdout == ""
    assert "no network" in ended.stderr and "ended with status 5" in ended.stderr
    assert not (lab.VENV / lab.STAMP).exists()
    fake_python(lab, 'echo "$@"')
    ended = start(lab, "test")
    assert ended.stdout == "-P -m pytest -n auto --maxprocesses=4 --dist=loadfile\n"
    assert plan(lab, "lab", "test") == "ready"


@posix
def test_an_interruption_is_quiet_and_leaves_no_stamp(lab: ModuleType):
    stamp(lab, "lab")  # without the test extra
    fake_python(lab, "touch begun; exec sleep 60")
    command = [sys.executable, str(lab.ROOT / "lab.py"), "test"]
    child = subprocess.Popen(command, cwd=lab.ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lab.ROOT / "begun")
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to lab.py and to pip
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in said and "the same command resumes it" in said
    assert not (lab.VENV / lab.STAMP).exists()


@posix
def test_two_at_once_install_once(lab: ModuleType):
    fake_python(
        lab,
        """
        case "$*" in
          *"pip install"*) echo one >> installations; touch begun; sleep 1.5;;
          *) echo started;;
        esac""",
    )
    command = [sys.executable, str(lab.ROOT / "lab.py"), "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": lab.ROOT}
    first = subprocess.Popen(command, **pipes)
    wait_for(lab.ROOT / "begun")
    second = subprocess.Popen(command, **pipes)
    waited, said = second.communicate(timeout=30)
    assert first.communicate(timeout=30)[0] == waited == "started\n"
    assert (lab.ROOT / "installations").read_text() == "one\n"
    assert "waiting for another installation" in said


@posix
def test_without_ensurepip_debian_is_told_what_to_install(lab: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"sudo apt install python3-venv"):
        lab.rebuild()
    assert lab.PYTHON.exists()  # nothing was removed before that was known


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)


def test_help_installs_nothing(lab: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert lab.main([]) == lab.main(["--help"]) == 0
    assert "python3 lab.py run" in capsys.readouterr().out
    assert not (lab.VENV / lab.LOCK).exists()


@pytest.mark.slow
def test_a_killed_rebuild_is_repaired(lab: ModuleType):
    """The real venv and ensurepip, from the wheels inside Python: offline."""
    (lab.VENV / "pyvenv.cfg").unlink()  # what a rebuild killed half-way leaves
    (lab.VENV / "junk").write_text("")
    lab.rebuild()
    assert lab.usable(lab.VENV) and not (lab.VENV / "junk").exists()
    with (lab.VENV / lab.LOCK).open("a") as lock:
        lab.run(["-m", "ensurepip", "--default-pip"], lock.fileno())
    assert any((site / "pip").is_dir() for site in lab.sites(lab.VENV))
    assert plan(lab, "lab") == "install"
