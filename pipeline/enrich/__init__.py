"""Enrich: a hit becomes an event, joined with who it was and what the mail was."""
