"""What a predictor host's replies must hold: see ``docs/host-protocol.md``.

A host runs code of others, in an interpreter of others. A reply that lacks something, or holds another type, would be a
traceback far from its cause, or a wrong number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _texts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _failed_batch(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _count(value.get("start"))
        and _count(value.get("stop"))
        and value["start"] <= value["stop"]
        and _text(value.get("message"))
    )


def _layer(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _text(value.get("name"))
        and all(key in value for key in ("kind", "seconds", "shape", "memory"))
        and _or_null(_number)(value["seconds"])
        and _or_null(_list_of(_number))(value["shape"])
        and _or_null(_number)(value["memory"])
    )


_WARM_UP: Mapping[str, Check] = {
    "tensors": _list_of(_mapping),
    "call_path": _text,
    "warmup_calls": _count,
    "warmup_seconds": _number,
    "warmup_reason": _text,
}
_FIELDS: Mapping[str, Mapping[str, Check]] = {
    "start": {
        "version": _text,
        "build": _texts_by_name,
        "python": _text,
        "libraries": _texts_by_name,
        "devices": _or_null(_list_of(_text)),
        "resident": _or_null(_count),
        "cpus": _or_null(_list_of(_count)),
    },
    "load": {"seconds": _number, "resolved": _mapping},
    "predict": {"tensors": _list_of(_mapping), "errors": _list_of(_failed_batch), "seconds": _number},
    "measure": {
        **_WARM_UP,
        "window_seconds": _number,
        "stop_reason": _text,
        "relative_error": _or_null(_number),
        "peak_memory": _or_null(_count),
        "rows_per_sample": _count,
        "sensors": _list_of(_mapping),
    },
    "open_blocks": {**_WARM_UP, "call_seconds": _number},
    "block": {"tensors": _list_of(_mapping), "peak_memory": _or_null(_count)},
    "open_server": {**_WARM_UP, "sizes": _list_of(_count), "call_seconds": _list_of(_number)},
    "serve": {
        "tensors": _list_of(_mapping),
        "queries": _count,
        "unanswered": _count,
        "last_arrival_seconds": _number,
        "window_seconds": _number,
        "peak_memory": _or_null(_count),
        "sensors": _list_of(_mapping),
    },
    "loadgen": {"tensors": _list_of(_mapping), "summary": _text},
    "layers": {"layers": _list_of(_layer), "unprofiled_median": _number},
    "outputs": {"tensors": _list_of(_mapping)},
    "unload": {"resident": _or_null(_count)},
}
_NULL_WHEN_ABSENT = frozenset({"devices", "resident", "cpus"})
"""Fields of which older hosts say nothing."""
_TENSORS: Mapping[str, tuple[str, ...]] = {
    "measure": ("samples_ns",),
    "block": ("samples_ns",),
    "serve": ("samples_ns", "queued_ns", "scheduled_ns", "noticed_late_ns", "batch_sizes"),
    "loadgen": ("scheduled_ns", "issue_delay_ns", "latency_ns"),
}


def unreadable(operation: str, reply: Mapping[str, Any]) -> str | None:
    """What is wrong with a reply to an operation; ``None`` when it can be read.

    >>> unreadable("unload", {"resident": "much"})
    "its 'resident' is not as the protocol says"
    >>> unreadable("predict", {"error": "boo"})
    "its 'error' is not a JSON object with a kind and a message"
    """
    if "error" in reply:
        return _wrong_error(reply["error"])
    for name, check in _FIELDS.get(operation, {}).items():
        if name not in reply and name not in _NULL_WHEN_ABSENT:
            return f"it has no {name!r}"
        if not check(reply.get(name)):
            return f"its {name!r} is not as the protocol says"
    names = {place.get("name") for place in reply.get("tensors", ()) if _text(place.get("name"))}
    missing = [name for name in _TENSORS.get(operation, ()) if name not in names]
    return f"it has no tensor {missing[0]!r}" if missing else None


def _wrong_error(error: Any) -> str | None:
    if not isinstance(error, dict) or not _text(error.get("kind")) or not _text(error.get("message")):
        return "its 'error' is not a JSON object with a kind and a message"
    if error["kind"] not in ("unsupported", "exception"):
        return f"its error is of the kind {error['kind']!r:.40}; allowed: unsupported, exception"
    if not _or_null(_text)(error.get("traceback")):
        return "its error's traceback is not text"
    return None
