"""What is sealed is opened with the same key, for the same owner, unaltered, and in no other way."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model.sealed import SealBrokenError, seal, unseal

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
NONCE = bytes(12)
SEALED = seal(KEY, "lp_7h3k", "whsec_c2VjcmV0", NONCE)


@given(st.text(), st.binary(min_size=12, max_size=12), st.text(max_size=20))
def test_what_was_sealed_is_opened_as_it_was(plain: str, nonce: bytes, owner: str) -> None:
    assert unseal(KEY, owner, seal(KEY, owner, plain, nonce)) == plain


def test_a_sealed_text_stays_readable_for_ever() -> None:
    assert SEALED == "AAAAAAAAAAAAAAAAedTGu9Zz4I9ewspYThxoxmi8gbfequbY4aXFQOwU"


@pytest.mark.parametrize(
    ("key", "owner", "sealed"),
    [
        (OTHER_KEY, "lp_7h3k", SEALED),
        (KEY, "lp_other", SEALED),
        (KEY, "", SEALED),
        (KEY, "lp_7h3k", ""),
        (KEY, "lp_7h3k", "AAAA"),
        (KEY, "lp_7h3k", SEALED[:-4]),
        (KEY, "lp_7h3k", "not base64!"),
        (KEY, "lp_7h3k", "é" + SEALED),
    ],
)
def test_anything_else_is_refused_by_the_owner_s_name(key: bytes, owner: str, sealed: str) -> None:
    with pytest.raises(SealBrokenError, match=f"sealed for {owner} can't be opened with this LOOPWIRE_MASTER_KEY"):
        unseal(key, owner, sealed)


def test_one_bit_flipped_anywhere_is_noticed() -> None:
    raw = base64.b64decode(SEALED)
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBrokenError):
            unseal(KEY, "lp_7h3k", base64.b64encode(flipped).decode())
