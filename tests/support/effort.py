"""How many random cases a test tries: few in `make test`, many in `make test-full`."""

import os

FULL = os.environ.get("LOADGEN_TESTS") == "full"


def examples(few: int, many: int) -> int:
    """Return the number of cases for hypothesis; `few` finds a common fault, `many` a rare one."""
    return many if FULL else few
