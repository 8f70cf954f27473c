"""Adds up what several worker processes say on /metrics, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# A gauge of the node is not the sum of its workers': one that fails is what somebody must see.
_LEAST = (
    "smimegw_build_info",
    "smimegw_config_last_reload_successful",
    "smimegw_config_last_reload_success_timestamp_seconds",
    "smimegw_directory_up",
)
_MOST = ("smimegw_event_loop_lag_seconds", "smimegw_shadow")
_COUNTED = ("counter", "histogram", "summary")


@dataclass(slots=True)
class _Family:
    """One metric with its samples."""

    name: str
    help: str = ""
    kind: str = "untyped"
    samples: dict[str, float] = field(default_factory=dict)

    @property
    def join(self) -> Callable[[float, float], float]:
        """How samples of two processes become one."""
        if self.name in _LEAST or self.name.endswith("_created"):
            return min
        return max if self.name in _MOST else float.__add__


def summed(expositions: Iterable[str], *, without: Iterable[str] = ()) -> str:
    """One exposition out of several.

    Args:
        expositions: Of one process each.
        without: Names of metrics that are left out.
    """
    total: dict[str, _Family] = {}
    for text in expositions:
        for name, family in _parse(text).items():
            into = total.setdefault(name, _Family(name, family.help, family.kind))
            for key, value in family.samples.items():
                known = into.samples.get(key)
                into.samples[key] = value if known is None else into.join(known, value)
    return _written(family for name, family in total.items() if name not in without)


def counted(exposition: str) -> str:
    """What stays true of a process that has ended: its counters, not its gauges.

    Added to those of its successor they go on; a counter that falls would be taken for a restart
    of the whole node, and everything before would be counted twice.
    """
    return _written(f for f in _parse(exposition).values() if f.kind in _COUNTED)


def _parse(text: str) -> dict[str, _Family]:
    families: dict[str, _Family] = {}
    current = _Family("")
    for line in text.splitlines():
        if line.startswith(("# HELP ", "# TYPE ")):
            _, word, name, rest = (*line.split(" ", 3), "")[:4]
            current = families.setdefault(name, _Family(name))
            if word == "HELP":
                current.help = rest
            else:
                current.kind = rest
        elif line and not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            current.samples[key] = float(value)
    return families


def _written(families: Iterable[_Family]) -> str:
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines += [f"{key} {value!r}" for key, value in family.samples.items()]
    return "".join(f"{line}\n" for line in lines)
