"""Stopped by hand, killed, cut off: real processes, of which the next one goes on from what was finished."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flyroom.store import open_store

ROOT = Path(__file__).resolve().parents[1]
TOY = [sys.executable, str(ROOT / "tests" / "toy_claim.py"), "run", "--runs", "1"]
FLYROOM = [sys.executable, "-m", "flyroom"]
# Output is buffered as for everybody, whatever the tests themselves are run with.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}


def stored(folder: Path) -> int:
    """How many results are in the store, as another process sees it."""
    file = folder / "flyroom-store" / "flyroom.sqlite"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        try:
            return connection.execute("SELECT COUNT(*) FROM results").fetchone()[0]
        except sqlite3.OperationalError:  # its tables are not made yet
            return 0


@contextmanager
def started(words: list[str], folder: Path) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        words, cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(count: int, folder: Path, process: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while stored(folder) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def finish(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(words, cwd=folder, env=ENVIRONMENT, text=True, capture_output=True, check=False, timeout=300)


def values(folder: Path) -> dict:
    with open_store(folder / "flyroom-store") as store:
        return {record.key: (record.result.values, record.result.curves) for record in store.records()}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(tmp_path):
    with started(TOY, tmp_path) as process:
        wait_for(2, tmp_path, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    there = stored(tmp_path)
    assert process.returncode == 130
    assert 2 <= there < 6 and out == ""
    assert f"stopped; {there} of 6 runs are stored in flyroom-store; the same command goes on from there" in err
    assert "Traceback" not in err

    after = finish(TOY, tmp_path)
    assert after.returncode == 0
    assert f"toy: {there} of 6 runs are stored; {6 - there} to run" in after.stderr
    assert [line for line in after.stderr.splitlines() if " of " in line][-1].startswith(f"toy: {6 - there} of")
    assert stored(tmp_path) == 6


@pytest.mark.slow
def test_killed_in_the_middle_the_records_are_those_of_an_uninterrupted_run(tmp_path):
    words = [*FLYROOM, "run", "--quick", "--runs", "2"]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    for folder in (broken, whole):
        folder.mkdir()
    for count in (2, 8):
        with started(words, broken) as process:
            wait_for(count, broken, process)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    there = stored(broken)
    after = finish(words, broken)
    assert after.returncode == 0, after.stderr
    assert f"{there} of 18 runs are stored; {18 - there} to run" in after.stderr
    assert finish(words, whole).returncode == 0
    assert len(values(whole)) == 18
    assert values(broken) == values(whole)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_output_is_said_in_a_sentence(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*FLYROOM, "data", "list"],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_reader_that_had_enough_is_no_error(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*FLYROOM, "data", "list", "--json"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_that_may_not_be_written_keeps_nothing(tmp_path):
    tmp_path.chmod(0o500)
    try:
        done = finish([*FLYROOM, "data", "make", "moons", "--out", "x.npz"], tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert done.returncode == 1 and "Permission denied" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_place_keeps_nothing_half_written(tmp_path):
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
    code += "from flyroom.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", code, "data", "make", "moons", "--n", "5000", "--out", "x.npz"]
    done = finish(words, tmp_path)
    assert done.returncode == 1 and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_on_a_terminal_there_is_a_bar_and_the_table_is_no_wider(tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
    environment = {**ENVIRONMENT, "TERM": "xterm"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen(TOY, cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # the other end was closed
        pass
    finally:
        os.close(ours)
        assert process.wait(timeout=60) == 0
    text = seen.decode()
    assert "6/6 networks" in text and "a minute" in text and "━" in text
    assert "toy: undecided." in text
