"""Asks a policy again about a message of which only a decision record is left.

A record answers what the policy of its time asked, and nothing else: not the Subject, no header
field beside those that rules waited for, no certificate that no rule wanted.  Where another policy
asks more, every answer that may be is tried, so that the result can be several outcomes.
"""

from __future__ import annotations

from smimegw.policy.model import HeaderTrigger


def field_key(trigger: HeaderTrigger) -> str:
    """How records name a header field that a rule waits for."""
    return f"{trigger.name}: {trigger.value}".rstrip()
