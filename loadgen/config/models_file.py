"""Config files with `models = [dict(...)]`, as AISBench's users have them: each model becomes a Plan."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadgen.backends import aisbench, dialect, registry
from loadgen.backends.interface import ServiceBackend
from loadgen.backends.local.interface import LocalBackend
from loadgen.config import models_local, plan_file
from loadgen.config.models_entry import SCORING, Entry, class_of, file_name
from loadgen.plan import Plan
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

ALL_AT_ONCE: Final = 0.1
"""Requests per second below which AISBench sends all at once."""
MOST_AT_ONCE: Final = 64_000
"""The largest batch size of AISBench; a run needs no more at a time than it has requests."""
OPTIONS: Final = ("path", "max_out_len", "retry", "host_ip", "host_port", "enable_ssl", "trust_remote_code",
                  "generation_kwargs", "verbose")
"""Fields that the backend's constructor is given as they are, whatever else they do."""
REFUSED: Final[Mapping[str, str]] = {
    "use_timestamp": "requests are not sent by a dataset's timestamps: give request_rate",
    "response_anomaly": "answers are not examined: leave it out",
    "meta_template": "prompts are messages with roles of their own: leave it out",
    "custom_client": "requests go out by loadgen's own senders: leave it out",
}
REFUSED_KWARGS: Final[Mapping[str, str]] = {
    "lora_data_map_file": "adapters are not chosen by request: name one as `model`, one dict each",
    "num_return_sequences": "each prompt is asked once: give --requests a multiple of the prompts instead",
}
UNREAD: Final = ("datasets", "summarizer", "model_dataset_combinations", "work_dir", "infer", "eval")
"""Variables of AISBench's config files that have a flag here, or no use."""
_SECTIONS: Final = ("ramp_up_strategy", "ramp_up_start_rps", "ramp_up_end_rps")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a config file: its name, what it decides of a plan ("table.key": value), and what to tell."""

    name: str
    values: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())

    def plan(self, base: Plan, flags: Mapping[str, Any]) -> Plan:
        """Lay the model over a plan, and the flags over both. Raises UsageError if they don't go together."""
        values = dict(self.values)
        if flags.get("load.concurrency"):  # the closed loop of the flag, without the file's arrivals
            for key in ("load.arrivals", "load.burstiness", "load.max_in_flight"):
                values.pop(key, None)
        is_open = flags.get("load.rate") or flags.get("load.load_shape")
        if is_open and values.get("load.concurrency", MOST_AT_ONCE) < MOST_AT_ONCE:
            limit = values.pop("load.concurrency")
            if "model.batch_size" not in values:  # of a model that is loaded here, it is no limit on arrivals
                values["load.max_in_flight"] = limit
        plan = plan_file.override(plan_file.override(base, values), flags)
        if plan.load.concurrency == MOST_AT_ONCE and plan.load.duration:
            raise UsageError(f"{self.name}: all at once (request_rate below {ALL_AT_ONCE:g}) is a number of requests: "
                             "give --datasets or --requests instead of --duration, or batch_size")
        return plan


def load(path: Path) -> list[ModelEntry]:
    """Read a config file. Raises UsageError that names the file, the model and the field that is wrong."""
    module = registry.load(path)
    entries = getattr(module, "models", None)
    if not isinstance(entries, list | tuple) or not entries:
        raise UsageError(f"{path} has no `models`: write models = [dict(attr=\"service\", type=MyServer, ...)]")
    unread = [name for name in UNREAD if hasattr(module, name)]
    notes = (f"{path.name}: {', '.join(unread)} not read: --datasets and --out are flags",) if unread else ()
    models: list[ModelEntry] = []
    for number, entry in enumerate(entries):
        where = f"{path}: models[{number}]"
        if not isinstance(entry, Mapping):
            raise UsageError(f"{where} is not a dict: write dict(attr=\"service\", type=MyServer, ...)")
        model = _model(Entry(where, entry, module, path), notes if not number else ())
        if any(model.name == other.name for other in models):
            raise UsageError(f"{where}: another model is called {model.name!r} too: give each its own abbr")
        models.append(model)
    return models


def _model(entry: Entry, notes: tuple[str, ...]) -> ModelEntry:
    """Read one entry, which is about a server or a model that is loaded here."""
    made = class_of(entry)
    if issubclass(made, LocalBackend):
        name, values, told = models_local.read(entry, made)
        return ModelEntry(name, values, notes + told)
    return _Reader(entry, made).model(notes)


class _Reader:
    """Reads one entry of `models` that is about a server."""

    def __init__(self, entry: Entry, made: type[ServiceBackend]) -> None:
        self._entry = entry
        self._made = made
        self._check_methods()

    def model(self, notes: tuple[str, ...]) -> ModelEntry:
        entry, made = self._entry.fields, self._made
        self._check_fields()
        name = self._entry.text("abbr") or made.__name__
        options = {key: entry[key] for key in entry if key in OPTIONS or key in self._own()}
        url = dialect.base_url_of(self._entry.text("url"), self._entry.text("host_ip") or "localhost",
                                  self._entry.number("host_port", 8080, whole=True), bool(entry.get("enable_ssl")))
        values: dict[str, Any] = {
            "target.backend": self._entry.place(made), "target.url": (url,), "target.stream": self._stream(),
            "target.model": self._model_name(), "target.api_key": self._entry.text("api_key"),
            "target.options": self._entry.json(options), **self._load()}
        if made.__dict__.get("aisbench"):
            values["target.endpoint"] = made.endpoints[0]
        if entry.get("max_out_len") is not None:
            values["workload.output_tokens"] = str(self._entry.number("max_out_len", 0, whole=True, least=1))
        if self._entry.text("path"):
            values["workload.tokenizer"] = self._entry.text("path")
        return ModelEntry(file_name(name), values, notes + self._entry.unused(name, SCORING, "answers are not scored"))

    def _check_methods(self) -> None:
        """Refuse a class of AISBench's kind that lacks a method: only ServiceBackend has defaults for them."""
        made = self._made
        if not issubclass(made, aisbench.BaseAPIModel) or issubclass(made, aisbench.StockModel):
            return
        needed = ("_get_url", "get_request_body",
                  "parse_stream_response" if self._entry.fields.get("stream") else "parse_text_response")
        missing = [name for name in needed if getattr(made, name) is getattr(ServiceBackend, name)]
        if missing:
            raise self._entry.wrong("type", f"{made.__name__} has no {' and no '.join(missing)}: add it, as AISBench "
                                    "needs it too, or derive the class from loadgen.ServiceBackend, which speaks "
                                    "OpenAI's dialect")

    def _own(self) -> tuple[str, ...]:
        """Return what the class's own constructor takes beside the fields that all know."""
        common = {"self", "args", "kwargs", "options", *inspect.signature(ServiceBackend.__init__).parameters}
        return tuple(name for name in inspect.signature(self._made.__init__).parameters if name not in common)

    def _check_fields(self) -> None:
        own = self._own()
        known = (*OPTIONS, *SCORING, *own, "attr", "type", "abbr", "model", "model_name", "stream", "request_rate",
                 "traffic_cfg", "api_key", "url", "batch_size")
        for key, value in self._entry.fields.items():
            if key in REFUSED and key not in own:
                if value:
                    raise self._entry.wrong(key, REFUSED[key])
            elif key not in known:
                raise UsageError(f"{self._entry.where}: unknown field {key!r}{did_you_mean(key, known)}")
        kwargs = self._entry.fields.get("generation_kwargs") or {}
        if not isinstance(kwargs, Mapping):
            raise self._entry.wrong("generation_kwargs", "write dict(temperature=0.5, ...)")
        for key, reason in REFUSED_KWARGS.items():
            if kwargs.get(key) not in (None, 1):
                raise self._entry.wrong(f"generation_kwargs.{key}", reason)

    def _stream(self) -> bool:
        forced = getattr(self._made, "streams", False)
        default = inspect.signature(self._made).parameters.get("stream")
        given = self._entry.fields.get("stream", default.default if default is not None else True)
        if not isinstance(given, bool):
            raise self._entry.wrong("stream", f"{given!r} is neither True nor False")
        return given or forced

    def _model_name(self) -> str:
        names = {self._entry.text("model"), self._entry.text("model_name")} - {""}
        if len(names) > 1:
            raise self._entry.wrong("model_name", "it differs from `model`: leave one of them out")
        return names.pop() if names else ""

    def _load(self) -> dict[str, Any]:
        """Decide when requests are sent: evenly at request_rate, or all at once; batch_size is the most in flight."""
        rate = self._entry.number("request_rate", 0.0, least=0)
        limit = self._entry.number("batch_size", 0, whole=True, least=1)
        values: dict[str, Any] = {"load.retry": self._entry.number("retry", 0, whole=True, least=0),
                                  "load.cooldown": False, "load.warmup": 0}
        burstiness = self._burstiness()
        if rate < ALL_AT_ONCE:
            return values | {"load.concurrency": limit or MOST_AT_ONCE}
        law = {0.0: "constant", 1.0: "poisson"}.get(burstiness, "gamma")
        if law == "gamma":
            values["load.burstiness"] = burstiness
        return values | {"load.rate": float(rate), "load.arrivals": law, "load.max_in_flight": limit}

    def _burstiness(self) -> float:
        """Read traffic_cfg: the shape of gamma gaps, 0 for even ones, which is also the default."""
        traffic = self._entry.fields.get("traffic_cfg") or {}
        if not isinstance(traffic, Mapping):
            raise self._entry.wrong("traffic_cfg", "write dict(burstiness=0.5)")
        for key in traffic:
            if key not in ("burstiness", *_SECTIONS):
                raise UsageError(f"{self._entry.where}: unknown field 'traffic_cfg.{key}'"
                                 f"{did_you_mean(key, ('burstiness', *_SECTIONS))}")
        if all(traffic.get(key) for key in _SECTIONS):
            raise self._entry.wrong("traffic_cfg.ramp_up_strategy", "a ramp in this file is not offered yet: leave it "
                                    "out and give --load-shape ramp:1..10/60s")
        burstiness = traffic.get("burstiness") or 0
        if isinstance(burstiness, bool) or not isinstance(burstiness, int | float) or burstiness < 0:
            raise self._entry.wrong("traffic_cfg.burstiness", f"{burstiness!r} is not a number of at least 0")
        return float(burstiness)
