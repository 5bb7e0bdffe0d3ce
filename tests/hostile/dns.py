"""A DNS server of the test's own: UDP, A, AAAA and CNAME, each answer for this once (RFC 1035, RFC 3596)."""

import socket
import struct
import threading
from collections.abc import Callable
from ipaddress import ip_address

A, CNAME, AAAA, IN = 1, 5, 28, 1
AUTHORITATIVE, NO_SUCH_NAME = 0x8580, 0x8583
Answers = list[str] | str | None  # addresses, another name, or no such name
SILENT = "silent."  # what begins so is never answered
Zone = Callable[[str, int], Answers]  # name and type asked for


class Dns:
    """Answers on 127.0.0.1, port 53, from `zone`, until its process ends; `asked` are the names it was asked for."""

    def __init__(self, zone: Zone) -> None:
        self.asked: list[tuple[str, int]] = []
        self._zone = zone
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if not _name(question, 12)[0].startswith(SILENT):
                self._socket.sendto(self._answer(question), client)

    def _answer(self, asked: bytes) -> bytes:
        name, end = _name(asked, 12)
        kind, _ = struct.unpack_from("!HH", asked, end)
        self.asked.append((name, kind))
        records, known = self._records(name, kind)
        flags = AUTHORITATIVE if known else NO_SUCH_NAME
        head = asked[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + asked[12 : end + 4] + b"".join(records)

    def _records(self, name: str, kind: int) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        told = self._zone(name, kind)
        while isinstance(told, str):
            found.append(_record(name, CNAME, _packed(told)))
            name, told = told, self._zone(told, kind)
        version = {A: 4, AAAA: 6}.get(kind)
        addresses = [ip_address(one) for one in told or ()]
        found += [_record(name, kind, one.packed) for one in addresses if one.version == version]
        return found, told is not None


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def _packed(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _record(name: str, kind: int, data: bytes) -> bytes:
    """It lives for no time at all: whoever asks again is answered anew."""
    return _packed(name) + struct.pack("!HHIH", kind, IN, 0, len(data)) + data
