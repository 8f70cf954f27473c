"""Cryptographic Message Syntax, no MIME, no I/O (RFC 5652, RFC 5083, RFC 5084)."""
