"""Capture answers a mail's pixel and links, once the hit is safe on the broker."""
