"""Tables of the gateway's database, as the newest migration leaves them."""

from __future__ import annotations

import sqlalchemy as sa

HEAD = "0004"
"""The newest migration; an older database is migrated when opened, a newer one is refused."""

metadata = sa.MetaData()

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mailbox", sa.String(400), nullable=False),  # Mailbox.key
    sa.Column("fingerprint", sa.String(71), nullable=False),
    sa.Column("owner", sa.String(1000), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("published_at", sa.BigInteger, nullable=False),  # seconds since 1970, UTC
    sa.UniqueConstraint("mailbox", "fingerprint", name="uq_certificates_mailbox_fingerprint"),
)
"""Which certificates a mailbox has; the unique constraint is the index the look-up uses."""

authorities = sa.Table(
    "authorities",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("subject_digest", sa.String(64), nullable=False, index=True),
    sa.Column("fingerprint", sa.String(71), nullable=False, unique=True),
    sa.Column("subject", sa.LargeBinary, nullable=False),  # Name, DER
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("published_at", sa.BigInteger, nullable=False),
)
"""CA certificates; names can be longer than an index entry may be, so a SHA-256 finds them."""

crls = sa.Table(
    "crls",
    metadata,
    sa.Column("issuer_digest", sa.String(64), primary_key=True),
    # Of the key identifier: after a roll-over two keys list under one name (RFC 4210, 4.4).
    sa.Column("key_digest", sa.String(64), primary_key=True),
    sa.Column("issuer", sa.LargeBinary, nullable=False),  # Name, DER
    sa.Column("number", sa.String(50), nullable=False),  # up to 20 octets (RFC 5280, 5.2.3)
    sa.Column("this_update", sa.BigInteger, nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
)
"""The newest CertificateList of each issuer and key."""

ACTIVE = "active"
"""The only state of a published certificate; those learned from mail are `candidates`."""

IMPORTED = "imported"
"""The owner of certificates that an administrator brought, instead of a person's name."""

correspondents = sa.Table(
    "correspondents",
    metadata,
    sa.Column("mailbox", sa.String(400), primary_key=True),  # Mailbox.key
    sa.Column("capabilities", sa.LargeBinary, nullable=False),  # SMIMECapabilities, DER
    sa.Column("fingerprint", sa.String(71), nullable=False),
    sa.Column("said_at", sa.BigInteger, nullable=False),
    sa.Column("dated", sa.Boolean, nullable=False),  # said_at is a signing time
    sa.Column("first_seen", sa.BigInteger, nullable=False),
    sa.Column("last_seen", sa.BigInteger, nullable=False, index=True),
)
"""What the software behind a mailbox reads, as its newest signed mail said."""

candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mailbox", sa.String(400), nullable=False),
    sa.Column("fingerprint", sa.String(71), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # memory.CandidateState
    sa.Column("was", sa.String(71), nullable=False),  # fingerprint known before
    sa.Column("first_seen", sa.BigInteger, nullable=False),
    sa.Column("not_after", sa.BigInteger, nullable=False, index=True),
    sa.UniqueConstraint("mailbox", "fingerprint", name="uq_candidates_mailbox_fingerprint"),
)
"""Certificates that came with signed mail."""

sightings = sa.Table(
    "sightings",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),  # memory.SightingKind
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("originator", sa.String(400), nullable=False),
    sa.Column("first_seen", sa.BigInteger, nullable=False, index=True),
)
"""Ciphertexts, signatures and threads by their SHA-256, with whom they came from first."""

ledger_accepted = sa.Table(
    "ledger_accepted",
    metadata,
    sa.Column("fingerprint", sa.String(64), primary_key=True),  # custody.fingerprint_of
    sa.Column("token", sa.String(64), primary_key=True),  # custody.token_of
    sa.Column("accepted_at", sa.BigInteger, nullable=False, index=True),
)
"""Which recipients of a message the next hop has accepted."""

ledger_claims = sa.Table(
    "ledger_claims",
    metadata,
    sa.Column("claim", sa.String(64), primary_key=True),  # custody.claim_of
    sa.Column("holder", sa.String(64), nullable=False),  # transaction id
    sa.Column("until", sa.BigInteger, nullable=False),
)
"""Which transaction delivers a message just now."""
