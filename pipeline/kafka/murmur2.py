"""Where Kafka's own clients put a key: murmur2, as the Java producer computes it."""

MASK = 0xFFFFFFFF
MIX = 0x5BD1E995


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key (org.apache.kafka.common.utils.Utils.murmur2, sign bit cleared)."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """The 32-bit hash, unsigned, with Kafka's seed."""
    h = (0x9747B28C ^ len(data)) & MASK
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * MIX & MASK
        k = (k ^ (k >> 24)) * MIX & MASK
        h = (h * MIX & MASK) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * MIX & MASK
    h = (h ^ (h >> 13)) * MIX & MASK
    return h ^ (h >> 15)
