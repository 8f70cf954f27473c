"""One bound LDAP connection: TLS that is always verified, no referrals, errors in plain words.

Everything here blocks and belongs into a thread; `client` brings it into the event loop.
"""

from __future__ import annotations

import contextlib
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import ldap3
from ldap3.core import results
from ldap3.core.exceptions import LDAPExceptionError

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.bounded import BoundedSocket, BoundedTLSSocket
from smimegw.adapters.ldap.faults import FAILURES, advice_for, explain
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.errors import DirectoryError, SmimegwError


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of an answer; attribute names in lower case, without ``;binary`` and the like."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


NO_ENCRYPTION = "smimegwNoEncryption"


def says_no_encryption(entry: Entry) -> bool:
    """Whether nobody shall encrypt to the certificates of *entry* (ldap-schema/README.md)."""
    values = entry.attributes.get(NO_ENCRYPTION.lower(), ())
    return any(value.upper() == b"TRUE" for value in values)  # RFC 4517, 3.3.3


class LDAPConnection:
    """A connection to one server, bound; for one thread at a time."""

    def __init__(self, raw: ldap3.Connection, server: LDAPServer, answer_octets: int) -> None:
        self.raw = raw
        self.server = server
        self.answer_octets = answer_octets
        self.broken = False

    @classmethod
    def open(
        cls, server: LDAPServer, settings: LDAPSettings, attempt: Attempt, *, writing: bool = False
    ) -> Self:
        """Connect, secure and bind.

        Raises:
            DirectoryError: Any step failed; the text names the server and what to do.
        """
        timeout = attempt.remaining()
        try:
            tls = _StrictTLS(settings.ca, server.host, attempt)
        except (OSError, ssl.SSLError) as error:
            text = f"cannot read the CA file {settings.ca}: {error}; correct `ca`"
            raise DirectoryError(text, server=str(server), retryable=False) from error
        raw = _unopened(server, settings, tls, timeout, writing=writing)
        attempt.watch(raw)
        connection = cls(raw, server, settings.answer_octets)
        try:
            connection._secure_and_bind(settings, attempt)
        except BaseException:
            connection.close()
            raise
        return connection

    def search(
        self,
        base: str,
        search_filter: str,
        attributes: Sequence[str],
        attempt: Attempt,
        *,
        size_limit: int,
    ) -> tuple[Entry, ...]:
        """Return the entries below *base* that match.

        Raises:
            DirectoryError: No complete answer, whatever the cause; `broken` says whether the
                connection is to blame.
        """
        with translated(self, attempt):
            self.raw.search(
                base,
                search_filter,
                search_scope=ldap3.SUBTREE,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                size_limit=size_limit,
                time_limit=math.ceil(attempt.remaining()),
            )
        self.check_result(f"search below {base!r}")
        found: list[dict[str, Any]] = self.raw.response or []
        entries = tuple(_entry(item) for item in found if item["type"] == "searchResEntry")
        if not entries and any(item["type"] == "searchResRef" for item in found):
            text = (
                f"{self.server} answered only with references to other servers, which are never "
                "followed; let `base` be a part of the tree that it holds itself"
            )
            raise DirectoryError(text, server=str(self.server))
        return entries

    def check_result(self, operation: str, *also_good: int) -> int:
        """Return the result code of the last operation if it is success or one of *also_good*.

        Raises:
            DirectoryError: Any other code.
        """
        code: int = self.raw.result["result"]
        if code == results.RESULT_SUCCESS or code in also_good:
            return code
        description = self.raw.result["description"]
        detail = str(self.raw.result.get("message") or "").strip()
        reason = f"{description} ({detail})" if detail else description
        text = f"{self.server} refused the {operation}: {reason}; {advice_for(code)}"
        raise DirectoryError(text, server=str(self.server))

    def close(self) -> None:
        """Close without waiting for the server; never raises."""
        raw_socket = self.raw.socket
        with contextlib.suppress(LDAPExceptionError, OSError):
            self.raw.strategy.close()
        if raw_socket is not None:
            raw_socket.close()  # the library forgets it when opening or TLS failed

    def _secure_and_bind(self, settings: LDAPSettings, attempt: Attempt) -> None:
        with translated(self, attempt):
            self.raw.open(read_server_info=False)
            if not isinstance(self.raw.socket, BoundedTLSSocket):
                self.raw.socket = BoundedSocket.instead_of(self.raw.socket)
        if self.server.start_tls:
            with translated(self, attempt):
                self.raw.start_tls(read_server_info=False)
        with translated(self, attempt):
            self.raw.bind(read_server_info=False)
        who = f"as {settings.bind_dn}" if settings.bind_dn else "without a name (anonymous)"
        self.check_result(f"bind {who}")


def _unopened(
    server: LDAPServer, settings: LDAPSettings, tls: ldap3.Tls, timeout: float, *, writing: bool
) -> ldap3.Connection:
    """The library's connection, with everything off that it would do by itself."""
    return ldap3.Connection(
        ldap3.Server(
            server.address or server.host,
            port=server.port,
            use_ssl=server.tls,
            tls=tls,
            connect_timeout=timeout,
            get_info=ldap3.NONE,
            mode=ldap3.IP_V4_PREFERRED,
        ),
        user=settings.bind_dn or None,
        password=_password(settings, server),
        client_strategy=ldap3.SYNC,
        auto_bind=ldap3.AUTO_BIND_NONE,
        auto_referrals=False,
        auto_range=False,
        check_names=False,
        auto_escape=False,
        auto_encode=False,
        return_empty_attributes=False,
        read_only=not writing,
        receive_timeout=math.ceil(timeout),
    )


def _password(settings: LDAPSettings, server: LDAPServer) -> str | None:
    if not settings.bind_dn:
        return None
    try:
        password = settings.password() if settings.password else ""
    except (SmimegwError, OSError) as error:
        text = f"{server}: the password of `bind` cannot be read: {error}"
        raise DirectoryError(text, server=str(server)) from error
    if not password:
        # RFC 4513, 5.1.2: a name without password binds nobody and looks like success.
        text = f"{server}: `bind.dn` is set but its password is empty"
        raise DirectoryError(text, server=str(server), retryable=False)
    return password


class _StrictTLS(ldap3.Tls):
    """TLS that checks chain and name with the standard library; there is no way to weaken it."""

    def __init__(self, ca: object, host: str, attempt: Attempt) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = ssl.create_default_context(cafile=str(ca) if ca else None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.sslsocket_class = BoundedTLSSocket
        self._host = host
        self._attempt = attempt

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        """Replace the connection's socket by one with TLS."""
        del do_handshake  # always
        wrapped = self._context.wrap_socket(
            connection.socket, server_hostname=self._host, do_handshake_on_connect=False
        )
        connection.socket = wrapped  # before the handshake, so that an attempt can be aborted
        wrapped.settimeout(self._attempt.remaining())
        wrapped.do_handshake()


class translated:  # noqa: N801 - reads as a statement: with translated(...)
    """Sets the socket's deadline and turns the library's exceptions into DirectoryError."""

    def __init__(self, connection: LDAPConnection, attempt: Attempt) -> None:
        self._connection = connection
        self._attempt = attempt

    def __enter__(self) -> None:
        raw = self._connection.raw.socket
        if raw is not None:
            raw.settimeout(self._attempt.remaining())
            raw.left = self._connection.answer_octets

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, FAILURES):
            return
        self._connection.broken = True
        server = self._connection.server
        reason = self._connection.raw.last_error or str(error)
        text = explain(server, str(reason), over=self._attempt.is_over)
        raise DirectoryError(text, server=str(server)) from error


def _entry(item: Mapping[str, Any]) -> Entry:
    attributes: dict[str, tuple[bytes, ...]] = {}
    for description, values in item["raw_attributes"].items():
        name = str(description).partition(";")[0].lower()
        attributes[name] = attributes.get(name, ()) + tuple(bytes(value) for value in values)
    return Entry(dn=str(item["dn"]), attributes=attributes)
