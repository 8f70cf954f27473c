"""Certificates and certification paths, without I/O (RFC 5280, RFC 8550)."""
