"""MIME that keeps the bytes it was given, no cryptography, no I/O (RFC 2045 - 2047, RFC 5322)."""
