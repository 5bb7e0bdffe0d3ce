"""Keys are placed as Kafka's Java producer places them."""

import pytest

from pipeline.kafka.murmur2 import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hash_"),
    [
        # The cases of Kafka's own UtilsTest.testMurmur2, as unsigned numbers.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_java(key: bytes, hash_: int) -> None:
    assert murmur2(key) == hash_ & 0xFFFFFFFF


@pytest.mark.parametrize("count", [1, 4, 12, 1000])
def test_a_partition_is_one_of_those_there_are(count: int) -> None:
    assert {0 <= partition_of(f"shop/{number}".encode(), count) < count for number in range(500)} == {True}
    assert partition_of(b"21", count) == (-973932308 & 0x7FFFFFFF) % count


def test_an_empty_key_and_every_length_of_rest_have_a_hash() -> None:
    assert len({murmur2(b"x" * length) for length in range(20)}) == 20
