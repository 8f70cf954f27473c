"""The AUTH exchange of one session: PLAIN and LOGIN down to a user and a password (RFC 4954)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from smimegw.errors import CommandError
from smimegw.smtp.login import Login

MECHANISMS = ("PLAIN", "LOGIN")
RESPONSE_OCTETS = 12288  # RFC 4954, 4: longest line of an exchange

_CREDENTIAL_OCTETS = 1024
_USER_PROMPT = b"VXNlcm5hbWU6"  # "Username:", what clients of LOGIN look for
_PASSWORD_PROMPT = b"UGFzc3dvcmQ6"

Challenge = Callable[[bytes], Awaitable[bytes]]


async def read_login(argument: bytes, challenge: Challenge) -> Login:
    """Carry the exchange that ``AUTH`` *argument* begins to its end.

    Args:
        argument: Mechanism and perhaps an initial response.
        challenge: Sends a 334 with the given base64 text and returns the client's next line.

    Raises:
        CommandError: Unknown mechanism, malformed or cancelled.
    """
    mechanism, _, initial = argument.partition(b" ")
    match mechanism.upper():
        case b"PLAIN":
            return _plain(_decoded(initial or await challenge(b"")))
        case b"LOGIN":
            user = _decoded(initial or await challenge(_USER_PROMPT))
            return _login(user, _decoded(await challenge(_PASSWORD_PROMPT)))
        case _:
            raise CommandError(504, "5.5.4", "mechanism not supported")


def _plain(message: bytes) -> Login:
    # RFC 4616, 2: [authzid] NUL authcid NUL passwd
    parts = message.split(b"\0")
    if len(parts) != 3:
        raise CommandError(501, "5.5.2", "malformed AUTH response")
    acts_as, user, password = parts
    if acts_as not in {b"", user}:
        raise CommandError(535, "5.7.8", "acting as somebody else is not possible")
    return _login(user, password)


def _login(user: bytes, password: bytes) -> Login:
    if not user or not password or max(len(user), len(password)) > _CREDENTIAL_OCTETS:
        raise CommandError(501, "5.5.2", "malformed AUTH response")
    try:
        login = Login(user.decode("utf-8"), password.decode("utf-8"))
    except UnicodeDecodeError:
        raise CommandError(501, "5.5.2", "AUTH response is not UTF-8") from None
    if not login.user.isprintable() or "\0" in login.password:
        raise CommandError(501, "5.5.2", "malformed AUTH response")
    return login


def _decoded(response: bytes) -> bytes:
    if response == b"*":  # RFC 4954, 4
        raise CommandError(501, "5.7.0", "AUTH cancelled")
    if response == b"=":  # an empty initial response
        return b""
    try:
        return base64.b64decode(response, validate=True)
    except (binascii.Error, ValueError):
        raise CommandError(501, "5.5.2", "malformed base64") from None
