"""Where results come from: the code, the packages and the machine, without a word on who or where."""

import ctypes
import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import flyroom
from flyroom.records import Json, Provenance

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "scikit-learn", "torch")


def provenance(command: str) -> Provenance:
    """What somebody else needs to do the same again, as of now.

    Holds no host name, no user name and no path but what `command` holds, and in it the home directory
    becomes ~.

    >>> provenance("flyroom run --runs 20").command
    'flyroom run --runs 20'
    """
    home = str(Path("~").expanduser())
    return Provenance(
        version=flyroom.__version__,
        source=source_digest(),
        packages=package_versions(),
        machine=machine(),
        command=command.replace(home, "~") if len(home) > 1 else command,
        started=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


@cache
def source_digest() -> str:
    """SHA-256 over the names and the contents of the package's Python files, as they were at the first call.

    Line ends do not count, so that a checkout on Windows has the digest of the same one elsewhere.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on; what is not installed is left out."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def machine() -> dict[str, Json]:
    """The system, the processor, the number of cores that this process may use, and the memory in bytes."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": _cores(),
        "memory_bytes": _memory(),
    }


def require_usual_numbers() -> None:
    """Raise ValueError unless JAX computes in float32 and draws with threefry, as stored numbers of claims do.

    Neither setting is in a run's key, so that under another one different numbers would be stored under the same name.
    """
    import jax

    usual_numbers = {
        "jax_enable_x64": False,
        "jax_default_prng_impl": "threefry2x32",
        "jax_threefry_partitionable": True,
        "jax_random_seed_offset": 0,
        "jax_default_matmul_precision": None,
    }
    for name, usual in usual_numbers.items():
        found = jax.config.values.get(name, usual)
        if found != usual:
            raise ValueError(f"JAX is set to {name} = {found}; claims are run with {usual}: unset {name.upper()}")


def _processor() -> str:
    # platform.processor() is empty or only "arm" on most systems, so each is asked in its own way.
    if platform.system() == "Linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
        found = {name.strip(): value.strip() for name, value in fields.items()}
        model = found.get("model name") or found.get("Model") or found.get("Hardware")
    elif platform.system() == "Darwin":
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"],
            capture_output=True,
            text=True,
            check=False,
        )
        model = asked.stdout.strip()
    else:
        model = platform.processor()
    return model or platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int | None:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if platform.system() == "Windows":
        installed = ctypes.c_ulonglong(0)  # in KiB
        kernel = ctypes.WinDLL("kernel32")  # pyright: ignore[reportAttributeAccessIssue]
        if kernel.GetPhysicallyInstalledSystemMemory(ctypes.byref(installed)):
            return installed.value * 1024
    return None
