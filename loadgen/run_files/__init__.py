"""The files of a run: written as it goes, and read back, also after it was killed. Public names only."""

from loadgen.run_files.reader import RunReader
from loadgen.run_files.writer import RunWriter, StorageFull

__all__ = ["RunReader", "RunWriter", "StorageFull"]
