"""Compiled programs are kept between commands: a network of a shape that was trained before starts at once.

A kept program is machine code that is executed, so the directory is this user's alone: inside the virtual environment
where there is one (deleting that undoes everything), else in the user's cache.
"""

import os
import sys
from pathlib import Path


def compiled_directory() -> Path:
    """Where compiled programs are kept. `JAX_COMPILATION_CACHE_DIR`, JAX's own variable, comes first."""
    if chosen := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(chosen)
    if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        return Path(sys.prefix) / "var" / "flyroom-compiled"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "flyroom-compiled"


def keep_compiled() -> Path | None:
    """Let JAX keep what it compiles; None, and no harm, where the directory cannot be this user's alone.

    Programs that compile within a fifth of a second are not worth a file.
    """
    import jax

    directory = compiled_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid"):
            found = directory.stat()
            if found.st_uid != os.getuid() or found.st_mode & 0o022:
                return None
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return directory
