"""A real PKCS#11 token: SoftHSM in a directory of its own.

The library reads SOFTHSM2_CONF once per process, so all tests of a process share one place for
tokens, and each makes tokens of its own there.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pkcs11 import TokenFlag

from smimegw.adapters.pkcs11.module import load
from smimegw.adapters.pkcs11.token import Token, TokenSettings

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "271828"
_SO_PIN = b"31415926"


@functools.cache
def home() -> Path:
    """The place of this process's tokens; children find it by the same variable."""
    path = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    (path / "tokens").mkdir(mode=0o700)
    configuration = path / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {path / 'tokens'}\nobjectstore.backend = file\n"
        "log.level = ERROR\nslots.removable = false\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    return path


@dataclass(frozen=True, slots=True)
class SoftToken:
    """A token that was made for one test."""

    label: str

    def settings(self, pin: Callable[[], str] = lambda: PIN, sessions: int = 4) -> TokenSettings:
        """How to open it."""
        return TokenSettings(module=MODULE, label=self.label, pin=pin, sessions=sessions)

    def open(self, pin: Callable[[], str] = lambda: PIN) -> Token:
        """The token as the gateway opens it."""
        return Token(self.settings(pin))


def make_token(label: str = "") -> SoftToken:
    """Initialise a new token, from within: SoftHSM looks for tokens only when it is loaded."""
    label = label or f"test-{secrets.token_hex(4)}"
    home()
    (free, *_) = [
        slot
        for slot in load(MODULE).get_slots()
        if TokenFlag.TOKEN_INITIALIZED not in slot.get_token().flags
    ]
    functions = ctypes.CDLL(str(MODULE))
    padded = label.encode().ljust(32)
    result = functions.C_InitToken(ctypes.c_ulong(free.slot_id), _SO_PIN, len(_SO_PIN), padded)
    assert result == 0, hex(result)
    with contextlib.closing(free.get_token().open(rw=True, so_pin=_SO_PIN.decode())) as session:
        session.init_pin(PIN)
    load(MODULE).get_slots()  # makes the next free slot
    return SoftToken(label)
