"""Refuses RSA keys whose private half others can find (S/MIME BR, 6.1.1.3 and 6.1.6).

Three faults of generators show in the modulus alone: small factors, two primes close to each other
(Fermat), and the structure that Infineon's library gave its primes (ROCA, CVE-2017-15361).  The
last is told by its fingerprint: such a modulus is a power of 65537 modulo every small prime, which
others are once in 2**27 times.
"""

from __future__ import annotations

import math

from cryptography.hazmat.primitives.asymmetric import rsa

from pki.errors import RequestError
from pki.keys import PublicKey

_SMALL_FACTORS_BELOW = 752  # NIST SP 800-89, 5.3.3
_FERMAT_ROUNDS = 100
_GENERATOR = 65537
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def refuse(key: PublicKey) -> None:
    """Make sure that a key of somebody's is not one that anybody can break.

    Raises:
        RequestError: It is.
    """
    if not isinstance(key, rsa.RSAPublicKey):
        return
    modulus = key.public_numbers().n
    if math.gcd(modulus, _SMALL_FACTORS) != 1:
        fault = "has a small factor"
    elif _has_close_primes(modulus):
        fault = "has two factors that are close to each other"
    elif all(modulus % prime in powers for prime, powers in _POWERS):
        fault = "is of a generator that makes guessable keys (ROCA, CVE-2017-15361)"
    else:
        return
    raise RequestError(
        f"The RSA key's modulus {fault}, so others can find the private key. Make a new key with "
        "another program, or update the firmware of the card or token that made it."
    )


def _has_close_primes(modulus: int) -> bool:
    middle = math.isqrt(modulus) + 1
    for step in range(_FERMAT_ROUNDS):
        rest = (middle + step) ** 2 - modulus
        if math.isqrt(rest) ** 2 == rest:
            return True
    return False


def _powers(prime: int) -> frozenset[int]:
    return frozenset(pow(_GENERATOR, exponent, prime) for exponent in range(prime))


_SMALL_FACTORS = math.prod(range(2, _SMALL_FACTORS_BELOW))
_POWERS = tuple((prime, _powers(prime)) for prime in _ROCA_PRIMES)
