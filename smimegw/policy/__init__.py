"""Decisions: from facts to protection, without I/O."""
