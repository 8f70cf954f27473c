"""Supervisor and worker understand each other, and neither waits for the other."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from smimegw.adapters.process.channel import (
    Order,
    order_octets,
    parse_report,
    read_order,
    write_failure,
)
from smimegw.config.load import load

SAMPLE = Path(__file__).resolve().parents[3] / "docs" / "smimegw.toml.sample"


def test_an_order_arrives_as_it_was_given() -> None:
    """Every key of the configuration passes, so that a file that was edited since is not read."""
    order = Order(worker=3, configuration=load(SAMPLE, check_files=False))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(order_octets(order))
        assert read_order(theirs) == order


def test_an_order_without_supervisor_is_none() -> None:
    """It died before it could say what to do."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"\0\0\1\0half")
        ours.close()
        with pytest.raises(EOFError):
            read_order(theirs)


def test_the_last_word_arrives() -> None:
    """Why a worker had to end, and with which exit code."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        write_failure(theirs, "state directory\nis not ours", 2)
        report = parse_report(ours.recv(4096))
    assert (report.what, report.text, report.code) == ("failed", "state directory\nis not ours", 2)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'"beat"', b'{"what": 1, "who": 2}'])
def test_what_is_no_report_is_refused(line: bytes) -> None:
    """A library that prints on the wrong descriptor must not confuse the supervisor."""
    with pytest.raises(ValueError):
        parse_report(line)
