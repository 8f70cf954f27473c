"""The configuration that the manual shows for several nodes, with our addresses instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_MANUAL = Path(__file__).resolve().parents[2] / "docs" / "operation.md"
_BALANCER = "192.0.2.20"
_NODE = "192.0.2.{}"
_FIRST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePorts:
    """Where one node listens on the loopback address."""

    relay: int
    mx: int
    status: int


def block(language: str) -> str:
    """The one block of the section that is marked with *language*."""
    section = _MANUAL.read_text("utf-8").split("\n## Several nodes\n")[1].split("\n## ")[0]
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(text)


def balancer(nodes: list[NodePorts], *, relay: int, mx: int) -> str:
    """HAProxy's configuration, with as many servers as there are *nodes*."""
    text = _replaced(
        block("haproxy"), {f"{_BALANCER}:10025": _here(relay), f"{_BALANCER}:25": _here(mx)}
    )
    lines = []
    for line in text.splitlines():
        server = re.match(r" +server gw(\d) ", line)
        if not server:
            lines.append(line)
        elif int(server[1]) <= len(nodes):
            node, shown = nodes[int(server[1]) - 1], _NODE.format(_FIRST + int(server[1]) - 1)
            places = {f"{shown}:10025": _here(node.relay), f"{shown}:10035": _here(node.mx)}
            [place] = [place for place in places if place in line]
            lines.append(_replaced(line, {place: places[place], "9464": str(node.status)}))
    return "\n".join(lines) + "\n"


def drop_in(node: NodePorts, others: Iterable[tuple[str, str]]) -> str:
    """The file that makes a gateway one of several; *others* are further texts and ours."""
    shown = _NODE.format(_FIRST)
    places = {
        f"{shown}:10025": _here(node.relay),
        f"{shown}:10035": _here(node.mx),
        f"{shown}:9464": _here(node.status),
        _BALANCER: "127.0.0.1",
        "192.0.2.10": "127.0.0.1",
    }
    return _replaced(block("toml several-nodes"), {**places, **dict(others)})


def _here(port: int) -> str:
    return f"127.0.0.1:{port}"


def _replaced(text: str, places: dict[str, str]) -> str:
    for shown, ours in places.items():
        assert shown in text, f"the manual does not say {shown!r} any more"
        text = text.replace(shown, ours)
    return text
