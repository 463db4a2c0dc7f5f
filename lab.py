"""From a fresh clone to a result: makes a virtual environment beside this file, installs into it, and runs.

    python3 lab.py run [words...]     flyroom run: the main job, or the claims that are named
    python3 lab.py test [words...]    the tests; words go to pytest
    python3 lab.py WORDS...           flyroom WORDS, for instance: python3 lab.py claims

Needs Python 3.11 or newer and nothing else. All that it installs is in .venv, beside this file; deleting that
folder undoes everything. pip's own settings (PIP_INDEX_URL, pip.conf and the rest) are respected.
"""

# This file must parse on every Python 3, so that an old one reads the sentence below and not a SyntaxError.
# Modules that only an installation needs are imported there: the second start pays for none of them.
import os
import sys
from pathlib import Path

OLDEST = (3, 11)
if sys.version_info[:2] < OLDEST:
    sys.exit(
        "Flyroom needs Python 3.11 or newer, and this is Python {}.{}. Install a newer one and start lab.py "
        "with it, for instance: python3.12 lab.py run".format(*sys.version_info)
    )

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = "lab.stamp"  # written last, so that it stands for a complete installation
LOCK = "lab.lock"
PYTEST = ["pytest", "-n", "auto", "--maxprocesses=4", "--dist=loadfile"]  # files of tests side by side


def main(words: list[str]) -> int:
    """Install if that is needed, then become the program that was asked for."""
    if not words or words[0] in ("-h", "--help"):
        print((__doc__ or "").strip())
        return 0
    testing = words[0] == "test"
    extras = {"lab", "test"} if testing else {"lab"}
    try:
        if plan(VENV, fingerprint(ROOT), extras) != "ready":
            prepare(extras)
    except KeyboardInterrupt:
        say("stopped before the installation was complete; the same command resumes it")
        return 130
    except OSError as error:
        say(f"cannot install into {VENV}: {error}")
        return 1
    if testing:
        os.chdir(ROOT)  # pytest finds its settings and the tests from here
    # -P: a file called jax.py in the working directory is not taken for JAX.
    return become([str(PYTHON), "-P", "-m", *(PYTEST if testing else ["flyroom"]), *words[testing:]])


def fingerprint(root: Path) -> str:
    """What an installation depends on: the project file, the Python release and the place it was made for."""
    import hashlib

    digest = hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest()
    return f"{digest} {sys.implementation.name}-{sys.version_info[0]}.{sys.version_info[1]} {root}"


def plan(venv: Path, wanted: str, extras: set[str]) -> str:
    """Decide, touching nothing: `ready`, `install` (pip adds what is missing) or `rebuild` (from nothing).

    A stamp is the fingerprint, a line break, and the extras. Another Python or another place calls for
    rebuilding: scripts and the editable installation hold absolute paths. So does an installation that was
    cut short.
    """
    try:
        found, _, installed = (venv / STAMP).read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return "install" if usable(venv) and not cut_short(venv) else "rebuild"
    if found.split(" ")[1:] != wanted.split(" ")[1:] or not (venv / PYTHON.relative_to(VENV)).exists():
        return "rebuild"
    return "ready" if found == wanted and extras <= set(installed.split()) else "install"


def usable(venv: Path) -> bool:
    """Whether `venv` is a virtual environment of the Python that runs this, by whomever it was made."""
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    said = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    release = said.get("version", said.get("version_info", "")).split(".")[:2]
    here = [str(part) for part in sys.version_info[:2]]
    return release == here and (venv / PYTHON.relative_to(VENV)).exists()


def cut_short(venv: Path) -> bool:
    """Whether pip was killed at work: it writes RECORD last, and sets aside what it replaces under a `~`."""
    for site in sites(venv):
        if any(not (metadata / "RECORD").exists() for metadata in site.glob("*.dist-info")):
            return True
        if any(site.glob("~*")):
            return True
    return False


def sites(venv: Path) -> list[Path]:
    """The folders into which pip installs: one on any platform, none before the environment is made."""
    return [*venv.glob("lib/python*/site-packages"), *venv.glob("Lib/site-packages")][:1]


def prepare(extras: set[str]) -> None:
    """Bring `.venv` up to date, one process at a time; leaves a stamp only when everything went well."""
    import time

    VENV.mkdir(exist_ok=True)
    with (VENV / LOCK).open("a") as lock:
        take(lock.fileno())
        wanted = fingerprint(ROOT)
        what = plan(VENV, wanted, extras)  # asked again: another process may have done it
        if what == "ready":
            return
        started = time.monotonic()
        named = ",".join(sorted(extras))
        say(f"installing flyroom[{named}] into {VENV} (a minute or two the first time)")
        (VENV / STAMP).unlink(missing_ok=True)
        if what == "rebuild":
            rebuild()
        if not any((site / "pip").is_dir() for site in sites(VENV)):
            demand_ensurepip()
            run(["-m", "ensurepip", "--default-pip"], lock.fileno())
        run(["-m", "pip", "install", "--editable", f"{ROOT}[{named}]"], lock.fileno())
        fresh = VENV / (STAMP + ".new")
        fresh.write_text(wanted + "\n" + " ".join(sorted(extras)), encoding="utf-8")
        fresh.replace(VENV / STAMP)
        say(f"installed in {time.monotonic() - started:.0f} s")


def take(lock: int) -> None:
    """Wait for the lock. The kernel holds it, so a process that is killed leaves none behind."""
    if os.name == "nt":
        import msvcrt
        import time

        while True:
            try:
                return msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
            except OSError:
                time.sleep(1)
    import errno
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another installation in this folder to end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network drives have no locks: go without
            raise


def rebuild() -> None:
    """Empty `.venv`, all but the lock, and make a new environment there, as yet without pip."""
    import shutil
    import venv

    demand_ensurepip()
    for entry in VENV.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    venv.EnvBuilder(symlinks=os.name != "nt").create(VENV)


def demand_ensurepip() -> None:
    """Debian and Ubuntu take ensurepip out of Python and into a package of its own."""
    import importlib.util

    if importlib.util.find_spec("ensurepip") is None:
        version = "{}.{}".format(*sys.version_info)
        sys.exit(
            "lab: this Python has no ensurepip, which puts pip into a virtual environment. On Debian and "
            f"Ubuntu, install it and start again: sudo apt install python3-venv (or python{version}-venv)"
        )


def run(words: list[str], lock: int) -> None:
    """Run the environment's Python for an installation; one moving line on a terminal, everything on failure.

    The child holds the lock too: where this process alone is killed, nobody else starts until pip has ended.
    """
    import subprocess
    from collections import deque

    moving = sys.stderr.isatty()
    last = deque(maxlen=40)
    with subprocess.Popen(
        [str(PYTHON), *words],
        env=environment(dict(os.environ)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=() if os.name == "nt" else (lock,),
    ) as child:
        for line in child.stdout or ():
            last.append(line)
            if moving and line.strip():
                print(f"\r\033[K  {line.strip()[:76]}", end="", file=sys.stderr, flush=True)
    if moving:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    if child.returncode:
        print("".join(last), end="", file=sys.stderr)
        say(f"python {' '.join(words)} ended with status {child.returncode}; its last words stand above")
        say("when the cause is gone (network, disk space, pip's settings), the same command tries again")
        sys.exit(1)


def environment(given: dict[str, str]) -> dict[str, str]:
    """The environment for pip: the caller's, less what would make it install outside `.venv`."""
    outside = {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME", "PYTHONPATH"}
    kept = {name: value for name, value in given.items() if name not in outside}
    if not kept.get("HOME", "~"):
        del kept["HOME"]  # an empty HOME would put pip's cache into the root directory
    return {**kept, "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def become(command: list[str]) -> int:
    """Replace this process by `command`; where that cannot be done (Windows), wait and pass its status on."""
    if os.name != "nt":
        os.execv(command[0], command)
    import subprocess

    with subprocess.Popen(command) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the child was interrupted as well, and says what there is to say


def say(text: str) -> None:
    """One line on the standard error, so that `--json` on the standard output stays clean."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
