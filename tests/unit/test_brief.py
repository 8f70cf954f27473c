"""What is done on the event loop, and what in a worker thread."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from smimegw.adapters.pool.worker import ThreadWorkers
from smimegw.cms.keys import SigningCredential, is_quick
from smimegw.pipeline.brief import BRIEF_OCTETS, brief, with_keys
from tests.fakes.pki import make_ca
from tests.fakes.smime import signer

ISSUED = {
    kind: make_ca("Root").issue("alice@ours.example", key=kind) for kind in ("p256", "rsa2048")
}
HERE = threading.main_thread().name


class TokenKey:
    """A key that is elsewhere: asking it may block."""

    def sign(self, *_: Any) -> bytes:
        raise NotImplementedError


def place_of(octets: int, keys: tuple[SigningCredential, ...] | None = None) -> str:
    """The name of the thread that did the work."""

    async def run() -> str:
        workers = ThreadWorkers(1)
        ports: Any = SimpleNamespace(workers=workers)
        try:
            if keys is None:
                return (await brief(ports, octets, threading.current_thread)).name
            return (await with_keys(keys, ports, octets, threading.current_thread)).name
        finally:
            await workers.close()

    return asyncio.run(run())


def test_little_is_done_where_it_is() -> None:
    """A thread would cost more than the work."""
    assert place_of(BRIEF_OCTETS) == HERE


def test_much_is_done_in_a_thread() -> None:
    """Others are answered meanwhile (O11)."""
    assert place_of(BRIEF_OCTETS + 1) != HERE


@pytest.mark.parametrize("kind", sorted(ISSUED))
def test_a_quick_key_is_used_where_the_work_is(kind: str) -> None:
    """P-256 and RSA-2048 in memory take a millisecond or less."""
    credential = signer(ISSUED[kind])
    assert is_quick(credential.key)
    assert place_of(1000, (credential,)) == HERE


def test_a_key_elsewhere_is_asked_in_a_thread() -> None:
    """A token or an agent may block, however small the message."""
    quick = signer(ISSUED["p256"])
    token: Any = TokenKey()
    slow = SigningCredential(quick.certificate, quick.chain, token)
    assert place_of(1000, (slow,)) != HERE


def test_many_keys_are_used_in_a_thread() -> None:
    """A message with many copies is signed as often."""
    assert place_of(1000, (signer(ISSUED["p256"]),) * 3) != HERE
