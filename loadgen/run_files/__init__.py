"""The files of a run: written as it goes, and read back, also after it was killed. Public names only."""

from loadgen.run_files.disk import StorageFull
from loadgen.run_files.reader import RunReader
from loadgen.run_files.writer import RunWriter

__all__ = ["RunReader", "RunWriter", "StorageFull"]
