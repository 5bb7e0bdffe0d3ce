"""Whose network is this address in? The quick answer is the one that ipaddress gives slowly."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.enrich.machines import rows
from pipeline.enrich.networks import Networks

NAMED = [(network, row.signal) for row in rows() for network in row.networks]
OURS = Networks(NAMED)


def _near(text: str) -> st.SearchStrategy[str]:
    """Addresses in and around a network."""
    network = ip_network(text)
    kind = IPv4Address if network.version == 4 else IPv6Address
    first, last = int(network[0]), int(network[-1])
    return st.integers(first - 2, last + 2).map(lambda number: str(kind(number)))


@given(st.one_of(st.ip_addresses().map(str), *(_near(network) for network, _ in NAMED)))
def test_an_address_has_the_name_of_the_network_that_holds_it(ip: str) -> None:
    expected = tuple(name for network, name in NAMED if ip_address(ip) in ip_network(network))
    assert OURS.names(ip) == expected


@given(st.one_of(*(_near(network) for network, _ in NAMED if ":" in network)))
def test_however_an_address_is_spelled(ip: str) -> None:
    assert OURS.names(ip_address(ip).exploded.upper()) == OURS.names(ip)


@given(st.one_of(*(_near(network) for network, _ in NAMED if "." in network)))
def test_a_mapped_address_is_the_address(ip: str) -> None:
    assert OURS.names(f"::ffff:{ip}") == OURS.names(ip)


@given(st.one_of(st.text(), st.sampled_from(["40.94", "40.94.1.1.1", "40.x", "2a01:111:f400", "40.94.1.1 ", "40."])))
def test_what_is_no_address_is_in_no_network(text: str) -> None:
    assert OURS.names(text) == ()


def test_no_address_is_in_no_network() -> None:
    assert OURS.names(None) == ()


@pytest.mark.parametrize(
    ("networks", "wrong"),
    [
        (["10.0.0.0/8", "10.1.0.0/16"], "overlap"),
        (["10.0.0.0/24", "10.0.0.0/24"], "overlap"),
        (["0.0.0.0/7"], "wider"),
        (["2000::/15"], "wider"),
        (["10.0.0.1/24"], "host bits"),
    ],
)
def test_networks_that_cannot_be_told_apart_or_told_fast_are_refused(networks: list[str], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Networks((network, "x") for network in networks)
