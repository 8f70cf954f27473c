"""What stands between source and sink: our gateway, and what it is compared with."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.amavis import INSTALL, Amavis, program
from tests.bench.cast import cast_of
from tests.bench.gateway import BenchGateway
from tests.bench.sink import CountingSink, with_sbin
from tests.peers.postfix import Postfix

KEY = "RSA-2048"


@dataclass(frozen=True, slots=True)
class Middle:
    """What stands between source and sink: a port, and a process whose time is counted."""

    port: int
    pid: int = 0


@contextlib.contextmanager
def nothing(sink: CountingSink) -> Iterator[Middle]:
    """The load generator's own limit."""
    yield Middle(sink.port)


@contextlib.contextmanager
def one_worker(sink: CountingSink) -> Iterator[Middle]:
    """Our gateway, signing and encrypting, one process."""
    with BenchGateway(cast_of(KEY), sink.port) as gateway:
        yield Middle(gateway.relay, gateway.pid)


@contextlib.contextmanager
def two_workers(sink: CountingSink) -> Iterator[Middle]:
    """Our gateway with two worker processes."""
    with BenchGateway(cast_of(KEY), sink.port, workers=2) as gateway:
        yield Middle(gateway.relay, gateway.pid)


_TUNED = {
    "smtpd_client_connection_rate_limit": "0",
    "smtpd_client_connection_count_limit": "0",
    "default_destination_concurrency_limit": "50",
    "initial_destination_concurrency": "50",
    "default_process_limit": "200",
}


@contextlib.contextmanager
def postfix(sink: CountingSink) -> Iterator[Middle]:
    """Postfix passing on, its queue on disk."""
    with Postfix("ours.example", relayhost=sink.port, settings=_TUNED) as server:
        yield Middle(server.smtp_port, server.pid)


@contextlib.contextmanager
def script(sink: CountingSink) -> Iterator[Middle]:
    """Postfix handing each message to `openssl cms` by pipe(8), as how-tos show it."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        signer, key, reader, _, _ = map(str, cast_of(KEY).write(place))
        streamed = "-binary -stream -crlfeol"
        (place / "filter.sh").write_text(
            "#!/bin/sh\n"
            f"openssl cms -sign {streamed} -signer {signer} -inkey {key} |"
            f" openssl cms -encrypt {streamed} -aes-256-cbc {reader} |"
            f' curl -s --mail-from "$1" --mail-rcpt "$2" -T - smtp://127.0.0.1:{sink.port}/bench\n'
        )
        (place / "filter.sh").chmod(0o755)
        service = (
            f"cms unix - n n - {2 * (os.cpu_count() or 1)} pipe"
            f" flags=q user=nobody argv={place}/filter.sh ${{sender}} ${{recipient}}"
        )
        for file in place.iterdir():
            file.chmod(0o755)  # for user nobody; a key of this measurement only
        settings = {**_TUNED, "default_transport": "cms:", "cms_destination_recipient_limit": "1"}
        with Postfix("ours.example", settings=settings, services=[service]) as server:
            yield Middle(server.smtp_port, server.pid)


@contextlib.contextmanager
def amavis(sink: CountingSink) -> Iterator[Middle]:
    """amavisd-new passing on, every check off."""
    with Amavis(sink.port) as server:
        yield Middle(server.port, server.pid)


MIDDLES: dict[str, Callable[[CountingSink], contextlib.AbstractContextManager[Middle]]] = {
    "direct": nothing,
    "Postfix": postfix,
    "Postfix + script": script,
    "amavisd-new": amavis,
    "smimegw, 1 process": one_worker,
    "smimegw, 2 workers": two_workers,
}

_ALL = ("5 KB", "50 KB", "25 MB")
SIZES_OF = dict.fromkeys(MIDDLES, _ALL) | {"Postfix + script": _ALL[:2]}


def obtainable() -> list[str]:
    """The middles whose programs are installed; says what is missing."""
    if program() is None:
        print(f"amavisd-new is left out, it is not installed: {INSTALL}", flush=True)
        return [name for name in MIDDLES if name != "amavisd-new"]
    return list(MIDDLES)


def needed() -> None:
    """Say what is missing before anything is started."""
    for name in ("smtp-source", "smtp-sink", "cc", "openssl", "curl"):
        if shutil.which(name, path=with_sbin()["PATH"]) is None:
            raise SystemExit(f"{name} is not installed; run `make peers`")
    assert Path("/proc/self/stat").exists()
