"""Runs the mock alone: python -m loadgen.mock."""

import sys

from loadgen.mock.main import main

sys.exit(main())
