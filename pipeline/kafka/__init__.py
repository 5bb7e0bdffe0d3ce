"""The floor on which Kafka is known: one seam, the real cluster and a fake in memory behind it."""
