"""Reads PKCS#11 URIs, by which tokens and the keys in them are named (RFC 7512)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from smimegw.errors import UsageError

_SCHEME = "pkcs11:"
_IGNORED = frozenset(
    ("manufacturer", "model", "library-manufacturer", "library-description", "library-version",
     "slot-manufacturer", "slot-description", "slot-id")
)  # fmt: skip
"""Attributes that only narrow down what token and serial say already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenURI:
    """What a URI says of token and object; empty where it says nothing.

    Attributes:
        token: The token's label.
        serial: The token's serial number.
        object: The object's label (CKA_LABEL).
        id: The object's CKA_ID.
        module: The PKCS#11 library (``module-path``).
    """

    token: str = ""
    serial: str = ""
    object: str = ""
    id: bytes = b""
    module: Path | None = None

    @classmethod
    def parse(cls, text: str) -> TokenURI:
        """Read a URI.

        Raises:
            UsageError: Not such a URI, or one with a PIN in it.
        """
        if not (text.startswith(_SCHEME) and text.isascii()):
            raise UsageError(f"{text!r} is not a PKCS#11 URI; one begins with {_SCHEME}, in ASCII")
        path, _, query = text.removeprefix(_SCHEME).partition("?")
        said: dict[str, bytes] = {}
        for part in (*path.split(";"), *query.split("&")):
            name, equals, value = part.partition("=")
            if not part or name in _IGNORED:
                continue
            if name in ("pin-value", "pin-source"):
                raise UsageError("a PKCS#11 URI here has no PIN; the configuration names it")
            if not equals or name in said:
                raise UsageError(f"the PKCS#11 URI names {name!r} without a value, or twice")
            said[name] = unquote_to_bytes(value)
        if said.pop("type", b"private") not in (b"private", b"secret-key"):
            raise UsageError("the PKCS#11 URI is of a certificate or public key, not of a key")
        try:
            uri = cls(
                token=said.pop("token", b"").decode(),
                serial=said.pop("serial", b"").decode(),
                object=said.pop("object", b"").decode(),
                id=said.pop("id", b""),
                module=Path(said.pop("module-path").decode()) if "module-path" in said else None,
            )
        except UnicodeDecodeError:
            raise UsageError("the PKCS#11 URI is not UTF-8") from None
        for name in said:
            raise UsageError(f"the PKCS#11 URI says {name!r}, which is not understood")
        return uri

    def __str__(self) -> str:
        said = [
            f"{name}={quote(value, safe='')}"
            for name, value in (
                ("token", self.token),
                ("serial", self.serial),
                ("object", self.object),
            )
            if value
        ]
        if self.id:
            said.append("id=" + "".join(f"%{octet:02X}" for octet in self.id))
        query = ""
        if self.module is not None:
            query = f"?module-path={quote(str(self.module), safe='/')}"
        return _SCHEME + ";".join(said) + query
