"""Floods against a gateway process at full size, as the usual tests cannot; prints what came of it.

python -m tests.storm slow          900 clients that send an octet each ten seconds (O03)
python -m tests.storm connections   5,000 connections a second for a minute (O07)
python -m tests.storm mutations     a million changed inputs in six states of a session (A26)
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from tests.attacks.test_smtp_attacks import STATES, WORDS
from tests.e2e.node import ALICE, BOB, Node, SinkThread
from tests.failpoints.client import Gone, send

_LIMITS = """sessions = 4000
sessions_per_peer = 4000
command_seconds = {seconds}
idle_seconds = {seconds}
relay_idle_seconds = {seconds}
"""
_ANSWER_SECONDS = 5.0
_HONEST = 4
_SHARE = 0.9  # of the messages that honest clients get through without the storm


def main() -> int:
    """Run it; 1 when the gateway did not stand it."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("storm", choices=sorted(_STORMS))
    parser.add_argument("--size", type=int, default=0, help="clients, a second, or inputs")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storm-") as name, SinkThread() as sink:
        more = _LIMITS.format(seconds=options.seconds)
        with Node(Path(name) / "node", sink.port, workers=1, more=more) as node:
            flaws = asyncio.run(_STORMS[options.storm](node, options))
            if node.events("internal.error"):
                flaws.append(f"an internal error: {node.events('internal.error')[0]}")
    for flaw in flaws:
        print(f"BROKEN: {flaw}")
    return 1 if flaws else 0


async def slow(node: Node, options: argparse.Namespace) -> list[str]:
    """They are dropped by their deadline; the honest hardly notice."""
    size = options.size or 900
    alone = await honest(node, options.seconds / 2)
    clients = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(size)]
    dripping = [asyncio.create_task(drip(*client)) for client in clients]
    beside = await honest(node, options.seconds / 2)
    done, late = await asyncio.wait(dripping, timeout=2.0 * options.seconds)
    for task in late:
        task.cancel()
    ended = sum(task.result() for task in done)
    print(f"{size} slow clients, {ended} told 421, {len(late)} not dropped")
    print(f"honest messages in {options.seconds / 2:g} s: {alone} alone, {beside} beside")
    flaws = [] if not late else [f"{len(late)} slow clients were not dropped"]
    return flaws + ([] if beside >= _SHARE * alone else ["honest clients were kept waiting"])


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send an octet each ten seconds until the end; whether that was told."""
    try:
        said = await reader.readline()
        while not said.startswith(b"421"):
            writer.write(b"E")
            try:
                async with asyncio.timeout(10):
                    said = await reader.readline()
            except TimeoutError:
                continue
            if not said:
                return False
        return True
    except OSError:
        return False
    finally:
        writer.close()


async def connections(node: Node, options: argparse.Namespace) -> list[str]:
    """Whatever was refused, five seconds later mail is taken as before."""
    rate = options.size or 5000
    opened = refused = 0
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        began = time.monotonic()
        found = await asyncio.gather(*(_touch(node.port) for _ in range(max(1, rate // 10))))
        opened += sum(found)
        refused += len(found) - sum(found)
        await asyncio.sleep(max(0.0, began + 0.1 - time.monotonic()))
    print(f"{opened / options.seconds:.0f} connections a second, {refused} refused by the system")
    over = time.monotonic()
    while (seconds := time.monotonic() - over) < 4 * _ANSWER_SECONDS:
        if await _message(node.port, "after") == 250:
            break
    print(f"a message was taken after {seconds:.1f} s")
    return [] if seconds <= _ANSWER_SECONDS else [f"no mail was taken for {seconds:.1f} s"]


async def _touch(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.transport.abort()
    return True


async def mutations(node: Node, options: argparse.Namespace) -> list[str]:
    """Each gets a reply or a close within five seconds."""
    count = options.size or 1_000_000
    chance = random.Random(options.seed)
    silent: list[str] = []
    for number in range(count):
        state = chance.choice(list(STATES))
        octets = b"".join(
            chance.choice(WORDS) if chance.random() < 0.9 else chance.randbytes(5)
            for _ in range(chance.randrange(1, 40))
        )
        if not await _answered(node.port, state, octets):
            silent.append(f"input {number} in state {state}: no answer to {octets[:200]!r}")
        if number % 10_000 == 0:
            print(f"{number} inputs, {len(silent)} without an answer", file=sys.stderr, flush=True)
            if node.events("internal.error"):
                return [*silent, f"an internal error within the inputs before {number}"]
            node._lines.clear()  # a million sessions have many lines
    print(f"{count} inputs, {len(silent)} without an answer")
    return silent


async def _answered(port: int, state: str, octets: bytes) -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                lines = "".join(f"{line}\r\n" for line in STATES[state]).encode()
                writer.write(lines + octets + b"\r\n.\r\nQUIT\r\nQUIT\r\nQUIT\r\n")
                writer.write_eof()
                while await reader.read(65536):
                    pass
            finally:
                writer.transport.abort()
    except TimeoutError:
        return False
    except OSError:  # closed while we were still sending
        return True
    return True


async def honest(node: Node, seconds: float) -> int:
    """How many messages a few clients get through in that time."""
    until = time.monotonic() + seconds

    async def client(number: int) -> int:
        taken = 0
        while time.monotonic() < until:
            taken += await _message(node.port, f"{number}.{taken}.{until}") == 250
        return taken

    return sum(await asyncio.gather(*(client(number) for number in range(_HONEST))))


async def _message(port: int, name: str) -> int:
    content = (
        f"From: {ALICE}\r\nTo: {BOB}\r\nMessage-ID: <{name}@ours.example>\r\n"
        "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nbody\r\n"
    ).encode()
    try:
        codes = await send(port, ALICE, [BOB], content, lmtp=False, seconds=20)
    except Gone:
        return 0
    return codes[BOB]


_Storm = Callable[[Node, argparse.Namespace], Coroutine[None, None, list[str]]]
_STORMS: dict[str, _Storm] = {"slow": slow, "connections": connections, "mutations": mutations}


if __name__ == "__main__":
    sys.exit(main())
