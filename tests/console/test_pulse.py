"""Silence is asked about, and only an answer that stays out is an end."""

from concurrent.futures import Future
from typing import Any

from pipeline.console.pulse import Pulse


def test_in_silence_one_question_is_open_and_its_answer_is_life() -> None:
    asked: list[Future[Any]] = []

    def ask() -> "Future[Any]":
        asked.append(Future())
        return asked[-1]

    pulse = Pulse(ask, 0.0)
    assert [pulse.beats(now, heard=True) for now in (1.0, 9.0)] == [True, True]
    assert asked == []
    assert [pulse.beats(now, heard=False) for now in (10.9, 11.0, 13.9, 14.0, 60.0)] == [True, True, True, False, False]
    assert len(asked) == 1
    asked[0].set_result({})
    assert pulse.beats(61.0, heard=False)
    assert pulse.beats(63.0, heard=False)
    assert len(asked) == 2
    asked[1].set_exception(TimeoutError())
    assert pulse.beats(65.9, heard=False)
    assert not pulse.beats(66.0, heard=False)
    assert len(asked) == 3, "it is asked again, however the last question ended"
    assert pulse.beats(67.0, heard=True)
