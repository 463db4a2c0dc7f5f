"""Results and accounts in one SQLite file, and the arrays that are too large for it in files beside it.

    flyroom-store/
      flyroom.sqlite            results, accounts and where they come from
      arrays/<SHA-256>.npz      the arrays of one result, under the digest of the file's bytes

A result is stored under the digest of the run that made it (`key`), so a store knows what is missing, and
asking for more seeds trains only the new ones. A cell is added in one transaction after its arrays are on
the disk: a process that is killed at any instant leaves whole cells or nothing of them. A claim has one account for
each of its settings, so that a short run does not take the place of a long one. One process is
expected to write; two at once wait for each other, and the first to add a run wins.

Every row carries a digest of its content, because SQLite has no checksums: a damaged file gives an error,
never another number. Put the store on a local disk: SQLite's locks cannot be trusted on a network file
system.
"""

from flyroom.store._database import FILE, Damaged
from flyroom.store._export import export
from flyroom.store._form import key
from flyroom.store._health import health
from flyroom.store._store import Record, Store, open_store

__all__ = ["FILE", "Damaged", "Record", "Store", "export", "health", "key", "open_store"]
