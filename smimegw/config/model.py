"""Every key of the configuration as frozen dataclasses; their texts make the annotated sample.

Each field is explained in its class's ``Attributes``: this text is the comment in the sample and
the answer of ``smimegw config explain``.  ``Example:`` at the end is the value the sample shows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from smimegw.config.choices import (
    Harvest,
    LogAddresses,
    LogFormat,
    LogLevel,
    RecordsRequired,
    RevocationMode,
    TrustSMIMEA,
)
from smimegw.config.database import DatabaseLocation
from smimegw.config.directories import DNS, Directory, EmbeddedDirectory
from smimegw.config.enrolment import Enrolment
from smimegw.config.hosts import HostRule, ProxyURL
from smimegw.config.keys import Keystore
from smimegw.config.sessions import Listener, NextHop
from smimegw.config.values import Domain, Endpoint, Secret
from smimegw.limits import DEFAULT_LIMITS, Limits

_NO_ENROLMENT = Enrolment()
_LOCAL_STATUS = Endpoint("127.0.0.1", 9464)
_LOCAL_DNS = DNS()
_FILES = Keystore()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The gateway itself.

    Attributes:
        hostname: Our name in greetings, Received and Authentication-Results.
            Example: "gw.corp.example"
        internal_domains: Domains that are ours; a mail from them is outbound.
            Example: ["corp.example"]
        strict: A key opens only mail that is addressed to its own mailbox.
        state_directory: Where the database, the keystore and the decision records live.
        spool: Where messages of more than a MiB are kept while they are worked on, in files without
            names and under keys that only this process knows; the state directory unless given.
        shadow: Decide and record everything, but hand on what comes, unchanged: nothing is
            protected, nothing is opened, and only the next hop refuses.
        keep_original: Attach the original of an opaque-signed message when it is unwrapped.
        subject_marks: Words in brackets by which your mail programs or users tell a result, such as
            "[signed]"; they are taken out of the Subject of mail from outside, also disguised ones.
        authserv_ids: Names besides hostname in which filters of yours write Authentication-Results;
            such fields are removed from mail from outside.
        strip_all_results: Remove every Authentication-Results field from mail from outside.
        workers: Processes that share the ports; 0 for one per processor core. With more than one
            a supervisor starts them and replaces one that dies or hangs.
        worker_threads: Threads for cryptography in each process; one per core is enough.
        strict_local_part: Domains in which upper and lower case before the @ differ.
    """

    hostname: Domain
    internal_domains: tuple[Domain, ...]
    strict: bool = True
    state_directory: Path = Path("/var/lib/smimegw")
    spool: Path | None = None
    shadow: bool = False
    keep_original: bool = False
    subject_marks: tuple[str, ...] = ()
    authserv_ids: tuple[Domain, ...] = ()
    strip_all_results: bool = False
    workers: int = 1
    worker_threads: int = 2
    strict_local_part: tuple[Domain, ...] = ()

    @property
    def processes(self) -> int:
        """How many processes take mail, the cores counted."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Which certification authorities are believed.

    Attributes:
        anchors: Files or directories of PEM or DER certificates trusted for e-mail.
            Example: ["/etc/smimegw/trust"]
        signature_anchors: The same, trusted only for verifying signatures.
        encryption_anchors: The same, trusted only for certificates that mail is encrypted to.
        intermediates: Files or directories of certificates that help to build paths.
        crls: Files or directories of revocation lists.
        policies: Object identifiers of certificate policies: a path from an anchor must be valid
            under one of them, such as "2.23.140.1.5.2.2"; "2.5.29.32.0" is any. Empty asks for
            none.
        smimea: What a certificate needs that its domain publishes in signed DNS as the one to use
            (usage 3): chain (a path to an anchor, as any other) or dns (the domain's word is
            enough; its own words on dates, use and address still count).
    """

    anchors: tuple[Path, ...] = ()
    signature_anchors: tuple[Path, ...] = ()
    encryption_anchors: tuple[Path, ...] = ()
    intermediates: tuple[Path, ...] = ()
    crls: tuple[Path, ...] = ()
    policies: tuple[str, ...] = ()
    smimea: TrustSMIMEA = TrustSMIMEA.CHAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """How revocation is judged.

    Attributes:
        mode: require (a certificate of unknown status is not used) or prefer.
        crl_grace: How long a CRL counts after its nextUpdate.
        allow_hosts: Hosts from which CRLs may be fetched and which may be asked by OCSP, when
            directories and files do not say enough: "crl.partner.example", "*.ca.example" (all
            names below), "crl.partner.example:8080" (a port beside 80 and 443); empty fetches
            nothing.
        proxy: HTTP proxy for that, such as "http://proxy.corp.example:3128"; it resolves the
            names, so it must keep private addresses away.
        private_hosts: Hosts that may be asked as well although they are inside: their addresses
            may be private or this machine's own.
    """

    mode: RevocationMode = RevocationMode.REQUIRE
    crl_grace: timedelta = timedelta(hours=72)
    allow_hosts: tuple[HostRule, ...] = ()
    proxy: ProxyURL | None = None
    private_hosts: tuple[HostRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The gateway's own database: certificates, and what it remembers of mail.

    Attributes:
        url: An SQLite file, or for several nodes a PostgreSQL database such as
            "postgresql://smimegw@db.corp.example/smimegw?sslmode=verify-full"; default smimegw.db
            in the state directory.
        password: The password for PostgreSQL; never in the URL.
    """

    url: DatabaseLocation | None = None
    password: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the gateway remembers of mail that it verified or opened.

    Attributes:
        harvest: Certificates that come with signed mail: off (not kept), candidates (kept, used
            when "smimegw correspondent accept" says so), same-ca (also used when they follow a
            known certificate of the same address and the same CA, and are newer) or verified (also
            used when they came again a day later and nothing else was known of the address).
        keep: How long ciphertexts, signatures and threads are remembered after they were first
            seen, and correspondents after their last mail.
    """

    harvest: Harvest = Harvest.CANDIDATES
    keep: timedelta = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The rules.

    Attributes:
        path: Directory of *.toml policy files, read in name order; read again on SIGHUP.
        signed_by: PEM file of certificates; then the files count only as one of these has signed
            them, in SHA256SUMS and SHA256SUMS.p7s beside them.
    """

    path: Path = Path("/etc/smimegw/policies")
    signed_by: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Log lines.

    Attributes:
        format: postfix (lines in Postfix's grammar) or json.
        addresses: full, domain (local part hidden) or hash (keyed hash of the local part).
        level: info, warning or error.
    """

    format: LogFormat = LogFormat.POSTFIX
    addresses: LogAddresses = LogAddresses.FULL
    level: LogLevel = LogLevel.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Decision records in a second place, besides the state directory.

    Attributes:
        second_directory: A directory on another disk or another machine's, such as
            "/mnt/audit/smimegw"; it gets every record, too.
        required: one (mail goes on while one of the places can be written) or both.
    """

    second_directory: Path | None = None
    required: RecordsRequired = RecordsRequired.ONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The local status port: /live, /ready and /metrics.

    Attributes:
        address: Address and port; keep it local, there is no login.
    """

    address: Endpoint = _LOCAL_STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything in smimegw.toml and smimegw.toml.d/*.toml.

    Attributes:
        version: Version of the configuration format. Example: 1
        gateway: The gateway itself; at least hostname and internal_domains must be written.
        listener: Ports we listen on, by name.
        next_hop: Servers that take mail after us, by name.
        directory: Where certificates are looked for, in this order; none means the embedded one.
        dns: Who is asked about DNS for directories.
        trust: Which authorities are believed.
        revocation: How revocation is judged.
        keystore: Where private keys live.
        enrolment: Where senders without a certificate get one.
        database: The gateway's own database.
        memory: What the gateway remembers of mail.
        policies: The rules.
        log: Log lines.
        records: A second place for decision records.
        metrics: The status port.
        limits: Numbers that bound what strangers can make us do.
    """

    version: int
    gateway: Gateway
    listener: Mapping[str, Listener]
    next_hop: Mapping[str, NextHop]
    directory: tuple[Directory, ...] = ()
    dns: DNS = _LOCAL_DNS
    trust: Trust = Trust()
    revocation: Revocation = Revocation()
    keystore: Keystore = _FILES
    enrolment: Enrolment = _NO_ENROLMENT
    database: Database = Database()
    memory: Memory = Memory()
    policies: Policies = Policies()
    log: Log = Log()
    records: Records = Records()
    metrics: Metrics = Metrics()
    limits: Limits = DEFAULT_LIMITS

    @property
    def directories(self) -> tuple[Directory, ...]:
        """The directories, the embedded default applied."""
        return self.directory or (EmbeddedDirectory(),)

    @property
    def database_location(self) -> str:
        """Path or URL of the gateway's own database, default applied."""
        return str(self.database.url or self.gateway.state_directory / "smimegw.db")

    @property
    def keystore_path(self) -> Path:
        """The keystore's directory, default applied."""
        return self.keystore.path or self.gateway.state_directory / "keys"
