"""Serial numbers: drawn so that none is used twice, written, and found by their beginning.

They are random and positive (RFC 5280, 4.1.2.2).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence

from pki.errors import LedgerError, UnknownSerialError
from smimegw.errors import UsageError

_TRIES = 5
_DIGITS_MIN = 4  # of an abbreviated serial number
_HEXADECIMAL = "0123456789ABCDEF"


def serial_text(serial: int) -> str:
    """Return a serial number as OpenSSL prints it: hexadecimal, upper case, whole octets."""
    text = f"{serial:X}"
    return text if len(text) % 2 == 0 else "0" + text


def unused(used: set[str], drawn: Sequence[int], draw_serial: Callable[[], int]) -> int:
    """Draw a serial number that is neither in *used* nor in *drawn*.

    Raises:
        LedgerError: The source of serial numbers repeats itself.
    """
    for _ in range(_TRIES):
        serial = draw_serial()
        if serial > 0 and serial_text(serial) not in used and serial not in drawn:
            return serial
    raise LedgerError(
        "The random serial numbers repeat, so this machine's randomness is broken. "
        "Do not issue anything here; look at the virtual machine's random device."
    )


def find(serials: Collection[int], text: str) -> int:
    """Return the one of *serials* that is or begins with *text*.

    Raises:
        UnknownSerialError: None does; the text names the nearest.
        UsageError: Several do.
    """
    exact = _serial_number(text)
    if exact in serials:
        return exact
    known = {serial_text(serial): serial for serial in serials}
    wanted = _digits(text)
    if wanted and len(wanted) < _DIGITS_MIN and not wanted.strip(_HEXADECIMAL):
        raise UsageError(
            f"{text!r} is too short for a serial number. Give {_DIGITS_MIN} digits or more."
        )
    if len(wanted) >= _DIGITS_MIN:
        beginning = [serial for serial in known if serial.startswith(wanted)]
        if len(beginning) == 1:
            return known[beginning[0]]
        if beginning:
            raise UsageError(
                f"{text!r} fits {len(beginning)} certificates: {', '.join(beginning[:3])}. "
                "Give more digits."
            )
    beginnings = {serial[: max(len(wanted), _DIGITS_MIN)]: serial for serial in known}
    near = difflib.get_close_matches(wanted, beginnings, n=1)
    hint = f"Did you mean {beginnings[near[0]]}?" if near else "See them with: smimegw-ca list"
    raise UnknownSerialError(f"This CA issued no certificate with serial number {text!r}. {hint}")


def _serial_number(text: str) -> int:
    try:
        return int(_digits(text), 16)
    except ValueError:
        return 0


def _digits(text: str) -> str:
    return text.replace(":", "").replace(" ", "").upper().removeprefix("0X")
