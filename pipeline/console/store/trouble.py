"""What went wrong with the database, in words that a log may have."""


def reason(failed: Exception) -> str:
    """Why, in a line: the driver's own words, without the statement and the values that SQLAlchemy adds."""
    words = str(getattr(failed, "orig", None) or failed).strip() or type(failed).__name__
    return words.splitlines()[0]
