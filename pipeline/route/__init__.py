"""Route: an event becomes one delivery for each loop that wants it."""
