"""The files of a gateway that is to fail: short deadlines, one next hop for both directions."""

from __future__ import annotations

CONFIGURATION = """version = 1
[gateway]
hostname = "gw.ours.example"
internal_domains = ["ours.example"]
state_directory = "{state}"
[listener.relay]
address = "127.0.0.1:{port}"
protocol = "{protocol}"
peers = ["127.0.0.1"]
next_hop = "out"
[listener.mx]
address = "127.0.0.1:{mx}"
protocol = "{protocol}"
next_hop = "out"
[next_hop.out]
address = "127.0.0.1:{sink}"
protocol = "{protocol}"
[trust]
anchors = ["{here}/ca.pem"]
[keystore]
key_encryption_key = {{ file = "{here}/kek" }}
[policies]
path = "{here}/policies"
[log]
format = "json"
[metrics]
address = "127.0.0.1:{status}"
[limits]
outbound_reply_seconds = 2.5
inbound_reply_seconds = 2.5
claim_seconds = 2
loop_lag_seconds = 60
"""
POLICY = """
[[rule]]
name = "encrypted"
why = "test"
when = { direction = "outbound", recipient_domain = ["partner.example"] }
then = { protect = "sign-then-encrypt", without_certificate = "refuse" }
[[rule]]
name = "signed"
why = "test"
when = { direction = "outbound", recipient_domain = ["signed.example"] }
then = { protect = "sign" }
[[rule]]
name = "clear"
why = "test"
when = { direction = "outbound" }
then = { protect = "none" }
[[rule]]
name = "open"
why = "test"
when = { direction = "inbound" }
then = { require = "none" }
"""
