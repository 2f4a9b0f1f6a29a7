"""What is fuzzed: one function a parser, which takes any bytes and fails if the parser breaks its word.

The word of each parser stands in its docstring: which errors it raises, and what holds for what it returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from receiver.attempts import HandlerCounts
from receiver.envelope import open_envelope, open_fields
from receiver.errors import ConfigurationError, InvalidEvent, OpenError
from receiver.events import Event
from receiver.inbox import metadata
from receiver.keyring import KeyPair, Keyring
from receiver.layout import event_id, job_id, lane_of
from receiver.life import life_line
from receiver.lines import FORMATS
from receiver.pages import _read_cursor, _write_cursor
from receiver.settings import WebSettings, WorkerSettings, duration
from receiver.signature import sign, verify_bearer, verify_signature
from receiver.sources import source_of
from receiver.stored import FIELDS, STATUSES, Filter, read_event
from tests.support.asgi import ask
from workers.progress import Progress
from workers.replayed import read_replay

Target = Callable[[bytes], None]

TARGETS: Final[dict[str, Target]] = {}
SECRET: Final = b"secret-of-the-fuzzers"
TOKEN: Final = b"token-of-the-fuzzers"
# The keys that the envelopes of the corpus are sealed for.
AGENT: Final = KeyPair.from_private(bytes(range(32)))
KEYRING: Final = Keyring([AGENT])
PLACE: Final = {"session_id": "s-1", "field_name": "encryptedResponse"}


def target(function: Target) -> Target:
    """Enter a target under its name."""
    TARGETS[function.__name__] = function
    return function


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


@target
def events(data: bytes) -> None:
    """A strict object that the standard library reads alike, with an id in its alphabet; or `InvalidEvent`."""
    try:
        event = Event.from_bytes(data)
    except InvalidEvent:
        return
    assert event.payload == json.loads(data)
    assert event_id(job_id(event.id)) == event.id
    assert json.loads(metadata(event, len(data)))["id"] == event.id
    lane_of(event.session_id).encode()
    repr(event).encode()


@target
def signature(data: bytes) -> None:
    """Any header is either exactly the right one, or none."""
    header, _, body = data.partition(b"\n")
    assert (verify_signature([b"other", SECRET], body, header) == 1) == (header == sign(SECRET, body).encode())
    is_right = header[:7].lower() == b"bearer " and header[7:] == TOKEN
    assert (verify_bearer([b"other", TOKEN], header) == 1) == is_right


@target
def envelope(data: bytes) -> None:
    """An envelope opens, or gives an `OpenError`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    try:
        opened = open_envelope(value, keyring=KEYRING, **PLACE)
        json.dumps(opened.value)
    except OpenError:
        return
    assert opened.sender_key_id in data.decode()


@target
def fields(data: bytes) -> None:
    """The encrypted fields of an event open, wherever they stand, or give an `OpenError`."""
    try:
        event = Event.from_bytes(data)
        opened = open_fields(event.payload, keyring=KEYRING, session_id=event.session_id)
    except (InvalidEvent, OpenError):
        return
    assert isinstance(opened.value, dict)
    assert not opened.first or opened.senders


@target
def keyring(data: bytes) -> None:
    """A key of 32 bytes, or a `ValueError` that does not quote what it was given."""
    text = _text(data)
    for read in (KeyPair.from_base64, KeyPair.from_api_key):
        try:
            pair = read(text)
        except ValueError as error:
            said = str(error)
        else:
            said = repr(pair)
        assert len(text) < 12 or text not in said


@target
def progress(data: bytes) -> None:
    """Whatever stands in Redis is progress, and what is written of it is read alike."""
    read = Progress.from_json(_text(data))
    again = Progress.from_json(read.to_json())
    assert again.handlers.keys() == read.handlers.keys()
    assert again.to_json() == read.to_json()
    assert read.next_due is None or read.next_due >= 0


@target
def replayed(data: bytes) -> None:
    """Whatever stands in Redis is an order to replay, or none."""
    text, _, accepted_at = _text(data).partition("\n")
    order = read_replay(text, accepted_at)
    assert order is None or isinstance(order.covers("a"), bool)


@target
def stored(data: bytes) -> None:
    """Whatever stands in Redis is an event that can be listed, or none."""
    parts: list[bytes | None] = [part or None for part in data.split(b"\n", len(FIELDS) - 1)]
    parts += [None] * (len(FIELDS) - len(parts))
    event = read_event("evt_1", parts, 0)
    if event is not None:
        json.dumps(event.as_json())
        life_line(event)
        for status in STATUSES:
            Filter(status=status, type="a*", handler="b*").matches(event)


@target
def settings_duration(data: bytes) -> None:
    """Seconds, or a `ValueError`."""
    try:
        assert duration(_text(data)) >= 0
    except ValueError:
        return


@target
def settings(data: bytes) -> None:
    """Settings, or a `ConfigurationError`: lines of ``NAME=value``."""
    values = dict(line.partition("=")[::2] for line in _text(data).splitlines())
    for read in (WebSettings, WorkerSettings):
        try:
            read.from_environment(values)  # type: ignore[attr-defined]  # both have it
        except ConfigurationError as error:
            str(error)


@target
def cursor(data: bytes) -> None:
    """A place in a list that is written as it was read, or a `ValueError`."""
    try:
        place, last = _read_cursor(_text(data))
    except ValueError:
        return
    assert place >= 0
    assert last is not None
    assert _read_cursor(_write_cursor(place, last)) == (place, last)


@target
def attempts(data: bytes) -> None:
    """Whatever stands in Redis is numbers of a handler."""
    counts = HandlerCounts.from_text(_text(data))
    assert HandlerCounts.from_text(counts.to_text()) == counts
    counts.percentile_ms(0.95)


@target
def layout(data: bytes) -> None:
    """Any job id is read as some event id, and a lane is never too long for a key."""
    text = data.decode("utf-8", "replace")
    event_id(text)
    assert len(lane_of(text)) <= 256


@target
def sources(data: bytes) -> None:
    """Any headers give a sender, in bounded length."""
    peer, _, forwarded = data.decode("latin-1").partition("\n")
    for proxies in range(3):
        assert len(source_of(peer, forwarded, proxies)) <= max(64, len(peer))


@target
def logs(data: bytes) -> None:
    """One line a record, without control characters, whatever its name and values hold."""
    name, _, value = data.decode("utf-8", "replace").partition("\n")
    for render in FORMATS.values():
        line = render(0.0, "info", value, {name: value})
        assert len(line) < 10_000
        assert not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in line)


@target
def endpoint(data: bytes) -> None:
    """Any headers and body get an answer of the contract; nothing is accepted that is not signed and in its form.

    Lines of ``name: value``, then a line with an ``!`` where the request is to be signed, then the body.
    """
    head, _, body = data.partition(b"\n\n")
    headers: list[Any] = [tuple(line.partition(b": ")[::2]) for line in head.split(b"\n")]
    if (b"!", b"") in headers:
        headers += [(b"authorization", b"Bearer " + TOKEN), (b"x-hiloop-signature", sign(SECRET, body).encode())]
    asked = ask(headers, [body], token=TOKEN, secret=SECRET, max_body=4096)
    assert asked is not None
    assert asked.status in {202, 400, 401, 413, 415, 422}
    assert (asked.status == 202) == bool(asked.inbox.accepted)
    if asked.status == 202:
        given = [value for name, value in headers if name == b"x-hiloop-signature"]
        assert given == [sign(SECRET, body).encode()]
