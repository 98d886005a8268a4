"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

from support.effort import FULL

# How long an example takes says how busy the machine is; what is too slow is for the benchmarks to find.
# make test tries the same cases each time, so that coverage does not depend on luck; make test-full tries new ones.
settings.register_profile("loadgen", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", parent=settings.get_profile("loadgen"), derandomize=False, max_examples=1_000)
settings.load_profile("full" if FULL else "loadgen")

# A shell's `&` starts programs with SIGINT ignored, and what tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
