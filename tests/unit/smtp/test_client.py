"""The client state machine: order enforced, dot apart from content, nonsense refused."""

from __future__ import annotations

import base64

import pytest

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, MIMEError, NextHopError
from smimegw.limits import Limits
from smimegw.smtp.client import Client, State
from smimegw.smtp.reply import Reply

ALICE = Mailbox.parse("alice@corp.example")
BOB = Mailbox.parse("bob@partner.example")
EVE = Mailbox.parse("eve@partner.example")
EHLO = b"250-out.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 SIZE 1000\r\n"


def ready(**options: bool) -> Client:
    client = Client(server="out.example", **options)  # type: ignore[arg-type]
    client.receive(b"220 out.example ESMTP\r\n")
    client.hello("gw.corp.example")
    client.receive(EHLO)
    return client


def with_recipients(client: Client, *recipients: Mailbox) -> Client:
    client.mail(ALICE)
    client.receive(b"250 2.1.0 Ok\r\n")
    for recipient in recipients:
        client.recipient(recipient)
        client.receive(b"250 2.1.5 Ok\r\n")
    return client


def held(client: Client, *recipients: Mailbox) -> Client:
    with_recipients(client, *recipients)
    client.data()
    client.receive(b"354 go ahead\r\n")
    b"".join(client.content([b"A: b\r\n\r\nbody\r\n"]))
    return client


def test_a_transaction_is_held_before_its_final_dot() -> None:
    """Content and dot are two steps; the next hop acts on nothing before the dot (promise 6)."""
    client = with_recipients(ready(), BOB)
    assert client.data() == b"DATA\r\n"
    assert client.receive(b"354 go ahead\r\n") == (Reply(354, "", "go ahead"),)
    assert b"".join(client.content([b"x\r\n", b".y\r\n"])) == b"x\r\n..y\r\n"
    assert client.state is State.HELD
    assert not client.in_doubt
    assert client.commit() == b".\r\n"
    assert client.in_doubt
    assert client.receive(b"250 2.0.0 queued as 1\r\n") == (Reply(250, "2.0.0", "queued as 1"),)
    assert client.state is State.READY
    assert not client.in_doubt


def test_commands_are_written_exactly() -> None:
    """Paths in brackets, parameters as given, null path empty (RFC 5321, 4.1.1)."""
    client = ready()
    assert client.mail(None, [("SIZE", "10"), ("SMTPUTF8", "")]) == (
        b"MAIL FROM:<> SIZE=10 SMTPUTF8\r\n"
    )
    client.receive(b"250 ok\r\n")
    assert client.recipient(BOB, [("NOTIFY", "NEVER")]) == (
        b"RCPT TO:<bob@partner.example> NOTIFY=NEVER\r\n"
    )


def test_lmtp_says_lhlo_and_has_one_reply_per_accepted_recipient() -> None:
    """RFC 2033, 4.1 and 4.2: only recipients that were accepted get a reply."""
    client = Client(lmtp=True)
    client.receive(b"220 hi\r\n")
    assert client.hello("gw") == b"LHLO gw\r\n"
    client.receive(EHLO)
    with_recipients(client, BOB)
    client.recipient(EVE)
    client.receive(b"550 5.1.1 unknown\r\n")
    client.recipient(ALICE)
    client.receive(b"250 2.1.5 ok\r\n")
    assert client.accepted == (BOB, ALICE)
    client.data()
    client.receive(b"354 go\r\n")
    list(client.content([b"x\r\n"]))
    client.commit()
    assert client.awaiting == 2
    assert client.receive(b"250 2.0.0 ok\r\n")[0].code == 250
    assert client.in_doubt
    assert client.receive(b"452 4.2.2 full\r\n")[0].code == 452
    assert client.state is State.READY


def test_pipelined_commands_get_their_replies_in_order() -> None:
    """MAIL and RCPT may be sent together when the server offers it (RFC 2920)."""
    client = ready()
    client.mail(ALICE)
    client.recipient(BOB)
    client.recipient(EVE)
    replies = client.receive(b"250 ok\r\n550 5.1.1 no\r\n250 ok\r\n")
    assert [reply.code for reply in replies] == [250, 550, 250]
    assert client.accepted == (EVE,)


def test_without_pipelining_one_command_waits_for_the_other() -> None:
    """A server that did not offer PIPELINING gets one command at a time."""
    client = Client()
    client.receive(b"220 hi\r\n")
    client.hello("gw")
    client.receive(b"250 hi\r\n")
    client.mail(ALICE)
    with pytest.raises(NextHopError):
        client.recipient(BOB)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_replies_are_put_together_from_chunks(size: int) -> None:
    """TCP cuts where it likes; lines of one reply are joined."""
    client = Client()
    stream = b"220-first line\r\n220-\r\n220 last line\r\n"
    replies: list[Reply] = []
    for start in range(0, len(stream), size):
        replies += client.receive(stream[start : start + size])
    assert replies == [Reply(220, "", "first line\n\nlast line")]


def test_enhanced_codes_are_taken_out_of_every_line() -> None:
    """RFC 2034, 4: only codes of the reply's own class count."""
    client = ready()
    client.mail(ALICE)
    (reply,) = client.receive(b"550-5.7.1 go\r\n550 5.7.1 away\r\n")
    assert reply == Reply(550, "5.7.1", "go\naway")
    client.mail(ALICE)
    (reply,) = client.receive(b"550 2.0.0 contradiction\r\n")
    assert reply == Reply(550, "", "2.0.0 contradiction")


def test_control_characters_of_a_reply_are_made_harmless() -> None:
    """Escape codes and 8-bit octets of a peer reach no log and no client (D17)."""
    client = Client()
    (reply,) = client.receive(b"220 a\x1b[31mb\xff\0\r\n")
    assert reply.text == "a?[31mb??"


@pytest.mark.parametrize(
    "octets",
    [
        b"hello\r\n",
        b"220 no CR\n",
        b"2200 x\r\n",
        b"22\r\n",
        b"120 x\r\n",
        b"620 x\r\n",
        b"220-a\r\n221 b\r\n",
        b"220 a\rb\r\n",
        b"\r\n",
        b"354 not now\r\n",
        b"220 one\r\n250 unasked\r\n",
    ],
)
def test_what_is_no_reply_is_refused(octets: bytes) -> None:
    """Garbage, bare line ends, wrong codes and unasked replies break the connection (D15)."""
    client = Client()
    with pytest.raises(NextHopError) as caught:
        client.receive(octets)
    assert not caught.value.in_doubt
    assert client.state is State.CLOSED


@pytest.mark.parametrize(
    "octets", [b"220" + b"x" * 70_000, b"220-x\r\n" * 10_000, b"220 " + b"x" * 65_531 + b"\r\n"]
)
def test_endless_replies_are_cut_off(octets: bytes) -> None:
    """10,000 lines, one huge line, no line end: bounded by `reply_octets` (D15)."""
    with pytest.raises(NextHopError, match="too long"):
        Client(limits=Limits(reply_octets=65_536)).receive(octets)


def test_a_reply_of_exactly_the_limit_is_read() -> None:
    """The limit itself is allowed."""
    client = Client(limits=Limits(reply_octets=100))
    assert client.receive(b"220 " + b"x" * 94 + b"\r\n")[0].code == 220


@pytest.mark.parametrize("nonsense", [b"354 more\r\n", b"334 x\r\n", b"hello\r\n"])
def test_nonsense_after_the_dot_leaves_the_outcome_in_doubt(nonsense: bytes) -> None:
    """An intermediate reply is no success; nobody knows who has the message."""
    client = held(ready(), BOB)
    client.commit()
    with pytest.raises(NextHopError) as caught:
        client.receive(nonsense)
    assert caught.value.in_doubt


def test_a_connection_lost_after_the_dot_is_in_doubt() -> None:
    """Before the dot nothing was delivered; after it, unknown."""
    client = held(ready(), BOB)
    client.commit()
    assert client.lost("closed the connection").in_doubt
    assert not held(ready(), BOB).lost("closed the connection").in_doubt


@pytest.mark.parametrize("reply", [b"250 ok\r\n", b"334 x\r\n"])
def test_only_354_starts_the_content(reply: bytes) -> None:
    """Anything else that looks positive would make commands of the content."""
    client = with_recipients(ready(), BOB)
    client.data()
    with pytest.raises(NextHopError, match="no answer"):
        client.receive(reply)


@pytest.mark.parametrize("reply", [b"354 x\r\n", b"334 x\r\n"])
def test_an_intermediate_reply_is_no_acceptance(reply: bytes) -> None:
    """3yz to MAIL or RCPT is nonsense."""
    client = ready()
    client.mail(ALICE)
    with pytest.raises(NextHopError, match="no answer"):
        client.receive(reply)


def test_a_refused_data_leaves_the_transaction_open_for_rset() -> None:
    """A 4yz to DATA is an ordinary reply."""
    client = with_recipients(ready(), BOB)
    client.data()
    assert client.receive(b"451 4.3.0 later\r\n")[0].is_transient
    assert client.reset() == b"RSET\r\n"
    client.receive(b"250 ok\r\n")
    assert client.state is State.READY
    assert client.accepted == ()


def test_refused_content_can_never_be_committed() -> None:
    """Bare line ends raise, and the connection is good for nothing but closing (A10)."""
    client = with_recipients(ready(), BOB)
    client.data()
    client.receive(b"354 go\r\n")
    with pytest.raises(MIMEError):
        list(client.content([b"x\r\n", b"a\n.\r\nMAIL FROM:<x@y.example>\r\n"]))
    with pytest.raises(NextHopError):
        client.commit()
    with pytest.raises(NextHopError):
        client.reset()


def test_half_sent_content_can_never_be_committed() -> None:
    """When the sender stops in the middle the dot would complete a truncated message."""
    client = with_recipients(ready(), BOB)
    client.data()
    client.receive(b"354 go\r\n")
    next(client.content([b"x\r\n", b"y\r\n"]))
    with pytest.raises(NextHopError):
        client.commit()


@pytest.mark.parametrize(
    "command",
    [
        lambda client: client.recipient(BOB),
        lambda client: client.data(),
        lambda client: list(client.content([b"x"])),
        lambda client: client.commit(),
        lambda client: client.tls_started(),
    ],
)
def test_commands_out_of_order_are_refused(command: object) -> None:
    """States are enforced here, not hoped for."""
    with pytest.raises(NextHopError, match="cannot take"):
        command(ready())  # type: ignore[operator]


def test_data_needs_an_accepted_recipient() -> None:
    """A message to nobody is not sent."""
    client = ready()
    client.mail(ALICE)
    client.receive(b"250 ok\r\n")
    client.recipient(BOB)
    client.receive(b"550 no\r\n")
    with pytest.raises(NextHopError, match="no recipient"):
        client.data()


def test_octets_after_the_reply_to_starttls_are_fatal() -> None:
    """They came in clear and would be read as protected ones (T-03, B01)."""
    client = ready()
    client.start_tls()
    with pytest.raises(NextHopError, match="in clear"):
        client.receive(b"220 go\r\n250-evil\r\n")


@pytest.mark.parametrize("injected", [b"250 evil\r\n", b"2", b"\0"])
def test_any_octet_after_the_reply_to_starttls_is_fatal(injected: bytes) -> None:
    """A complete reply, a part of one or a lone octet: all are injections (T-03)."""
    client = ready()
    client.start_tls()
    with pytest.raises(NextHopError):
        client.receive(b"220 go\r\n" + injected)
    assert client.state is State.CLOSED


def test_tls_makes_the_client_forget_what_it_learned() -> None:
    """Capabilities seen before TLS are not used (RFC 3207, 4.2; B09)."""
    client = ready()
    client.start_tls()
    client.receive(b"220 go\r\n")
    client.tls_started()
    assert client.extensions.size is None
    assert client.secure
    with pytest.raises(NextHopError):
        client.mail(ALICE)
    client.hello("gw")
    client.receive(b"250-x\r\n250 DSN\r\n")
    assert client.extensions.dsn


def test_required_tls_that_is_not_offered_is_an_error() -> None:
    """STARTTLS stripped by somebody in the middle never leads to clear text (T-03)."""
    client = Client()
    client.receive(b"220 x\r\n")
    client.hello("gw")
    client.receive(b"250 x\r\n")
    with pytest.raises(NextHopError, match="STARTTLS"):
        client.start_tls()


def test_a_password_goes_only_through_tls() -> None:
    """AUTH PLAIN carries the password readable (RFC 4616)."""
    with pytest.raises(NextHopError, match="clear"):
        ready().authenticate_plain("alice", "secret")
    client = ready(secure=True)
    command = client.authenticate_plain("alice", "s\u00e9cret")
    assert base64.b64decode(command.split()[2]) == "\0alice\0s\u00e9cret".encode()
    assert client.receive(b"235 2.7.0 ok\r\n")[0].code == 235
    assert client.state is State.READY


def test_a_password_never_appears_in_a_repr() -> None:
    """Nothing of a login is kept."""
    client = ready(secure=True)
    client.authenticate_plain("alice", "secret")
    assert "secret" not in repr(vars(client))


def test_a_good_bye_closes() -> None:
    """421 may come at any time, also unasked (RFC 5321, 3.8; D21, D24)."""
    client = ready()
    client.receive(b"421 4.3.2 shutting down\r\n")
    assert client.state is State.CLOSED
    with pytest.raises(NextHopError):
        client.mail(ALICE)


def test_a_refusing_greeting_closes() -> None:
    """554 instead of 220: no service here (RFC 5321, 3.1)."""
    client = Client()
    assert client.receive(b"554 5.3.2 no\r\n")[0].is_permanent
    with pytest.raises(NextHopError):
        client.hello("gw")


@pytest.mark.parametrize("value", ["a b", "a\r\nRCPT TO:<eve@evil.example>", "a\0", "a\tb"])
def test_parameters_cannot_carry_commands(value: str) -> None:
    """A value that would not stay one word is refused (T-12)."""
    with pytest.raises(MIMEError):
        ready().mail(ALICE, [("ENVID", value)])
    with pytest.raises(MIMEError):
        ready().hello(value)


def test_addresses_in_other_scripts_need_smtputf8() -> None:
    """RFC 6531, 3.4: no such address without the parameter."""
    other = Mailbox.parse("ü@corp.example")
    with pytest.raises(AddressError):
        ready().mail(other)
    assert "ü@corp.example".encode() in ready().mail(other, [("SMTPUTF8", "")])
    client = with_recipients(ready())
    with pytest.raises(AddressError):
        client.recipient(other)


def test_quit_ends_the_conversation() -> None:
    """After QUIT nothing can be sent."""
    client = ready()
    assert client.quit() == b"QUIT\r\n"
    client.receive(b"221 2.0.0 bye\r\n")
    assert client.state is State.CLOSED


def test_command_after_the_end_says_who_ended_it() -> None:
    """An administrator reads it: the next hop said 421, and the connection is over (N-06)."""
    client = ready()
    client.mail(None)
    client.receive(b"421 4.3.2 shutting down\r\n")
    with pytest.raises(NextHopError, match="has ended the connection"):
        client.recipient(BOB)
