"""Enrolment over Secure Transport (RFC 7030): certificates from the company's own authority."""
