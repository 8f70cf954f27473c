"""IMAP servers."""
