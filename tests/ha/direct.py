"""Past the balancer: a message for one particular node, and what that node says of itself."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request

from tests.ha.cluster import ClusterNode
from tests.ha.mails import Mail

_HEADER = "PROXY TCP4 127.0.0.1 127.0.0.1 40000 25"  # as the balancer says it


def give(node: ClusterNode, mail: Mail) -> str:
    """Hand *mail* to *node* and return the final reply."""
    recipients = [f"RCPT TO:<{recipient}>" for recipient in mail.recipients]
    with socket.create_connection(("127.0.0.1", node.ports.relay), timeout=60) as connection:
        stream = connection.makefile("rwb")

        def say(octets: bytes) -> str:
            stream.write(octets)
            stream.flush()
            while (line := stream.readline())[3:4] == b"-":
                pass
            return line.decode().strip()

        say(f"{_HEADER}\r\n".encode())
        for command in ["EHLO client.example", f"MAIL FROM:<{mail.sender}>", *recipients, "DATA"]:
            reply = say(f"{command}\r\n".encode())
            if reply[:1] not in "23":
                return reply
        return say(mail.content + b".\r\n")


def readiness(node: ClusterNode) -> tuple[int, list[str]]:
    """What /ready says: the status and the reasons."""
    url = f"http://127.0.0.1:{node.ports.status}/ready"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, json.load(response)["reasons"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["reasons"]
