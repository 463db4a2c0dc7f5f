"""The wheel: what is in it, and that it runs where there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def python(*words: str, cwd: Path, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT), cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


def test_holds_the_package_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for path in (ROOT / "flyroom").rglob("*") if path.is_file())
    package = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    assert "flyroom/py.typed" in names
    assert names == package


def test_carries_its_licence_and_its_command(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        (entries,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
        assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
        assert "flyroom = flyroom.cli:main" in archive.read(entries).decode()
        assert any(name.endswith("/LICENSE") for name in archive.namelist())


def test_runs_outside_the_checkout(wheel: Path, tmp_path: Path):
    target = tmp_path / "installed"
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    python(*install, cwd=tmp_path)
    where = python("-c", "import flyroom; print(flyroom.__file__)", cwd=tmp_path, PYTHONPATH=str(target)).strip()
    assert Path(where).is_relative_to(target)  # and not the editable installation of this checkout
    said = python("-m", "flyroom", "--help", cwd=tmp_path, PYTHONPATH=str(target))
    assert "flyroom" in said and "run" in said
