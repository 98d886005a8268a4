"""What the files of a run are called."""

from __future__ import annotations

from typing import Final

PLAN: Final = "plan.json"
SUMMARY: Final = "summary.json"
ROWS: Final = "requests.parquet"
ROWS_SO_FAR: Final = "requests.arrows"
"""Arrow IPC stream that grows during a run, and becomes ROWS at its end."""
HEALTH: Final = "health.jsonl"
OUTPUTS: Final = "outputs.jsonl"
EVENT: Final = "event"
"""Kind of a line of HEALTH that is neither a Health nor a ClockSample."""
