"""`python -m loadgen`: the same as the command `loadgen`."""

import sys

from loadgen.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
