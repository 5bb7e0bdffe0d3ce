"""The guard knows which addresses may be called: those of the public internet, and what the operator allows.

Asked at connect about the very address about to be connected, so no name, however it resolves, gets past it.
Networks from the IANA special-purpose registries (RFC 6890 and its updates), as of 2026.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import inet_aton, inet_ntoa

from pipeline.settings import Network

REFUSED_V4 = {
    ip_network(network): why
    for network, why in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "carrier-grade NAT",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "reserved",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4 relay",
        "192.168.0.0/16": "private",
        "198.18.0.0/15": "benchmarking",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved",
    }.items()
}
REFUSED_V6 = {
    ip_network(network): why
    for network, why in {
        "::1/128": "loopback",
        "::ffff:0:0/96": "IPv4-mapped",
        "64:ff9b::/96": "NAT64",
        "64:ff9b:1::/48": "NAT64",
        "2001::/32": "Teredo",
        "2001::/23": "reserved",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "3fff::/20": "documentation",
        "fc00::/7": "unique local",
        "fe80::/10": "link-local",
        "ff00::/8": "multicast",
    }.items()
}
GLOBAL_V6 = ip_network("2000::/3")


def refusal(address: str, allow: tuple[Network, ...] = ()) -> str | None:
    """Why `address` may not be called, in a word or two; None where it may."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "not an IP address"
    if any(ip in network for network in allow):
        return None
    return _special(ip)


def literal(host: str) -> str | None:
    """The IP address a URL's host spells, in whatever way; None where it is a name, for a resolver to answer.

    `127.1`, `2130706433`, `0x7f.0.0.1` and `0177.0.0.1` are what inet_aton takes for 127.0.0.1, and so do clients and
    proxies; `localhost` and what ends in it never leaves the machine (RFC 6761 section 6.3).
    """
    bare = host.strip("[]").rstrip(".").lower()
    if bare == "localhost" or bare.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(bare.partition("%")[0]))
    except ValueError:
        pass
    try:
        return inet_ntoa(inet_aton(bare)) if not any(one.isspace() for one in bare) else None
    except (OSError, UnicodeError):
        return None


def port_refusal(port: int) -> str | None:
    """Why `port` may not be called: 80, 443 and those above 1023 may (others are other services')."""
    return None if port in {80, 443} or 1023 < port <= 65535 else f"port {port}"


def _special(ip: IPv4Address | IPv6Address) -> str | None:
    table = REFUSED_V4 if isinstance(ip, IPv4Address) else REFUSED_V6
    for network, why in table.items():
        if ip in network:
            return why
    return "reserved" if isinstance(ip, IPv6Address) and ip not in GLOBAL_V6 else None
