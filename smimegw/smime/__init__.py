"""S/MIME 4.0: MIME and CMS joined (RFC 8551)."""
