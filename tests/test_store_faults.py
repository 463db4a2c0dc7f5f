"""The store in trouble: killed, out of room, two at once, damaged, foreign, forbidden. With real processes."""

import errno
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flyroom.records import Provenance, Result, Run
from flyroom.store import FILE, Damaged, health, open_store
from flyroom.store._arrays import read_arrays

MADE = Provenance("0.1.0", "ab12", {}, {}, "flyroom run", "2026-11-21T06:00:00+00:00")
CELL = 4  # runs


def cell_of(number: int, curve: int = 50) -> list[Result]:
    """The runs of one cell with values that follow from the seed, so that a wrong one is seen."""
    return [
        Result(
            Run("spatial-prior", 1, {"net": "mlp"}, seed, {"name": "mnist1d"}),
            {"accuracy": seed / 7},
            {"loss": [seed + step / 3 for step in range(curve)]},
            {"weights": np.full(300, seed, np.float32)},
        )
        for seed in range(CELL * number, CELL * (number + 1))
    ]


def assert_true(results: list[Result]) -> None:
    """Each result is what `cell_of` makes for its seed, and none is there twice."""
    seeds = [result.run.seed for result in results]
    assert len(set(seeds)) == len(seeds)
    for result in results:
        assert result.values == {"accuracy": result.run.seed / 7}
        assert result.curves["loss"][-1] == result.run.seed + 49 / 3
        if result.arrays:
            np.testing.assert_array_equal(result.arrays["weights"], np.float32(result.run.seed))


WORKER = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_store_faults import MADE, cell_of
    from flyroom.store import open_store
    directory, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    step = 1 if last > first else -1
    with open_store(directory) as store:
        print("open", flush=True)
        for number in range(first, last, step):
            print(number, store.add(cell_of(number), MADE), flush=True)
"""


def worker(directory: Path, first: int, last: int, before: str = "") -> subprocess.Popen[str]:
    """A process that adds cells, and prints the number of each when it is told that the cell is stored."""
    tests = str(Path(__file__).parent)
    code = textwrap.dedent(before) + textwrap.dedent(WORKER).format(tests=tests)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(tests).parent), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory), str(first), str(last)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def in_a_process(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """The code run to its end in a process of its own, with the directory as its argument."""
    tests = Path(__file__).parent
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code).format(tests=str(tests)), str(directory)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tests.parent), *sys.path])},
        check=False,
    )


def acknowledged(output: str) -> list[tuple[int, int]]:
    """(cell, number of new results) of every cell that a worker was told is stored."""
    lines = [line.split() for line in output.splitlines() if line != "open"]
    return [(int(line[0]), int(line[1])) for line in lines if len(line) == 2]


def test_nothing_that_was_acknowledged_is_lost_to_kill_9(tmp_path):
    generator = random.Random(7)
    done: set[int] = set()
    for cells in range(6):  # that are stored before it is killed, however slow the machine is
        first = max(done, default=-1) + 1
        process = worker(tmp_path, first, 100_000)
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        told = "".join(process.stdout.readline() for _ in range(cells))
        time.sleep(generator.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        done |= {number for number, _ in acknowledged(told + process.communicate()[0])}
        with open_store(tmp_path) as store:
            results = store.results(arrays=True)
            assert_true(results)
            assert len(results) % CELL == 0, "half a cell was stored"
            stored = {result.run.seed // CELL for result in results}
            assert done <= stored <= done | {max(done, default=-1) + 1}, "only the cell in flight may be unheard of"
            done = stored
    assert len(done) > 6, "the processes were killed before they did anything"
    with open_store(tmp_path) as store:
        last = max(done) + 3
        wanted = [result.run for number in range(last) for result in cell_of(number)]
        missing = {run.seed // CELL for run in store.missing(wanted)}
        assert missing == set(range(last)) - done
        assert sum(store.add(cell_of(number), MADE) for number in missing) == CELL * len(missing)
        assert_true(store.results(wanted))
        assert len(store.results()) == CELL * last
    assert health(tmp_path)["ok"]


KILLED_AT = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from test_store_faults import MADE, cell_of
    from flyroom.store import open_store
    for number in range(8):
        if (child := os.fork()) == 0:
            statements = iter(range(number))
            store = open_store(sys.argv[1] + f"/{{number}}")
            die = lambda _: next(statements, None) is not None or os.kill(os.getpid(), signal.SIGKILL)
            store._connection.set_trace_callback(lambda text: text.startswith("SELECT") or die(text))
            store.add(cell_of(0), MADE)
            os._exit(0)
        print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_a_cell_is_whole_or_absent_whichever_statement_is_the_last(tmp_path):
    # BEGIN, the provenance, four runs, COMMIT: killed as each of the seven begins, and then not at all.
    done = in_a_process(KILLED_AT, tmp_path)
    assert done.stdout.split() == [str(signal.SIGKILL.value)] * 7 + ["0"], done.stderr
    for number in range(8):
        with open_store(tmp_path / str(number)) as store:
            assert len(store.results()) == (CELL if number == 7 else 0)
            assert len(store._rows("SELECT * FROM provenance")) == (number == 7)
            assert store.add(cell_of(0), MADE) == (0 if number == 7 else CELL)
            assert_true(store.results(arrays=True))


KEPT_OR_KILLED = """
    import os, signal, sqlite3, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_store import as_of_schema_1, under
    from flyroom.store import open_store
    for number in range(11):
        directory = Path(sys.argv[1], str(number))
        directory.mkdir()
        as_of_schema_1(directory, under({{"runs": 10}}, 80))
        if (child := os.fork()) == 0:
            statements, connect = iter(range(number)), sqlite3.connect
            die = lambda: next(statements, None) is not None or os.kill(os.getpid(), signal.SIGKILL)
            def traced(*given, **named):
                made = connect(*given, **named)
                made.set_trace_callback(lambda text: text.startswith(("SELECT", "PRAGMA", "--")) or die())
                return made
            sqlite3.connect = traced
            open_store(directory).keep(under({{"runs": 10}}, 81))
            os._exit(0)
        print(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_an_account_is_whole_or_as_before_whichever_statement_is_the_last(tmp_path):
    # BEGIN, five statements and COMMIT migrate; BEGIN, INSERT and COMMIT keep. Killed as each begins, then not at all.
    done = in_a_process(KEPT_OR_KILLED, tmp_path)
    assert done.stdout.split() == [str(signal.SIGKILL.value)] * 10 + ["0"], done.stderr
    for number in range(11):
        with closing(sqlite3.connect(tmp_path / str(number) / FILE)) as left:
            schema = left.execute("PRAGMA user_version").fetchone()[0]
            tables = {name for (name,) in left.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert schema == (2 if number > 6 else 1)
        assert tables == {"provenance", "results", "accounts"}
        with open_store(tmp_path / str(number)) as store:
            (one,) = store.accounts(every=True)
            assert one.judgement.runs == (81 if number == 10 else 80)
        assert health(tmp_path / str(number))["ok"]


def test_a_process_killed_while_it_makes_the_store_leaves_one_that_opens(tmp_path):
    for number in range(4):
        directory = tmp_path / str(number)
        process = worker(directory, 0, 1)
        until = time.monotonic() + 30
        while not (directory / FILE).exists() and time.monotonic() < until:
            time.sleep(0.0005)
        time.sleep(0.001 * number)
        process.kill()
        process.communicate()
        with open_store(directory) as store:
            assert len(store.results()) in (0, CELL)
            store.add(cell_of(0), MADE)
            assert_true(store.results(arrays=True))


def test_two_processes_that_add_the_same_cells_at_once_neither_lose_nor_double(tmp_path):
    # One from the front and one from the back, from the making of the file on.
    processes = [worker(tmp_path, 0, 40), worker(tmp_path, 49, 9)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    told = [acknowledged(output) for output, _ in outputs]
    assert sum(new for part in told for _, new in part) == CELL * 50
    assert all(new in (0, CELL) for part in told for _, new in part)
    with open_store(tmp_path) as store:
        results = store.results(arrays=True)
        assert_true(results)
        assert len(results) == CELL * 50
        assert store.provenance() == [MADE]


# Out of room


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of a file")
def test_a_limit_on_the_size_of_files_loses_nothing(tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    process = worker(tmp_path, 0, 100_000, before=limit)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "What was finished before is kept; make room and run again" in errors
    done = [number for number, _ in acknowledged(output)]
    assert len(done) > 3
    with open_store(tmp_path) as store:
        assert_true(store.results(arrays=True))
        assert len(store.results()) == CELL * len(done)
        assert store.add(cell_of(len(done)), MADE) == CELL
    assert health(tmp_path)["ok"]


def test_a_full_database_says_so_and_goes_on_when_there_is_room(tmp_path):
    with open_store(tmp_path) as store:
        store.add(cell_of(0), MADE)
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match=r"no room to write the store .*finished before is kept; make room"):
            store.add(cell_of(1, curve=20_000), MADE)
        assert_true(store.results())
        assert len(store.results()) == CELL
        store._connection.execute("PRAGMA max_page_count = 1000000")
        assert store.add(cell_of(1), MADE) == CELL


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte, where the system lets us make one."""
    directory = tmp_path / "disk"
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here (it takes the rights of root)")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_full_disk_loses_nothing(small_disk):
    directory = small_disk / "store"
    done = 0
    with (
        open_store(directory) as store,
        pytest.raises(OSError, match="What was finished before is kept; make room and run again"),
    ):
        for number in range(10_000):
            store.add(cell_of(number), MADE)
            done += 1
    assert done > 10
    assert list((directory / "arrays").glob("*.tmp")) == []
    with open_store(directory, create=False) as store:
        assert_true(store.results(arrays=True))
        assert len(store.results()) == CELL * done
    assert health(directory)["ok"]


def test_an_array_that_finds_no_room_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_store(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"no room to write the store .*finished before is kept"):
            store.add(cell_of(0), MADE)
        monkeypatch.undo()
        assert list(tmp_path.glob("arrays/*")) == []
        assert store.add(cell_of(0), MADE) == CELL


# Damaged, foreign


def test_a_changed_byte_gives_an_error_or_the_truth(tmp_path):
    with open_store(tmp_path / "good") as store:
        for number in range(3):
            store.add(cell_of(number), MADE)
    good = (tmp_path / "good" / FILE).read_bytes()
    generator = random.Random(11)
    refused = 0
    for trial in range(150):
        directory = tmp_path / "bad"
        directory.mkdir()
        changed = bytearray(good)
        place = generator.randrange(len(good))
        changed[place] ^= 1 << generator.randrange(8)
        (directory / FILE).write_bytes(changed)
        try:
            with open_store(directory, create=False) as store:
                assert_true(store.results())
                assert store.provenance() in ([], [MADE])
        except ValueError as error:
            refused += 1
            assert str(directory / FILE) in str(error), (trial, place)
        shutil.rmtree(directory)
    assert refused > 20


@pytest.mark.parametrize(
    "content", [b"not a database, but the notes of a student " * 99, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_that_is_no_database_is_named_and_set_aside_only_on_request(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(Damaged, match=rf"{FILE} is damaged .* was not used.*open_store\(directory, set_aside=True\)"):
        open_store(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content
    assert not health(tmp_path)["ok"]
    with open_store(tmp_path, set_aside=True) as store:
        assert store.add(cell_of(0), MADE) == CELL
    (aside,) = tmp_path.glob(f"{FILE}.set-aside-2*Z")
    assert aside.read_bytes() == content
    assert health(tmp_path)["set_aside"] == [aside.name]


def test_a_changed_row_is_found_and_set_aside_with_its_log(tmp_path):
    with open_store(tmp_path) as store:
        store.add(cell_of(0), MADE)
    changer = sqlite3.connect(tmp_path / FILE)
    changer.execute("UPDATE results SET record = replace(record, '0.14285714285714285', '0.94285714285714285')")
    changer.commit()  # still open: its log lies beside the file
    assert "result" in health(tmp_path)["integrity"]
    with open_store(tmp_path) as store, pytest.raises(Damaged, match="a row is not what was written"):
        store.results()
    with open_store(tmp_path, set_aside=True) as store:
        assert store.results() == []
    changer.close()
    names = {path.name.partition("Z")[2] for path in tmp_path.glob(f"{FILE}.set-aside-*")}
    assert "" in names
    assert not (tmp_path / f"{FILE}-wal").exists()


def test_the_database_of_another_program_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    content = (tmp_path / FILE).read_bytes()
    for set_aside in (False, True):
        with pytest.raises(ValueError, match=r"is a database of another program .* nothing was changed. Give another"):
            open_store(tmp_path, set_aside=set_aside)
    assert (tmp_path / FILE).read_bytes() == content
    assert "another program" in health(tmp_path)["integrity"]


def test_arrays_that_are_gone_or_changed_are_named(tmp_path):
    with open_store(tmp_path) as store:
        store.add(cell_of(0), MADE)
        gone, changed, *_ = sorted((tmp_path / "arrays").iterdir())
        gone.unlink()
        changed.write_bytes(changed.read_bytes()[:-1] + b"x")
        (tmp_path / "arrays" / "half.7.tmp").touch()
        (tmp_path / "arrays" / ("0" * 64 + ".npz")).touch()
        assert_true(store.results())
        with pytest.raises((FileNotFoundError, Damaged)):
            store.results(arrays=True)
    with pytest.raises(FileNotFoundError, match=r"npz is missing: .*Put it back from a copy"):
        read_arrays(tmp_path / "arrays", gone.stem)
    with pytest.raises(Damaged, match=r"npz is damaged: its digest is not its name. Put it back from a copy"):
        read_arrays(tmp_path / "arrays", changed.stem)
    report = health(tmp_path)
    assert (report["missing"], report["ok"]) == ([gone.name], False)
    assert report["damaged"] == sorted([changed.name, "0" * 64 + ".npz"])
    assert (report["unreferenced"], report["temporary"]) == (["0" * 64 + ".npz"], ["half.7.tmp"])


def test_an_array_file_with_a_pickle_in_it_is_never_run(tmp_path):
    with open_store(tmp_path) as store:
        store.add(cell_of(0)[:1], MADE)
        (file,) = (tmp_path / "arrays").iterdir()
        np.savez(file, weights=np.array([print], object))
        evil = hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(file.with_name(f"{evil}.npz"))
        with pytest.raises(ValueError, match="allow_pickle=False"):
            read_arrays(tmp_path / "arrays", evil)


def test_what_a_killed_process_left_half_written_is_removed_after_an_hour(tmp_path):
    open_store(tmp_path).close()
    (tmp_path / "arrays").mkdir()
    old, young = (tmp_path / "arrays" / f"{name}.7.tmp" for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 4000, time.time() - 4000))
    open_store(tmp_path).close()
    assert not old.exists() and young.exists()


def test_health_of_a_copied_store_with_a_log_creates_nothing(tmp_path):
    with open_store(tmp_path / "live") as store:
        store.add(cell_of(0), MADE)
        (tmp_path / "copy").mkdir()
        for name in (FILE, f"{FILE}-wal"):
            shutil.copy(tmp_path / "live" / name, tmp_path / "copy")
    report = health(tmp_path / "copy")
    assert report["results"] == {"spatial-prior": CELL} and report["integrity"] == "ok"
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [FILE, f"{FILE}-wal"]


# Forbidden, misplaced


def test_there_must_be_a_store_where_none_may_be_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no store in .*give the directory of one, or run a claim"):
        open_store(tmp_path / "none", create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE).touch()
    with pytest.raises(FileNotFoundError, match="there is no store"):
        open_store(tmp_path, create=False)


def test_a_file_where_a_directory_must_be(tmp_path):
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "store"):
        for create in (True, False):
            with pytest.raises(NotADirectoryError, match=r"file.*ive a(nother)? directory"):
                open_store(directory, create=create)
    (tmp_path / FILE).mkdir()
    with pytest.raises(IsADirectoryError, match="is a directory, and the store's file has that name"):
        open_store(tmp_path)


FORBIDDEN = """
    import os, sys
    sys.path.insert(0, {tests!r})
    from test_store_faults import MADE, cell_of
    from flyroom.store import health, open_store
    if os.getuid() == 0:
        os.setgroups([]), os.setgid(65534), os.setuid(65534)
    directory = sys.argv[1]
    for attempt in (lambda: open_store(directory), lambda: open_store(directory + "/new")):
        try:
            attempt()
        except PermissionError as error:
            print(error)
    with open_store(directory, create=False) as store:
        print(len(store.results()), health(directory)["ok"])
        try:
            store.add(cell_of(1), MADE)
        except PermissionError as error:
            print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise")
def test_a_store_that_may_not_be_written_is_read_and_says_so(tmp_path):
    directory = tmp_path / "store"
    with open_store(directory) as store:
        store.add(cell_of(0), MADE)
    (directory / FILE).chmod(0o444)
    (directory / "arrays").chmod(0o555)
    directory.chmod(0o555)
    parents = [parent for parent in directory.parents if parent.stat().st_uid == os.getuid() and parent != Path("/")]
    modes = {parent: parent.stat().st_mode for parent in parents}
    for parent in parents:
        parent.chmod(modes[parent] | 0o055)
    done = in_a_process(FORBIDDEN, directory)
    for parent in parents:
        parent.chmod(modes[parent])
    directory.chmod(0o755)
    assert done.returncode == 0, done.stderr
    written, made, read, added = done.stdout.splitlines()
    assert "may be read but not written; give a directory in which you may write" in written
    assert "new cannot be made or read: permission denied. Give a directory" in made
    assert read == f"{CELL} True"
    assert "cannot be written" in added and "give a directory in which you may write" in added
