"""SMTP and LMTP pieces without sockets (RFC 5321, RFC 2033)."""
