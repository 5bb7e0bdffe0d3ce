"""Which past events a replay sends again: those its loop wants, within the time and the choices that were given."""

from pipeline.model.ids import milliseconds
from pipeline.model.replays import Replay
from pipeline.route.matching import Matter


def chosen(replay: Replay, event: Matter, written: int) -> bool:
    """Whether the replay asks for the event; `written` is when it was written to `events`, in Unix milliseconds.

    An empty list asks for all.
    """
    return (
        milliseconds(replay.since) <= written < milliseconds(replay.until)
        and (not replay.types or event.type in replay.types)
        and (not replay.mailings or event.mailing in replay.mailings)
        and (not replay.profiles or event.profile in replay.profiles)
        and (not replay.tags or not set(replay.tags).isdisjoint(event.tags or ()))
    )
