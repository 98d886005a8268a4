"""Many runs for one answer: grids, searches and repetitions, each run in a process of its own."""
