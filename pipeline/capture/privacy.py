"""Whose address a hit came from, and how much of it is kept."""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from pipeline.settings import Network

Policy = Literal["full", "truncate", "hash", "none"]
Address = IPv4Address | IPv6Address

KEPT_BITS = {4: 24, 6: 48}  # a household has a /48 to a /64 of IPv6
HASH_BYTES = 16


class Privacy(NamedTuple):
    """IP_POLICY, the proxies whose word counts, and the key of the policy `hash` (up to 64 bytes)."""

    policy: Policy = "full"
    trusted: tuple[Network, ...] = ()
    key: bytes = b""


def ip_of(peer: str, forwarded: Sequence[str], privacy: Privacy) -> str | None:
    """What is kept of the client's address: a hit's `ip`.

    `peer` is the other end of the connection, `forwarded` the values of its X-Forwarded-For headers. Of those
    the rightmost that no trusted proxy wrote counts: what stands left of it, the client may have made up.
    """
    if privacy.policy == "none":
        return None
    if privacy.policy == "full" and not privacy.trusted and ":" not in peer:
        return peer  # as nearly always, and it saves a tenth of a hit's work
    at = address(peer)
    return None if at is None else kept(client(at, forwarded, privacy.trusted), privacy)


def client(peer: Address, forwarded: Sequence[str], trusted: Sequence[Network]) -> Address:
    """The nearest address that is no trusted proxy, else the farthest that is known."""
    hops = ",".join(forwarded).split(",") if forwarded else []
    while hops and any(peer in network for network in trusted):
        told = address(hops.pop())
        if told is None:  # a proxy that hides its client, or a broken one: the proxy is all we know
            break
        peer = told
    return peer


def kept(ip: Address, privacy: Privacy) -> str | None:
    """The address by policy: whole, its network (/24, /48), its keyed BLAKE2b (RFC 7693) in hex, or nothing."""
    match privacy.policy:
        case "full":
            return str(ip)
        case "truncate":
            return str(type(ip)(int(ip) >> _hidden(ip) << _hidden(ip)))
        case "hash":
            return hashlib.blake2b(ip.packed, key=privacy.key, digest_size=HASH_BYTES).hexdigest()
        case "none":
            return None


def address(text: str) -> Address | None:
    """An address as proxies and sockets spell it: with a port, in brackets, IPv4 inside IPv6, with a zone."""
    word = text.strip().strip('"')
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        ip = ip_address(word.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _hidden(ip: Address) -> int:
    return ip.max_prefixlen - KEPT_BITS[ip.version]
