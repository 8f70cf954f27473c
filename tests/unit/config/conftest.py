"""A good configuration to break one thing in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOOD = """\
version = 1
[gateway]
hostname = "gw.corp.example"
internal_domains = ["corp.example"]
[listener.relay]
address = "127.0.0.1:10025"
peers = ["192.0.2.10"]
[listener.mx]
address = "127.0.0.1:10035"
[next_hop.out]
address = "127.0.0.1:10026"
protocol = "lmtp"
[next_hop.in]
address = "mail.corp.example:25"
tls = { mode = "verify" }
[[directory]]
name = "staff"
kind = "ldap"
url = "ldaps://ldap.corp.example"
base = "ou=people,dc=corp,dc=example"
deadline = "2s"
[policies]
path = "policies"
[log]
format = "postfix"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write the main file and drop-ins; returns the main file."""

    def write_files(text: str = GOOD, **drop_ins: str) -> Path:
        (tmp_path / "policies").mkdir(exist_ok=True)
        path = tmp_path / "smimegw.toml"
        path.write_text(text, encoding="utf-8")
        folder = tmp_path / "smimegw.toml.d"
        folder.mkdir(exist_ok=True)
        for name, content in drop_ins.items():
            (folder / f"{name}.toml").write_text(content, encoding="utf-8")
        return path

    return write_files
