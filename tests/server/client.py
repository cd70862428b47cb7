"""A client written from docs/protocol.md, with nothing but Python's standard library: append, conflict, read, subscribe."""

import socket
import struct
import sys
import uuid
import zlib


class Failed(Exception):
    def __init__(self, code, action, message, fields):
        super().__init__(message)
        self.code, self.action, self.fields = code, action, fields


def text(words):
    data = words.encode()
    return struct.pack("<H", len(data)) + data


class Fields:
    """Takes fields from the front of a body."""

    def __init__(self, body):
        self.body = body

    def bytes(self, count):
        assert len(self.body) >= count, "the body is too short"
        taken, self.body = self.body[:count], self.body[count:]
        return taken

    def number(self, form):
        return struct.unpack("<" + form, self.bytes(struct.calcsize(form)))[0]

    def text(self):
        return self.bytes(self.number("H")).decode()


class Client:
    def __init__(self, host, port, token=""):
        self.socket = socket.create_connection((host, port), timeout=60)
        preamble = b"factwire" + struct.pack("<HH", 1, 1)
        self.socket.sendall(preamble + struct.pack("<I", zlib.crc32(preamble)))
        self.newest = 0
        hello = self.send(1, text(token))
        answer = self.exactly(16)
        assert answer[:8] == b"factwire" and zlib.crc32(answer[:12]) == struct.unpack("<I", answer[12:])[0]
        version, why = struct.unpack("<HH", answer[8:12])
        assert version == 1, f"refused: {why}"
        kind, _ = self.answer(hello)
        assert kind == 0x8001

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, "the server has closed the connection"
            data += more
        return data

    def send(self, kind, body, request=None):
        if request is None:
            self.newest += 1
            request = self.newest
        rest = struct.pack("<QH", request, kind) + body
        length = struct.pack("<I", len(rest) + 4)
        self.socket.sendall(length + struct.pack("<I", zlib.crc32(length + rest)) + rest)
        return request

    def answer(self, request):
        """Kind and fields of the next response to a request; one request is under way at a time here."""
        length = self.exactly(4)
        rest = self.exactly(struct.unpack("<I", length)[0])
        assert struct.unpack("<I", rest[:4])[0] == zlib.crc32(length + rest[4:])
        answered, kind = struct.unpack("<QH", rest[4:14])
        fields = Fields(rest[14:])
        if kind == 0x80FF:
            code, action, message = fields.number("H"), fields.number("B"), fields.text()
            raise Failed(code, action, message, fields)
        assert answered == request, f"an answer to {answered}"
        return kind, fields

    def append(self, stream, condition, version, events):
        body = struct.pack("<H", 1) + text(stream) + struct.pack("<BQ", condition, version)
        body += struct.pack("<H", len(events))
        for id, event_type, payload in events:
            event_type = event_type.encode()
            body += id.bytes + struct.pack("<BqHII", 0, 0, len(event_type), 0, len(payload)) + event_type + payload
        kind, fields = self.answer(self.send(3, body))
        assert kind == 0x8003 and fields.number("H") == 1
        return fields.number("Q"), fields.number("Q"), fields.number("Q")

    def events(self, request):
        """One frame of events: whether it is the last, how far a subscription has come, and the events."""
        kind, fields = self.answer(request)
        assert kind == 0x8004, hex(kind)
        last, position, count = fields.number("B"), fields.number("Q"), fields.number("I")
        events = []
        for _ in range(count):
            place = fields.number("Q"), fields.number("Q")
            fields.number("q")
            id = uuid.UUID(bytes=fields.bytes(16))
            stream, event_type, metadata = fields.number("H"), fields.number("H"), fields.number("I")
            body = Fields(fields.bytes(fields.number("I")))
            stream, event_type = body.bytes(stream).decode(), body.bytes(event_type).decode()
            body.bytes(metadata)
            events.append((*place, id, stream, event_type, body.body))
        return bool(last), position, events

    def read(self, stream, credit):
        """All events of a stream, in as many frames as it takes."""
        body = struct.pack("<BI", 1, credit) + text(stream) + struct.pack("<QQQB", 1, 2**64 - 1, 2**64 - 1, 0)
        request, read = self.send(4, body), []
        while True:
            last, _, events = self.events(request)
            read += events
            if last:
                return read
            # Requests without an answer have the id 0.
            self.send(11, struct.pack("<QI", request, credit), request=0)

    def subscribe(self, category, cursor):
        body = struct.pack("<I", 1 << 20) + b"\0\1" + text(cursor) + b"\0\1" + text(category) + struct.pack("<H", 0)
        request = self.send(8, body)
        kind, fields = self.answer(request)
        assert kind == 0x8006
        return request, fields.number("Q")

    def done(self, kind, body):
        answered, _ = self.answer(self.send(kind, body))
        assert answered == 0x8002


def main(host, port):
    client = Client(host, int(port))
    client.done(2, b"")
    first = [(uuid.uuid4(), "Placed", b'{"total":1}'), (uuid.uuid4(), "Paid", b"{}")]
    assert client.append("order-1", 1, 0, first) == (1, 2, 2)
    assert client.append("order-1", 1, 0, first) == (1, 2, 2), "the same again is answered as the first time"
    try:
        client.append("order-1", 1, 0, [(uuid.uuid4(), "Placed", b"{}")])
        raise AssertionError("a conflict was not seen")
    except Failed as failed:
        assert (failed.code, failed.action) == (1, 1), failed
        assert failed.fields.text() == "order-1"
        assert (failed.fields.number("B"), failed.fields.number("Q"), failed.fields.number("Q")) == (1, 0, 2)
    assert client.append("order-1", 3, 2, [(uuid.uuid4(), "Shipped", b"x" * 5000)]) == (3, 3, 3)
    assert client.append("user-1", 0, 0, [(uuid.uuid4(), "Named", b"{}")])[2] == 4
    for credit in (1, 1 << 20):
        events = client.read("order-1", credit)
        assert [event[:2] for event in events] == [(1, 1), (2, 2), (3, 3)]
        assert [event[2] for event in events[:2]] == [id for id, _, _ in first]
        assert [event[4] for event in events] == ["Placed", "Paid", "Shipped"]
        assert events[0][3] == "order-1" and events[2][5] == b"x" * 5000

    request, start = client.subscribe("order", "python")
    assert start == 0
    got = []
    while len(got) < 3:
        _, position, events = client.events(request)
        got += [event[0] for event in events]
    assert got == [1, 2, 3] and position >= 3
    follower = Client(host, int(port))
    follower.append("order-2", 1, 0, [(uuid.uuid4(), "Placed", b"{}")])
    while len(got) < 4:
        got += [event[0] for event in client.events(request)[2]]
    assert got[3] == 5
    client.done(9, struct.pack("<QQ", request, 5))
    client.done(10, struct.pack("<Q", request))
    assert client.subscribe("order", "python")[1] == 5
    try:
        client.answer(client.send(99, b""))
        raise AssertionError("an unknown request was answered")
    except Failed as failed:
        assert failed.code == 1001
    print("all is well")


main(*sys.argv[1:])
