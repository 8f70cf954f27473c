"""One bound LDAP connection: TLS that is always verified, no referrals, errors in plain words.

Everything here blocks and belongs into a thread; `client` brings it into the event loop.
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import ldap3
from ldap3.core import results
from ldap3.core.exceptions import LDAPExceptionError
from pyasn1.error import PyAsn1Error

from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.errors import DirectoryError

# What a result code other than success means to the administrator (RFC 4511, appendix A).
_ADVICE = {
    results.RESULT_TIME_LIMIT_EXCEEDED: "the search took the server too long; index `mail`",
    results.RESULT_SIZE_LIMIT_EXCEEDED: "more entries match than one mailbox can have; "
    "make `filter` narrower",
    results.RESULT_REFERRAL: "it only knows another server, and referrals are never followed; "
    "let `url` name a server that holds `base`",
    results.RESULT_NO_SUCH_OBJECT: "`base` does not exist there, or may not be seen by `bind`",
    results.RESULT_INVALID_DN_SYNTAX: "`base` or `bind.dn` is not a distinguished name",
    results.RESULT_INVALID_CREDENTIALS: "`bind.dn` or its password is wrong",
    results.RESULT_INAPPROPRIATE_AUTHENTICATION: "it wants a bind with a password; set `bind`",
    results.RESULT_CONFIDENTIALITY_REQUIRED: "it demands TLS; use ldaps:// or start_tls = true",
    results.RESULT_INSUFFICIENT_ACCESS_RIGHTS: "its access rules forbid this to `bind`",
    results.RESULT_BUSY: "it is overloaded; try again, or name a second server in `url`",
    results.RESULT_UNAVAILABLE: "it is shutting down or not ready; try again",
    results.RESULT_UNWILLING_TO_PERFORM: "its configuration forbids this",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of an answer; attribute names in lower case, without ``;binary`` and the like."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


class Attempt:
    """A deadline for blocking work that another thread can cut short."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._connection: ldap3.Connection | None = None
        self.aborted = False

    def remaining(self) -> float:
        """Seconds left; never 0, because a socket would take that for "do not wait"."""
        return max(self._end - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """The time is up or somebody gave up waiting."""
        return self.aborted or time.monotonic() >= self._end

    def watch(self, connection: ldap3.Connection) -> None:
        """Let `abort` cut *connection*."""
        self._connection = connection

    def abort(self) -> None:
        """Wake the blocked thread by shutting its socket down; safe from any thread."""
        self.aborted = True
        raw = self._connection.socket if self._connection else None
        if isinstance(raw, socket.socket):
            # Not connected yet or closed already: nothing to wake.  And not SSLSocket.shutdown,
            # which takes the TLS state away under the reading thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(raw, socket.SHUT_RDWR)


class LDAPConnection:
    """A connection to one server, bound; for one thread at a time."""

    def __init__(self, raw: ldap3.Connection, server: LDAPServer) -> None:
        self.raw = raw
        self.server = server
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
        password = settings.password() if settings.bind_dn and settings.password else None
        if settings.bind_dn and not password:
            # RFC 4513, 5.1.2: a name without password binds nobody and looks like success.
            text = f"{server}: `bind.dn` is set but its password is empty"
            raise DirectoryError(text, server=str(server), retryable=False)
        raw = ldap3.Connection(
            ldap3.Server(
                server.host,
                port=server.port,
                use_ssl=server.tls,
                tls=tls,
                connect_timeout=timeout,
                get_info=ldap3.NONE,
                mode=ldap3.IP_V4_PREFERRED,
            ),
            user=settings.bind_dn or None,
            password=password,
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
        attempt.watch(raw)
        connection = cls(raw, server)
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
        advice = _ADVICE.get(code, "see the server's log")
        reason = f"{description} ({detail})" if detail else description
        text = f"{self.server} refused the {operation}: {reason}; {advice}"
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
        if self.server.start_tls:
            with translated(self, attempt):
                self.raw.start_tls(read_server_info=False)
        with translated(self, attempt):
            self.raw.bind(read_server_info=False)
        who = f"as {settings.bind_dn}" if settings.bind_dn else "without a name (anonymous)"
        self.check_result(f"bind {who}")


class _StrictTLS(ldap3.Tls):
    """TLS that checks chain and name with the standard library; there is no way to weaken it."""

    def __init__(self, ca: object, host: str, attempt: Attempt) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = ssl.create_default_context(cafile=str(ca) if ca else None)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
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


_FAILURES = (
    LDAPExceptionError,
    OSError,
    # the library on octets that are not LDAP
    PyAsn1Error,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)


class translated:  # noqa: N801 - reads as a statement: with translated(...)
    """Sets the socket's deadline and turns the library's exceptions into DirectoryError."""

    def __init__(self, connection: LDAPConnection, attempt: Attempt) -> None:
        self._connection = connection
        self._attempt = attempt

    def __enter__(self) -> None:
        raw = self._connection.raw.socket
        if raw is not None:
            raw.settimeout(self._attempt.remaining())

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if not isinstance(error, _FAILURES):
            return
        self._connection.broken = True
        server = self._connection.server
        reason = self._connection.raw.last_error or str(error)
        text = _explain(server, str(reason), over=self._attempt.is_over)
        raise DirectoryError(text, server=str(server)) from error


def _explain(server: LDAPServer, text: str, *, over: bool) -> str:
    if over or "timed out" in text:
        return f"{server} did not answer in time; is it overloaded or a firewall in between?"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or text
        return (
            f"{server} has a TLS certificate that cannot be trusted: {reason}; let `ca` name the "
            "authority that issued it and `url` a host that it is made for"
        )
    if "ssl" in text.lower() or "startTLS" in text:
        return f"TLS with {server} failed: {text}; does that port speak TLS?"
    if "refused" in text:
        return f"{server} refused the connection; is the server running, is the port right?"
    if "invalid server address" in text:
        return f"{server}: the host name cannot be resolved; check `url` and DNS"
    return f"the connection to {server} failed: {text}"


def _entry(item: Mapping[str, Any]) -> Entry:
    attributes: dict[str, tuple[bytes, ...]] = {}
    for description, values in item["raw_attributes"].items():
        name = str(description).partition(";")[0].lower()
        attributes[name] = attributes.get(name, ()) + tuple(bytes(value) for value in values)
    return Entry(dn=str(item["dn"]), attributes=attributes)
