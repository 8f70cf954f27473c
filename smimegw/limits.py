"""Every number that limits something, in one place, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one gateway; the defaults are the documented ones."""

    # SMTP (RFC 5321, 4.5.3 gives the minima; these are generous to real clients)
    command_line_octets: int = 2048
    recipients: int = 200  # more is refused with 452 4.5.3, clients split by themselves
    sessions: int = 1000
    sessions_per_peer: int = 50
    session_errors: int = 5  # then 421: a scanner, not a client
    commands_without_mail: int = 100
    idle_seconds: float = 60.0
    relay_idle_seconds: float = 300.0  # a mail server keeps its connection
    command_seconds: float = 60.0
    proxy_header_seconds: float = 3.0  # a balancer sends it with the first segment
    data_octets_per_second: int = 500  # after data_grace_seconds; slower is a slow-loris
    data_grace_seconds: float = 30.0
    auth_failures: int = 3  # then 421
    auth_delay_seconds: float = 1.0  # before the first 535, doubled for each further one
    login_recheck_seconds: float = 10.0  # an older login is judged again before the next MAIL
    loop_lag_seconds: float = 0.1  # more than this for overload_seconds: no new mail is taken
    overload_seconds: float = 5.0
    received_fields: int = 50  # RFC 5321, 6.3: loop detection
    own_received_fields: int = 6  # of these from us: three turns, out and in again
    reply_octets: int = 65536  # one reply of a next hop; longer is garbage

    # message
    message_octets: int = 50 * MIB  # raw
    copies: int = 50  # of one message, held open together; servers allow about so many clients
    memory_octets: int = 1 * MIB  # of one content; what is longer goes to the spool
    text_octets: int = 4 * MIB  # of one part that is looked at as text; longer ones are files
    growth: float = 1.45  # sign + encrypt + base64; SIZE announced = next hop SIZE / growth
    header_line_octets: int = 100_000
    header_field_octets: int = 100 * 1024
    header_section_octets: int = 256 * 1024
    header_fields: int = 1000
    addresses: int = 2000
    mime_depth: int = 50
    mime_parts: int = 1000
    boundary_octets: int = 200
    html_octets: int = 1 * MIB  # of one part that is disarmed; more is shown as plain text
    html_cost: int = 50_000  # 12 per tag, less for the rest: cleaning takes quadratic time
    adopted_field_octets: int = 8192  # from inside; References of a long thread have 4000

    # CMS and ASN.1
    layers: int = 8
    asn1_depth: int = 32
    asn1_elements: int = 1_000_000  # 50 MiB in chunks of 50 octets; smaller ones only waste time
    recipient_infos: int = 2000
    signer_infos: int = 16  # two or more never pass
    certificates: int = 64
    decompression_ratio: int = 100

    # certification paths
    path_depth: int = 6
    path_signatures: int = 100  # signature checks in one path search (cross-signing cycles)
    subject_alt_names: int = 256
    name_constraint_products: int = 65_536
    issuers_octets: int = 256 * 1024  # CA certificates that a certificate says where to find
    crl_octets: int = 20 * MIB
    ocsp_octets: int = 64 * 1024
    revocation_cache_octets: int = 128 * MIB  # all lists and answers that are kept
    rsa_bits_min: int = 2048
    rsa_bits_max: int = 8192
    pbkdf2_rounds: int = 1_000_000
    key_file_octets: int = 1 * MIB  # PKCS #12 or PEM: a key and a path of certificates have 20 KB

    # memory
    thread_references: int = 20  # of a message, the nearest: was one of them encrypted?
    candidates: int = 20  # undecided certificates of one mailbox; people have a few devices

    # the machine
    disk_free_octets: int = 128 * MIB  # at state directory and spool; below it no mail is taken
    disk_free_inodes: int = 1000
    clock_behind_seconds: float = 300.0  # the last decision record: then the clock was set back

    # worker processes
    worker_starts: int = 5  # failures in a row before the supervisor gives up
    worker_start_seconds: float = 60.0  # until a new process shows its first sign of life
    worker_silence_seconds: float = 30.0  # an event loop that was blocked so long hangs

    # deadlines
    lookup_seconds: float = 8.0  # directory and revocation together
    revocation_seconds: float = 3.0  # a message waits so long for one server; a CRL may go on
    download_seconds: float = 60.0  # a whole CRL, so that the next try finds it
    database_seconds: float = 2.0  # one question to our own database, or one change
    harvest_again_seconds: float = 86_400.0  # a certificate that came again then is no passer-by
    harvest_seconds: float = 5.0  # learning from one mail; its client waits for our reply
    database_probe_seconds: float = 10.0  # /ready knows after so long that it answers again
    enrolment_seconds: float = 15.0  # a new certificate: the sender waits for our reply
    drain_seconds: float = 60.0
    connect_seconds: float = 10.0  # to a next hop, TLS handshake included
    outbound_reply_seconds: float = 60.0  # from the end of the data to our reply: people wait
    inbound_reply_seconds: float = 90.0  # the same for mail from outside: servers wait
    next_hop_seconds: float = 45.0  # one reply; below outbound_reply_seconds, so that it is told
    claim_seconds: int = 180  # a node that died with several copies under way is waited for
    late_reply_seconds: float = 600.0  # RFC 5321, 4.5.3.2.6: what a dot's answer may take
    connection_idle_seconds: float = 30.0  # an unused connection to a next hop is kept so long

    def __hash__(self) -> int:
        """Quick: what is remembered of certificates is looked up by these numbers, too."""
        return hash((self.message_octets, self.certificates, self.subject_alt_names))


DEFAULT_LIMITS = Limits()
