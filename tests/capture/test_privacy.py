"""The address of a hit is the reader's, as far as the operator's own proxies tell, and as much of it as he keeps."""

from ipaddress import ip_address, ip_network

import pytest

from pipeline.capture.privacy import Policy, Privacy, address, client, ip_of, kept

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "is_client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1,10.0.0.2", "2001:db8:1::7"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        ("10.0.0.1", ["2001:DB8:2::1"], "2001:db8:2::1"),
        ("10.0.0.1", ['"[2001:db8:2::1]"'], "2001:db8:2::1"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [" , "], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1::1", ["2001:db8:2::1"], "2001:db8:2::1"),
        ("2001:db8:3::1", ["2001:db8:2::1"], "2001:db8:3::1"),
    ],
)
def test_the_client_is_the_nearest_that_no_trusted_proxy_is(peer: str, forwarded: list[str], is_client: str) -> None:
    at = address(peer)
    assert at is not None
    assert client(at, forwarded, PROXIES) == ip_address(is_client)
    assert ip_of(peer, forwarded, Privacy("full", PROXIES)) == is_client


@pytest.mark.parametrize(
    ("policy", "ip", "is_kept"),
    [
        ("full", "203.0.113.9", "203.0.113.9"),
        ("full", "2001:0DB8::1", "2001:db8::1"),
        ("truncate", "203.0.113.9", "203.0.113.0"),
        ("truncate", "2001:db8:1234:5678::9", "2001:db8:1234::"),
        ("hash", "203.0.113.9", "48b076ef2af8ba70fbda9a1e67c384b2"),
        ("hash", "2001:db8::1", "60ce7d19b024cefb3bd1fbf8ca3da157"),
        ("none", "203.0.113.9", None),
        ("none", "2001:db8::1", None),
    ],
)
def test_a_policy_decides_how_much_is_kept(policy: Policy, ip: str, is_kept: str | None) -> None:
    privacy = Privacy(policy, key=b"k" * 32)
    assert kept(ip_address(ip), privacy) == is_kept
    assert ip_of(ip, (), privacy) == is_kept


def test_a_hash_tells_nothing_without_its_key() -> None:
    ip = ip_address("203.0.113.9")
    assert kept(ip, Privacy("hash", key=b"a" * 32)) != kept(ip, Privacy("hash", key=b"b" * 32))


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:80", "203.0.113.9"),
        ("::1", "::1"),
        ("[::1]:80", "::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_an_address_is_read_in_its_many_spellings(text: str, ip: str) -> None:
    assert address(text) == ip_address(ip)


@pytest.mark.parametrize("text", ["", "unknown", "_hidden", "203.0.113", "1.2.3.4.5", "203.0.113.9, 1.2.3.4"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert address(text) is None


def test_a_peer_that_is_no_address_is_unknown() -> None:
    assert ip_of("", ["198.51.100.1"], Privacy("full", PROXIES)) is None
