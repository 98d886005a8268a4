"""Config files with `models = [dict(...)]`, as AISBench's users have them: each model becomes a Plan."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from loadgen import planfile
from loadgen.backends import aisbench, dialect, registry
from loadgen.backends.contract import LocalBackend, ServiceBackend
from loadgen.plan import Plan
from loadgen.plancheck import nearest
from loadgen.types import UsageError

ALL_AT_ONCE: Final = 0.1
"""Requests per second below which AISBench sends all at once."""
MOST_AT_ONCE: Final = 64_000
"""The largest batch size of AISBench; a run needs no more at a time than it has requests."""
OPTIONS: Final = ("path", "max_out_len", "retry", "host_ip", "host_port", "enable_ssl", "trust_remote_code",
                  "generation_kwargs", "verbose")
"""Fields that the backend's constructor is given as they are, whatever else they do."""
SCORING: Final = ("pred_postprocessor", "returns_tool_calls")
"""Fields about scoring answers, which nothing here does and no load depends on."""
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
class Model:
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
        if flags.get("load.rate") and values.get("load.concurrency", MOST_AT_ONCE) < MOST_AT_ONCE:
            values["load.max_in_flight"] = values.pop("load.concurrency")
        plan = planfile.override(planfile.override(base, values), flags)
        if plan.load.concurrency == MOST_AT_ONCE and plan.load.duration:
            raise UsageError(f"{self.name}: all at once (request_rate below {ALL_AT_ONCE:g}) is a number of requests: "
                             "give --datasets or --requests instead of --duration, or batch_size")
        return plan


def load(path: Path) -> list[Model]:
    """Read a config file. Raises UsageError that names the file, the model and the field that is wrong."""
    module = registry.load(path)
    entries = getattr(module, "models", None)
    if not isinstance(entries, list | tuple) or not entries:
        raise UsageError(f"{path} has no `models`: write models = [dict(attr=\"service\", type=MyServer, ...)]")
    unread = [name for name in UNREAD if hasattr(module, name)]
    notes = (f"{path.name}: {', '.join(unread)} not read: --datasets and --out are flags",) if unread else ()
    models: list[Model] = []
    for number, entry in enumerate(entries):
        where = f"{path}: models[{number}]"
        if not isinstance(entry, Mapping):
            raise UsageError(f"{where} is no dict: write dict(attr=\"service\", type=MyServer, ...)")
        model = _Reader(where, entry, module, path).model(notes if not number else ())
        if any(model.name == other.name for other in models):
            raise UsageError(f"{where}: another model is called {model.name!r} too: give each its own abbr")
        models.append(model)
    return models


class _Reader:
    """Reads one entry of `models`."""

    def __init__(self, where: str, entry: Mapping[str, Any], module: ModuleType, path: Path) -> None:
        self._where = where
        self._entry = dict(entry)
        self._module = module
        self._path = path
        self._made = self._type()

    def model(self, notes: tuple[str, ...]) -> Model:
        entry, made = self._entry, self._made
        self._check_fields()
        name = self._text("abbr") or made.__name__
        options = {key: entry[key] for key in entry if key in OPTIONS or key in self._own()}
        url = dialect.base_url_of(self._text("url"), self._text("host_ip") or "localhost",
                                  self._number("host_port", 8080, whole=True), bool(entry.get("enable_ssl")))
        values: dict[str, Any] = {
            "target.backend": self._backend(), "target.url": (url,), "target.stream": self._stream(),
            "target.model": self._model_name(), "target.api_key": self._text("api_key"),
            "target.options": self._json(options), **self._load()}
        if made.__dict__.get("aisbench"):
            values["target.endpoint"] = made.endpoints[0]
        if entry.get("max_out_len") is not None:
            values["workload.output_tokens"] = str(self._number("max_out_len", 0, whole=True, least=1))
        if self._text("path"):
            values["workload.tokenizer"] = self._text("path")
        scoring = [key for key in SCORING if entry.get(key)]
        told = (f"{name}: {', '.join(scoring)} not used: answers are not scored",) if scoring else ()
        return Model(re.sub(r"[^\w.-]", "_", name), values, notes + told)

    def _type(self) -> type[ServiceBackend]:
        made, attr = self._entry.get("type"), self._entry.get("attr", "service")
        if attr == "local" or (isinstance(made, type) and issubclass(made, LocalBackend)) or (
                isinstance(made, aisbench.Absent) and made.name in aisbench.LOCAL):
            raise self._wrong("attr", "local models are not measured yet, they will come with extras of their own: "
                              "serve the model, and write attr=\"service\"")
        if attr != "service":
            raise self._wrong("attr", f"{attr!r} is neither \"service\" nor \"local\"")
        if isinstance(made, aisbench.Absent):
            raise self._wrong("type", f"{made.name} of AISBench has no counterpart here: "
                              f"there are {', '.join(aisbench.SERVICE)}")
        if not (isinstance(made, type) and issubclass(made, ServiceBackend)):
            raise self._wrong("type", f"{made!r} is no backend class: derive it from loadgen.ServiceBackend")
        if made is ServiceBackend or made is aisbench.BaseAPIModel:
            raise self._wrong("type", f"{made.__name__} is what backends derive from: write a class of your own")
        self._check_methods(made)
        return made

    def _check_methods(self, made: type[ServiceBackend]) -> None:
        """Refuse a class of AISBench's kind that lacks a method: only ServiceBackend has defaults for them."""
        if not issubclass(made, aisbench.BaseAPIModel) or issubclass(made, aisbench.StockModel):
            return
        needed = ("_get_url", "get_request_body",
                  "parse_stream_response" if self._entry.get("stream") else "parse_text_response")
        missing = [name for name in needed if getattr(made, name) is getattr(ServiceBackend, name)]
        if missing:
            raise self._wrong("type", f"{made.__name__} has no {' and no '.join(missing)}: add it, as AISBench needs "
                              "it too, or derive the class from loadgen.ServiceBackend, which speaks OpenAI's dialect")

    def _backend(self) -> str:
        """Name the class as `--backend` would."""
        made = self._made
        if stock := made.__dict__.get("aisbench"):
            return aisbench.SERVICE[stock][0]
        for name, place in registry.names().items():
            if place == f"{made.__module__}:{made.__qualname__}":
                return name
        if "." in made.__qualname__:
            raise self._wrong("type", f"{made.__qualname__} is no class at the top of its file: move it there")
        own = made.__module__ == self._module.__name__
        return f"{self._path if own else sys.modules[made.__module__].__file__}:{made.__qualname__}"

    def _own(self) -> tuple[str, ...]:
        """Return what the class's own constructor takes beside the fields that all know."""
        common = {"self", "args", "kwargs", "options", *inspect.signature(ServiceBackend.__init__).parameters}
        return tuple(name for name in inspect.signature(self._made.__init__).parameters if name not in common)

    def _check_fields(self) -> None:
        own = self._own()
        known = (*OPTIONS, *SCORING, *own, "attr", "type", "abbr", "model", "model_name", "stream", "request_rate",
                 "traffic_cfg", "api_key", "url", "batch_size")
        for key, value in self._entry.items():
            if key in REFUSED and key not in own:
                if value:
                    raise self._wrong(key, REFUSED[key])
            elif key not in known:
                raise UsageError(f"{self._where}: unknown field {key!r}{nearest(key, known)}")
        kwargs = self._entry.get("generation_kwargs") or {}
        if not isinstance(kwargs, Mapping):
            raise self._wrong("generation_kwargs", "write dict(temperature=0.5, ...)")
        for key, reason in REFUSED_KWARGS.items():
            if kwargs.get(key) not in (None, 1):
                raise self._wrong(f"generation_kwargs.{key}", reason)

    def _stream(self) -> bool:
        forced = getattr(self._made, "streams", False)
        default = inspect.signature(self._made).parameters.get("stream")
        given = self._entry.get("stream", default.default if default is not None else True)
        if not isinstance(given, bool):
            raise self._wrong("stream", f"{given!r} is neither True nor False")
        return given or forced

    def _model_name(self) -> str:
        names = {self._text("model"), self._text("model_name")} - {""}
        if len(names) > 1:
            raise self._wrong("model_name", "it differs from `model`: leave one of them out")
        return names.pop() if names else ""

    def _load(self) -> dict[str, Any]:
        """Decide when requests are sent: evenly at request_rate, or all at once; batch_size is the most in flight."""
        rate = self._number("request_rate", 0.0, least=0)
        limit = self._number("batch_size", 0, whole=True, least=1)
        values: dict[str, Any] = {"load.retry": self._number("retry", 0, whole=True, least=0), "load.cooldown": False,
                                  "load.warmup": 0}
        burstiness = self._burstiness()
        if rate < ALL_AT_ONCE:
            return values | {"load.concurrency": limit or MOST_AT_ONCE}
        law = {0.0: "constant", 1.0: "poisson"}.get(burstiness, "gamma")
        if law == "gamma":
            values["load.burstiness"] = burstiness
        return values | {"load.rate": float(rate), "load.arrivals": law, "load.max_in_flight": limit}

    def _burstiness(self) -> float:
        """Read traffic_cfg: the shape of gamma gaps, 0 for even ones, which is also the default."""
        traffic = self._entry.get("traffic_cfg") or {}
        if not isinstance(traffic, Mapping):
            raise self._wrong("traffic_cfg", "write dict(burstiness=0.5)")
        for key in traffic:
            if key not in ("burstiness", *_SECTIONS):
                raise UsageError(f"{self._where}: unknown field 'traffic_cfg.{key}'"
                                 f"{nearest(key, ('burstiness', *_SECTIONS))}")
        if all(traffic.get(key) for key in _SECTIONS):
            raise self._wrong("traffic_cfg.ramp_up_strategy", "rates that grow within a run are not offered yet: make "
                              "a model for each rate, or leave it out")
        burstiness = traffic.get("burstiness") or 0
        if isinstance(burstiness, bool) or not isinstance(burstiness, int | float) or burstiness < 0:
            raise self._wrong("traffic_cfg.burstiness", f"{burstiness!r} is no number from 0 on")
        return float(burstiness)

    def _text(self, key: str) -> str:
        value = self._entry.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, f"{value!r} is no text")
        return (value or "").strip()

    def _number(self, key: str, default: Any, *, whole: bool = False, least: float = 0) -> Any:
        value = self._entry.get(key)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not least <= value < 1e9:
            raise self._wrong(key, f"{value!r} is no {'whole ' if whole else ''}number from {least:g} on")
        return value

    def _json(self, options: dict[str, Any]) -> dict[str, Any]:
        """Check that options can be written into plan.json, from which the run can be run again."""
        for key, value in options.items():
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                raise self._wrong(key, f"{value!r:.80} has no form in JSON, which a run is written down in") from None
        return options

    def _wrong(self, key: str, reason: str) -> UsageError:
        return UsageError(f"{self._where}: {key}: {reason}")
