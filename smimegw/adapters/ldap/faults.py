"""Says in an administrator's words what went wrong with an LDAP server and what to do."""

from __future__ import annotations

from ldap3.core import results
from ldap3.core.exceptions import LDAPExceptionError
from pyasn1.error import PyAsn1Error

from smimegw.adapters.ldap.settings import LDAPServer

FAILURES = (
    LDAPExceptionError,
    OSError,
    # the library on octets that are not LDAP
    PyAsn1Error,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
)
"""What the library raises when a server is gone, hangs, or sends octets that are not LDAP."""

# What a result code other than success means to the administrator (RFC 4511, appendix A).
_ADVICE = {
    results.RESULT_TIME_LIMIT_EXCEEDED: "the search took the server too long; index `mail`",
    results.RESULT_SIZE_LIMIT_EXCEEDED: "more entries match than one mailbox can have; "
    "make `filter` narrower",
    results.RESULT_ADMIN_LIMIT_EXCEEDED: "it would have to look through too many entries; index "
    "`mail` for equality there, and ask for exact addresses in `filter`",
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


def advice_for(code: int) -> str:
    """Return what to do about a result code."""
    return _ADVICE.get(code, "see the server's log")


def explain(server: LDAPServer, text: str, *, over: bool) -> str:
    """Return what happened to a connection and what to do.

    Args:
        server: Which server.
        text: What the library says.
        over: The deadline has passed.
    """
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
