"""The files of a run: written as it goes, and read back, also after it was killed. Public names only."""

from loadgen.store.reader import RunReader
from loadgen.store.writer import RunWriter, StorageFull

__all__ = ["RunReader", "RunWriter", "StorageFull"]
