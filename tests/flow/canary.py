"""Looks for a secret in what left the gateway, in every form that a reader could undo."""

from __future__ import annotations

import base64
import quopri


def is_readable(secret: bytes, content: bytes) -> bool:
    """Whether *secret* stands in *content*: plain, base64 in any alignment, quoted-printable."""
    forms = [secret, quopri.encodestring(secret)]
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + secret)
        forms.append(encoded[4:-4])
    flat = content.replace(b"\r\n", b"")
    return any(form in flat for form in forms)
