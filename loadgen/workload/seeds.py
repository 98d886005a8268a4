"""Random streams: one for each purpose and place, so that nothing that is drawn shifts anything else."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=64)
def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode())


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Return the random stream of one purpose at one index; streams of different arguments are independent."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _number(purpose), index])))
