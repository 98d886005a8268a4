"""Service level objectives as users write them: reading them, and the presets."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.metrics import counts, find, names
from loadgen.outcomes.report import PERCENTILES
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError
from loadgen.units import parse_duration

RATES: Final = ("goodput", "completed", "output_tokens", "input_tokens")
SHARES: Final = ("errors",)
STATISTICS: Final = (*PERCENTILES, "mean")

PRESETS: Final = {
    # Server scenario, ttft_latency and tpot_latency of loadgen/mlperf.conf in github.com/mlcommons/inference,
    # at its target_latency_percentile of 99.
    "mlperf:llama2-70b": ("ttft.p99<2s", "tpot.p99<200ms"),
    "mlperf:llama2-70b-interactive": ("ttft.p99<450ms", "tpot.p99<40ms"),
    "mlperf:mixtral-8x7b": ("ttft.p99<2s", "tpot.p99<200ms"),
    "mlperf:llama3.1-405b": ("ttft.p99<6s", "tpot.p99<175ms"),
    "mlperf:llama3.1-405b-interactive": ("ttft.p99<4500ms", "tpot.p99<80ms"),
    "mlperf:llama3.1-8b": ("ttft.p99<2s", "tpot.p99<100ms"),
    "mlperf:llama3.1-8b-interactive": ("ttft.p99<500ms", "tpot.p99<30ms"),
    "mlperf:deepseek-r1": ("ttft.p99<2s", "tpot.p99<80ms"),
    "mlperf:deepseek-r1-interactive": ("ttft.p99<1500ms", "tpot.p99<15ms"),
}

_COMPARE: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_NAME = re.compile(r"(?P<metric>[\w-]+)(?:\.(?P<statistic>[\w.]+))?")
_FORM = re.compile(rf"\s*{_NAME.pattern}\s*(?P<sign><=|>=|<|>)\s*(?P<limit>\S+)\s*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_EXAMPLES: Final = "'ttft.p99<500ms', 'e2e.mean<2s', 'errors<0.1%' or 'goodput>9.5'"


@dataclass(frozen=True, slots=True)
class Slo:
    """One objective. `limit` is in `unit`: ns, count, share (0 to 1) or per_second."""

    text: str
    metric: str
    statistic: str  # a key of PERCENTILES, "mean", or "" for a share or a rate of the whole run
    sign: str  # < <= > >=
    limit: float
    unit: str

    @property
    def quantile(self) -> float | None:
        """The share of the percentile, 0.99 for p99; None for a mean, a share or a rate."""
        return PERCENTILES.get(self.statistic)

    @property
    def per_request(self) -> str:
        """The metric of one request that this objective limits, or "" if it says nothing about one request."""
        metric = find(self.metric)
        if not self.statistic or self.unit != "ns" or (metric and metric.ours):
            return ""
        return (metric and metric.of_request) or self.metric

    def meets(self, value: float) -> bool:
        """Say whether `value`, in the objective's unit, is on the right side of the limit."""
        return bool(_COMPARE[self.sign](value, self.limit))

    def meets_all(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say of each of `values` whether it is on the right side of the limit."""
        return np.asarray(_COMPARE[self.sign](values, self.limit), np.bool_)

    @property
    def wants_less(self) -> bool:
        """Whether smaller is better."""
        return self.sign in ("<", "<=")


def expand(texts: Iterable[str]) -> tuple[Slo, ...]:
    """Read several objectives, presets replaced by what they stand for. Raise UsageError for what is neither."""
    found: dict[str, Slo] = {}
    for text in texts:
        for one in _preset(text) if ":" in text else (text,):
            objective = parse(one)
            found.setdefault(objective.text, objective)
    return tuple(found.values())


def parse(text: str) -> Slo:
    """Read one objective, such as 'ttft.p99<500ms'. Raise UsageError naming what is wrong and the nearest right form.

    Latencies take a statistic and a duration; `errors` a share ("0.1%"); goodput, completed, output_tokens and
    input_tokens without a statistic are rates of the run, per second.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"--slo: invalid objective {text!r}: write one such as {_EXAMPLES}")
    metric, statistic, sign, limit = match.group("metric", "statistic", "sign", "limit")
    unit = _unit(f"--slo {text!r}", metric, statistic)
    if unit in ("ns", "share") and sign.startswith(">"):
        name = f"{metric}.{statistic}" if statistic else metric
        raise UsageError(f"--slo {text!r} asks {metric} to be large: write {name}<{limit}")
    if unit == "per_second" and sign.startswith("<"):
        raise UsageError(f"--slo {text!r} asks the rate {metric} to be small: write {metric}>{limit}")
    name = f"{metric}.{statistic}" if statistic else metric
    return Slo(f"{name}{sign}{limit}", metric, statistic or "", sign, _limit(text, limit, unit), unit)


def read_statistic(said: str, name: str) -> tuple[str, str, str]:
    """Read "ttft.p99" or "output_tokens" as (metric, statistic, unit), as `Slo` has them.

    Raise UsageError that begins with `said` and names the nearest right form.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"{said}: invalid statistic {name!r}: write one such as ttft.p99, e2e.mean or output_tokens")
    metric, statistic = match.group("metric", "statistic")
    return metric, statistic or "", _unit(said, metric, statistic)


def _preset(text: str) -> tuple[str, ...]:
    if text not in PRESETS:
        raise UsageError(f"--slo: invalid preset {text!r}{did_you_mean(text, PRESETS, 0.4)}; there are "
                         f"{', '.join(PRESETS)}")
    return PRESETS[text]


def _unit(said: str, metric: str, statistic: str | None) -> str:
    whole, latencies, of_counts = (*RATES, *SHARES), names(lambda one: one.unit == "ns"), counts()
    if statistic is None:
        if metric in whole:
            return "share" if metric in SHARES else "per_second"
        if metric in latencies or _is_server_time(metric):
            raise UsageError(f"{said} doesn't say which percentile of {metric}: write {metric}.p99, or one of "
                             f"{', '.join(STATISTICS)}")
    elif metric in latencies or metric in of_counts or _is_server_time(metric):
        if statistic not in STATISTICS:
            raise UsageError(f"{said}: there is no {metric}.{statistic}{did_you_mean(statistic, STATISTICS, 0.4)}; "
                             f"there are {', '.join(STATISTICS)}")
        return "count" if metric in of_counts else "ns"
    elif metric in whole:
        raise UsageError(f"{said}: {metric} is one number of the whole run, without a percentile: write "
                         f"{metric}{'<' if metric in SHARES else '>'}...")
    there = dict.fromkeys((*latencies, *of_counts, *whole))
    raise UsageError(f"{said}: there is no metric {metric!r}{did_you_mean(metric, there, 0.4)}; there are "
                     f"{', '.join(there)}")


def _is_server_time(metric: str) -> bool:
    return metric.startswith("server_")


def _limit(text: str, limit: str, unit: str) -> float:
    if unit == "ns":
        try:
            return parse_duration(limit)
        except UsageError as error:
            raise UsageError(f"--slo {text!r}: {error}") from None
    number, percent = (limit[:-1], True) if unit == "share" and limit.endswith("%") else (limit, False)
    if not _NUMBER.fullmatch(number):
        form = "a share such as 0.1%" if unit == "share" else "a number such as 9.5"
        raise UsageError(f"--slo {text!r}: invalid limit {limit!r}: write {form}")
    value = float(number) / (100 if percent else 1)
    if unit == "share" and value >= 1:
        raise UsageError(f"--slo {text!r}: {limit} is everything: write a share such as 0.1%")
    return value
