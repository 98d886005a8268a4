"""What holds for all tests."""

from hypothesis import settings

# How long an example takes says how busy the machine is; what is too slow is for the benchmarks to find.
settings.register_profile("loadgen", deadline=None)
settings.load_profile("loadgen")
