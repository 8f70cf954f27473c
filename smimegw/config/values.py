"""Values of configuration keys that are more than text: endpoints, networks, durations, secrets."""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, NewType

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, ConfigurationError, Problem
from smimegw.regular_files import SECRET_OCTETS, read_regular
from smimegw.toml.structure import FaultError, did_you_mean, show

IPNetwork = IPv4Network | IPv6Network

Domain = NewType("Domain", str)
SHA256 = NewType("SHA256", str)  # hexadecimal, lower case

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_SECRET_KINDS = ("credential", "file", "env")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port; port 0 lets the system choose one (listeners only)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret stands; never the secret itself.

    Attributes:
        kind: ``credential`` (systemd's LoadCredential=), ``file`` or ``env``.
        name: Credential name, path or variable name.
    """

    kind: str
    name: str

    @property
    def path(self) -> Path | None:
        """The file that holds it; None for an environment variable."""
        if self.kind == "credential":
            return Path(os.environ.get("CREDENTIALS_DIRECTORY", "/run/credentials")) / self.name
        return Path(self.name) if self.kind == "file" else None

    def read_text(self) -> str:
        """Return a password: UTF-8, less the line end that editors add.

        Raises:
            ConfigurationError: It cannot be read, is empty or is not UTF-8.
        """
        try:
            return self.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise self._error("is not UTF-8 text") from None

    def read(self) -> bytes:
        """Return the octets as they stand.

        Raises:
            ConfigurationError: It cannot be read, or is empty.
        """
        path = self.path
        if path is None:
            octets = os.environb.get(self.name.encode(), b"")
        else:
            try:
                octets = read_regular(path, SECRET_OCTETS)
            except OSError as error:
                hint = ""
                if self.kind == "credential" and "CREDENTIALS_DIRECTORY" not in os.environ:
                    hint = "; systemd's credentials exist only inside the unit"
                raise self._error(f"cannot be read: {error.strerror}{hint}") from None
        if not octets.rstrip(b"\r\n"):
            raise self._error("is empty or not set")
        return octets

    def _error(self, what: str) -> ConfigurationError:
        place = str(self.path or f"environment variable {self.name}")
        message = f"{what}  (secret named by {self})"
        return ConfigurationError((Problem(file=place, line=None, key="", message=message),))

    def __str__(self) -> str:
        return f'{{ {self.kind} = "{self.name}" }}'


def endpoint(value: Any, _: Any = None) -> Endpoint:
    """Read ``host:port``; IPv6 addresses stand in brackets."""
    advice = 'Write "127.0.0.1:10025", "[::1]:10025" or "mail.example:25"'
    if not isinstance(value, str):
        raise FaultError(f"{show(value)} is not host:port.  {advice}")
    host, colon, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        valid = ":" in host and _is_address(host)
    else:
        valid = _HOST.fullmatch(host) is not None and (
            not host.replace(".", "").isdigit() or _is_address(host)
        )
    if not colon or not valid:
        raise FaultError(f"{show(value)} is not host:port.  {advice}")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise FaultError(f"{show(value)} has no port between 1 and 65535.  {advice}")
    return Endpoint(host, int(port))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an IP address, is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network(value: Any, _: Any = None) -> IPNetwork:
    """Read an IP address or a network in CIDR form."""
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError as error:
        hint = "  Host bits are set; did you mean the network?" if "host bits" in str(error) else ""
        advice = '  Write "192.0.2.10", "192.0.2.0/24" or "2001:db8::/32"'
        message = f"{show(value)} is not an IP address or network.{hint}{advice}"
        raise FaultError(message) from None


def duration(value: Any, _: Any = None) -> timedelta:
    """Read ``500ms``, ``2s``, ``5m``, ``72h``, ``30d``, ``2w``."""
    advice = 'Write "2s", "500ms", "5m", "1h", "30d"'
    if not isinstance(value, str):
        raise FaultError(f"{show(value)} has no unit.  {advice}")
    match = _DURATION.fullmatch(value)
    if not match:
        unitless = value.replace(".", "", 1).isdigit()
        what = "has no unit" if unitless else "is not a duration"
        raise FaultError(f"{show(value)} {what}.  {advice}")
    try:
        return timedelta(seconds=float(match[1]) * _UNIT_SECONDS[match[2]])
    except OverflowError:
        raise FaultError(f"{show(value)} is too long.  {advice}") from None


def write_duration(value: timedelta) -> str:
    """Write a duration with the largest unit that fits exactly."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNIT_SECONDS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def secret(value: Any, _: Any = None) -> Secret:
    """Read ``{ credential = … }``, ``{ file = … }`` or ``{ env = … }``."""
    forms = 'Write { credential = "name" }, { file = "/path" } or { env = "NAME" }'
    if not isinstance(value, dict):
        # The value is not shown: it may be the secret itself.
        raise FaultError(f"a secret never stands in this file itself.  {forms}")
    unknown = [key for key in value if key not in _SECRET_KINDS]
    if unknown:
        hint = did_you_mean(unknown[0], _SECRET_KINDS)
        raise FaultError(f"unknown key.{hint}  Allowed keys: credential, file, env", (unknown[0],))
    if len(value) != 1:
        raise FaultError(f"exactly one source is needed.  {forms}")
    ((kind, name),) = value.items()
    if not isinstance(name, str) or not name or "\0" in name:
        raise FaultError(f"not a name.  {forms}", (kind,))
    if kind == "credential" and "/" in name:
        raise FaultError("a credential has a plain name, not a path.  Use { file = … }", (kind,))
    return Secret(kind, name)


def sha256(value: Any, _: Any = None) -> SHA256:
    """Read a SHA-256 value: hexadecimal, also with colons and ``sha256:`` before it, or base64."""
    text = value.strip() if isinstance(value, str) else ""
    text = re.sub(r"(?i)\Asha-?256(?::|//)", "", text)
    digits = text.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        return SHA256(digits)
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) != 32:
        raise FaultError(f"{show(value)} is not a SHA-256 value: 64 hexadecimal digits or base64")
    return SHA256(octets.hex())


def domain(value: Any, _: Any = None) -> Domain:
    """Read a domain name into A-label form, lower case."""
    text = value if isinstance(value, str) and not value.startswith("[") else ""
    try:
        return Domain(Mailbox.parse(f"x@{text}").domain)
    except AddressError as error:
        message = f'{show(value)} is not a domain: {error}.  Write "corp.example"'
        raise FaultError(message) from None
