"""Words that a configuration key may hold when it holds one of a few."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """What is spoken on a connection."""

    SMTP = "smtp"
    LMTP = "lmtp"


class AuthenticationMode(StrEnum):
    """Who judges a login."""

    NEXT_HOP = "next-hop"
    DOVECOT = "dovecot"
    LDAP = "ldap"
    IMAP = "imap"
    NONE = "none"


class RecordsRequired(StrEnum):
    """In how many of two places a decision must be recorded before anything leaves."""

    ONE = "one"
    BOTH = "both"


class ClientCertificate(StrEnum):
    """Whether a listener asks its clients for a certificate."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


class TLSMode(StrEnum):
    """How much TLS is demanded of a next hop."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"  # against listeners only: clear when TLS cannot be had
    REQUIRED = "required"  # encrypted, to whoever answers
    VERIFY = "verify"  # encrypted, and the certificate is for the configured name


class RevocationMode(StrEnum):
    """What an unknown revocation status means."""

    REQUIRE = "require"
    PREFER = "prefer"


class Absence(StrEnum):
    """Which servers of a directory must say that somebody has no certificate."""

    ONE = "one"  # the first that answers: they are never behind one another
    REACHABLE = "reachable"  # each that answers: one that is behind does not know the newest
    ALL = "all"  # each: while one does not answer, nobody knows


class TrustSMIMEA(StrEnum):
    """What makes a certificate from signed DNS believable."""

    CHAIN = "chain"  # a path to a trust anchor, as for any other
    DNS = "dns"  # its domain's signed word, where that names the certificate itself (usage 3)


class KeystoreKind(StrEnum):
    """Kinds of keystores."""

    FILES = "files"


class Harvest(StrEnum):
    """What becomes of certificates that come with signed mail."""

    OFF = "off"
    CANDIDATES = "candidates"  # kept, and used when an administrator says so
    SAME_CA = "same-ca"  # also those that follow a known one of the same CA
    VERIFIED = "verified"  # also those that came again, while nothing else was known


class LogFormat(StrEnum):
    """How log lines look."""

    POSTFIX = "postfix"
    JSON = "json"


class LogAddresses(StrEnum):
    """How much of an address a log line shows."""

    FULL = "full"
    DOMAIN = "domain"
    HASH = "hash"


class LogLevel(StrEnum):
    """The least severe events that are logged."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
