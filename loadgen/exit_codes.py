"""The exit codes of every command, and which of two says more."""

from typing import Final

OK: Final = 0  # valid, and every objective met; for a comparison, no regression
FAILED: Final = 1  # an objective missed, or a regression
USAGE: Final = 2  # the command line, the plan or the server's address is wrong; nothing was measured
INVALID: Final = 3  # the numbers can't be trusted, or can't decide
INTERRUPTED: Final = 130  # by Ctrl-C, as shells have it: 128 + SIGINT
READER_GONE: Final = 141  # whoever read the output closed it: 128 + SIGPIPE

ORDER: Final = (OK, FAILED, INVALID, USAGE, INTERRUPTED)
"""From the best to the worst."""


def worst(*codes: int) -> int:
    """Return the worst of exit codes."""
    return max(codes, key=ORDER.index)
