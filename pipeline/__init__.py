"""Loopwire: who opened, who clicked, told to the customer's own server."""

__version__ = "0.1.0"
