"""Whose network is this address in? Nearly always nobody's, and that is told without reading the address.

IPv4 stands in IPv6's space where RFC 4291 2.5.5.2 maps it, so one sorted list holds both.
"""

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, ip_address, ip_network
from itertools import product

MAPPED = 0xFFFF << 32
REMEMBERED = 10_000  # addresses; a scanner has few, and each opens much
NOBODY: tuple[str, ...] = ()
HEAD = 4  # characters of an address that are looked at, of which few can begin one of the ranges
DECIMAL, HEXADECIMAL = "0123456789.", "0123456789abcdef:"


class Networks:
    """Ranges with a name each. ValueError where two overlap, or one is wider than an address's first group."""

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        self.heads: set[str] = set()  # how the texts of their addresses begin, HEAD characters each
        ranges = sorted((*self._range(network), name) for network, name in named)
        self._firsts = [first for first, _, _ in ranges]
        self._lasts = [last for _, last, _ in ranges]
        self._names = [(name,) for _, _, name in ranges]
        if any(first <= last for first, last in zip(self._firsts[1:], self._lasts, strict=False)):
            raise ValueError("networks overlap")
        self._searched = lru_cache(REMEMBERED)(self._search)

    def names(self, ip: str | None) -> tuple[str, ...]:
        """The name of the range that holds the address; () for none, and for what is no address."""
        return self._searched(ip) if ip is not None and ip[:HEAD] in self.heads else NOBODY

    def _range(self, text: str) -> tuple[int, int]:
        network = ip_network(text)
        first, last = int(network[0]), int(network[-1])
        if isinstance(network, IPv4Network):
            if network.prefixlen < 8:
                raise ValueError(f"{text} is wider than /8")
            self.heads |= {*_begun(f"{first >> 24}.", DECIMAL), *_begun("::ff", HEXADECIMAL)}
            return MAPPED + first, MAPPED + last
        if network.prefixlen < 16:
            raise ValueError(f"{text} is wider than /16")
        self.heads |= {*_begun(f"{first >> 112:x}:", HEXADECIMAL), *_begun(f"{first >> 112:04x}", HEXADECIMAL)}
        return first, last

    def _search(self, ip: str) -> tuple[str, ...]:
        try:
            address = ip_address(ip)
        except ValueError:
            return NOBODY
        number = int(address) + (MAPPED if address.version == 4 else 0)
        place = bisect_right(self._firsts, number) - 1
        return self._names[place] if place >= 0 and number <= self._lasts[place] else NOBODY


def _begun(text: str, alphabet: str) -> Iterable[str]:
    """All the ways in which HEAD characters that begin with the text can be written."""
    wholes = (text[:HEAD] + "".join(rest) for rest in product(alphabet, repeat=max(HEAD - len(text), 0)))
    return {"".join(one) for whole in wholes for one in product(*({letter, letter.upper()} for letter in whole))}
