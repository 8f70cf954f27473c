"""What a listener is for: it decides who may come and in which direction mail goes."""

from __future__ import annotations

from enum import StrEnum


class ListenerRole(StrEnum):
    """What a listener is for."""

    SUBMISSION = "submission"  # users' clients: AUTH and TLS, the sender must own the From address
    RELAY = "relay"  # the corporate server with the gateway as smarthost or content filter
    MX = "mx"  # mail from outside, towards the corporate server
