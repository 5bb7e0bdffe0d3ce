"""Deliver: a delivery becomes a signed POST, and the answer decides what comes next."""
