"""One file a revision. A released one is never edited; METADATA in schema.py is what the newest comes to."""
