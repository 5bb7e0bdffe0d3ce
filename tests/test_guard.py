"""Which addresses and ports may be called."""

from ipaddress import ip_network

import pytest

from pipeline.guard import literal, port_refusal, refusal


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("93.184.215.14", None),
        ("1.1.1.1", None),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", None),
        ("0.0.0.0", "this network"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("100.128.0.1", None),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.169.254", "link-local"),
        ("172.15.255.255", None),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.1", None),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4 relay"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarking"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "reserved"),
        ("::1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::ffff:93.184.215.14", "IPv4-mapped"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("100::1", "reserved"),
        ("2001:0:4136:e378::1", "Teredo"),
        ("2001:2::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "6to4"),
        ("3fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("fc00::1", "unique local"),
        ("fd12:3456::1", "unique local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "reserved"),
        ("ff02::1", "multicast"),
        ("shop.example", "not an IP address"),
        ("2130706433", "not an IP address"),
        ("0x7f.1", "not an IP address"),
        ("", "not an IP address"),
    ],
)
def test_only_the_public_internet_may_be_called(address: str, why: str | None) -> None:
    assert refusal(address) == why


@pytest.mark.parametrize(
    ("address", "allow", "why"),
    [
        ("127.0.0.1", "127.0.0.0/8", None),
        ("127.0.0.1", "10.0.0.0/8", "loopback"),
        ("127.0.0.1", "::/0", "loopback"),
        ("::1", "127.0.0.0/8", "loopback"),
        ("::1", "::1/128", None),
        ("fd00::5", "fd00::/8", None),
        ("::ffff:127.0.0.1", "127.0.0.0/8", "IPv4-mapped"),
        ("169.254.169.254", "0.0.0.0/0", None),
    ],
)
def test_the_operator_may_allow_a_network(address: str, allow: str, why: str | None) -> None:
    assert refusal(address, (ip_network(allow),)) == why


@pytest.mark.parametrize(
    ("port", "why"),
    [(80, None), (443, None), (1024, None), (8080, None), (65535, None), (0, "port 0"), (22, "port 22"),
     (25, "port 25"), (81, "port 81"), (1023, "port 1023"), (65536, "port 65536"), (-1, "port -1")],
)  # fmt: skip
def test_ports_of_other_services_may_not_be_called(port: int, why: str | None) -> None:
    assert port_refusal(port) == why


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("127.1", "127.0.0.1"), ("2130706433", "127.0.0.1"), ("0x7f.0.0.1", "127.0.0.1"),
     ("0177.0.0.1", "127.0.0.1"), ("0x7f000001", "127.0.0.1"), ("0", "0.0.0.0"), ("10.1", "10.0.0.1"),
     ("127.0.0.1.", "127.0.0.1"), ("[::1]", "::1"), ("::ffff:127.0.0.1", "::ffff:7f00:1"),
     ("fe80::1%eth0", "fe80::1"),
     ("localhost", "127.0.0.1"), ("LOCALHOST.", "127.0.0.1"), ("a.localhost", "127.0.0.1"), ("shop.example", None),
     ("localhost.example", None), ("127.0.0.1 x", None), ("1.2.3.4.5", None), ("256.1.1.1", None), ("", None)],
)  # fmt: skip
def test_an_address_is_known_however_a_host_spells_it(host: str, address: str | None) -> None:
    assert literal(host) == address
