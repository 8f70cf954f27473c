"""Chooses algorithms: what all readers of a copy are known to read, above the rule's floor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from smimegw.cms.algorithms import ContentCipher, KeyEncryption, key_encryption_for
from smimegw.cms.capabilities import Capabilities
from smimegw.policy.model import Treatment
from smimegw.x509.certificate import Certificate

# Weakest first.  Ciphers that notice changes come after all others, whatever the length of their
# keys: what EFAIL needs is a reader that does not notice (T-04).
_BY_STRENGTH = (
    ContentCipher.AES_128_CBC,
    ContentCipher.AES_192_CBC,
    ContentCipher.AES_256_CBC,
    ContentCipher.AES_128_GCM,
    ContentCipher.AES_192_GCM,
    ContentCipher.CHACHA20_POLY1305,
    ContentCipher.AES_256_GCM,
)
_DEFAULT = ContentCipher.AES_256_CBC
# What every program of the last fifteen years reads without saying so (RFC 5751, 2.7).
_ASSUMED = frozenset(
    {ContentCipher.AES_128_CBC, ContentCipher.AES_192_CBC, ContentCipher.AES_256_CBC}
)


class Because(StrEnum):
    """Why an algorithm was chosen."""

    RULE = "rule"  # the rule names it
    CAPABILITIES = "capabilities"  # the strongest that every reader is known to read
    FLOOR = "floor"  # the rule's least, more than is known of some reader
    DEFAULT = "default"  # what every reader is taken to read


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenCipher:
    """The content cipher of one copy, and why."""

    cipher: ContentCipher
    because: Because

    @property
    def label(self) -> str:
        """Such as ``aes-256-gcm/capabilities``, for records and people."""
        return f"{self.cipher.label}/{self.because.value}"


def choose_cipher(treatment: Treatment, readers: Iterable[Capabilities]) -> ChosenCipher:
    """Choose the content cipher of a copy.

    It is the strongest that all *readers* are known to read (RFC 8551, 2.7.1.1).  Of whom nothing
    is known, AES-CBC is taken to be read, never AES-GCM (cases G24), except when the rule's floor
    demands it: a floor is written whatever is known.

    Args:
        treatment: Of the rule.
        readers: What each reader is known to read, an empty one for nothing.
    """
    if treatment.cipher is not None:
        return ChosenCipher(cipher=treatment.cipher, because=Because.RULE)
    common = frozenset(ContentCipher)
    all_known = True
    for known in readers:
        ciphers = frozenset(known.ciphers)
        all_known = all_known and bool(ciphers)
        common &= ciphers or _ASSUMED
    floor = treatment.cipher_floor
    best = max(common, key=_BY_STRENGTH.index, default=_DEFAULT)
    if _BY_STRENGTH.index(best) < _BY_STRENGTH.index(floor):
        return ChosenCipher(cipher=floor, because=Because.FLOOR)
    known_to_all = all_known and best in common
    because = Because.CAPABILITIES if known_to_all else Because.DEFAULT
    return ChosenCipher(cipher=best, because=because)


def choose_key_encryption(
    treatment: Treatment, certificate: Certificate, known: Capabilities
) -> KeyEncryption:
    """Choose how the content key is encrypted for *certificate*; recipients may differ in it.

    RSA keys get OAEP when the rule says so or their owner is known to read it.  Other keys get
    the derivation of their curve, or the first one that their owner says to read instead.

    Raises:
        UnsupportedAlgorithmError: The key is none we use.
    """
    usual = key_encryption_for(certificate, treatment.oaep is True)
    if usual.is_agreement:
        others = [form for form in known.agreements if form.is_hkdf is usual.is_hkdf]
        return usual if usual in others or not others else others[0]
    if treatment.oaep is None and known.oaep is not None:
        return known.oaep
    return usual
