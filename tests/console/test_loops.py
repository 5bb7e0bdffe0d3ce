"""A loop as it is made, changed, verified and shown."""

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pipeline.console import loops
from pipeline.console.forms import LoopForm, LoopPatch
from pipeline.console.loops import Identity
from pipeline.console.seals import Seals
from pipeline.console.shown import FilterShown, LoopShown, VerificationShown
from pipeline.model.loops import Batch, Filter, Loop, LoopState, Secret
from pipeline.model.sealed import unseal

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = datetime(2026, 2, 2, 3, 4, 5, tzinfo=UTC)
MASTER = b"m" * 32
SEALS = Seals(MASTER, bytes)
NEW = Identity("lp_a", "loopwire-1.txt", "content", "whsec_x")
URL, OTHER = "https://shop.example/in.php", "https://shop.example/out.php"


def _made(**more: Any) -> Loop:
    form = {"name": "shop", "url": URL, "events": ["open"]} | more
    return loops.created("acme", LoopForm.model_validate(form), NEW, SEALS, NOW)


def test_nobody_can_guess_an_identity() -> None:
    assert loops.identity(lambda size: b"\xff" * size) == Identity(
        id="lp_7777777777777777",
        file="loopwire-ffffffffffffffff.txt",
        content="loopwire-" + "ff" * 16,
        secret="whsec_" + "/" * 42 + "8=",
    )
    assert len(set(map(str, [loops.identity(os.urandom) for _ in range(100)]))) == 100


def test_a_new_loop_is_what_was_asked_for_and_its_secret_is_sealed() -> None:
    loop = _made(filter={"tags": ["a"], "machine": False}, rate=2, ordered=True)
    assert loop == Loop(
        id="lp_a",
        account="acme",
        name="shop",
        url=URL,
        events=["open"],
        file="loopwire-1.txt",
        content="content",
        created_at=NOW,
        secrets=loop.secrets,
        filter=Filter(tags=["a"], machine=False),
        rate=2.0,
        ordered=True,
    )
    assert [unseal(MASTER, "lp_a", secret.sealed) for secret in loop.secrets] == ["whsec_x"]
    assert b"whsec_x" not in (loops.row(loop).value or b"")


def test_own_headers_are_sealed_and_only_their_names_are_shown() -> None:
    loop = _made(headers={"Authorization": "Basic abc"})
    assert json.loads(unseal(MASTER, "lp_a", loop.headers or "")) == {"Authorization": "Basic abc"}
    assert loops.shown(loop, None).headers == ["Authorization"]
    assert b"Basic abc" not in (loops.row(loop).value or b"")


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"name": "new"}, {"name": "new"}),
        ({"events": ["click"]}, {"events": ["click"]}),
        ({"filter": {"tags": ["b"]}}, {"filter": Filter(tags=["b"])}),
        ({"fields": ["city"]}, {"fields": ["city"]}),
        ({"rate": 5, "max_in_flight": 3}, {"rate": 5.0, "max_in_flight": 3}),
        ({"format": "json", "batch": {"events": 2}}, {"format": "json", "batch": Batch(events=2)}),
        ({"batch": None}, {"batch": None}),
        ({"headers": None}, {"headers": None, "header_names": []}),
        ({"headers": {}}, {"headers": None, "header_names": []}),
        ({"url": URL}, {}),
        ({"url": OTHER}, {"url": OTHER, "verified_url": None, "verified_at": None}),
    ],
)
def test_a_patch_changes_what_it_names(given: dict[str, Any], changed: dict[str, Any]) -> None:
    before = loops.verified(_made(filter={"mailings": ["m"]}, headers={"X": "y"}), LATER)
    assert loops.patched(before, LoopPatch.model_validate(given), SEALS) == replace(before, **changed)


def test_going_back_to_a_verified_url_proves_nothing() -> None:
    there = loops.patched(loops.verified(_made(), LATER), LoopPatch.model_validate({"url": OTHER}), SEALS)
    back = loops.patched(there, LoopPatch.model_validate({"url": URL}), SEALS)
    assert (back.url, back.verified_url) == (URL, None)
    assert loops.shown(back, None).state == "unverified"


HOUR = timedelta(hours=1)


def _rotations(*after: timedelta) -> list[tuple[str, datetime | None]]:
    """The secrets of a loop that was rotated so long after it was made, and until when each signs."""
    loop = _made()
    for number, later in enumerate(after):
        loop = loops.rotated(loop, f"whsec_{number}", SEALS, NOW + later)
    return [(unseal(MASTER, "lp_a", one.sealed), one.expires) for one in loop.secrets]


@pytest.mark.parametrize(
    ("after", "secrets"),
    [
        ((HOUR,), [("whsec_0", None), ("whsec_x", NOW + 25 * HOUR)]),
        ((HOUR, 2 * HOUR), [("whsec_1", None), ("whsec_0", NOW + 26 * HOUR), ("whsec_x", NOW + 25 * HOUR)]),
        ((HOUR, 25 * HOUR), [("whsec_1", None), ("whsec_0", NOW + 49 * HOUR)]),
        (
            (HOUR, 2 * HOUR, 3 * HOUR),
            [("whsec_2", None), ("whsec_1", NOW + 27 * HOUR), ("whsec_0", NOW + 26 * HOUR)],
        ),
    ],
)
def test_an_old_secret_signs_for_a_day_and_three_at_most_do(
    after: tuple[timedelta, ...], secrets: list[tuple[str, datetime | None]]
) -> None:
    assert _rotations(*after) == secrets


def test_a_rotation_changes_nothing_else() -> None:
    before = loops.verified(_made(headers={"X": "y"}), LATER)
    after = loops.rotated(before, "whsec_n", SEALS, LATER)
    assert replace(after, secrets=before.secrets) == before
    assert after.secrets[1] == Secret(sealed=before.secrets[0].sealed, created=NOW, expires=LATER + 24 * HOUR)


PAUSED = replace(_made(), paused=True)
GONE = LoopState(loop="lp_a", epoch=1, reason="gone", at=NOW)


@pytest.mark.parametrize(
    ("loop", "found", "state"),
    [
        (_made(), None, ("unverified", None)),
        (loops.verified(_made(), LATER), None, ("active", None)),
        (loops.verified(PAUSED, LATER), None, ("paused", None)),
        (loops.verified(_made(), LATER), GONE, ("disabled", "gone")),
        (loops.verified(loops.verified(_made(), LATER), LATER), GONE, ("active", None)),
        (loops.verified(loops.verified(PAUSED, LATER), LATER), GONE, ("paused", None)),
    ],
)
def test_verification_makes_active_except_what_is_paused(
    loop: Loop, found: LoopState | None, state: tuple[str, str | None]
) -> None:
    shown = loops.shown(loop, found)
    assert (shown.state, shown.reason) == state


def test_a_loop_is_shown_whole() -> None:
    assert loops.shown(loops.verified(_made(fields=["city"]), LATER), None) == LoopShown(
        id="lp_a",
        name="shop",
        url=URL,
        events=["open"],
        format="form",
        filter=FilterShown(mailings=[], tags=[], machine=True, exclude_origins=[]),
        fields=["city"],
        headers=[],
        rate=None,
        max_in_flight=None,
        batch=None,
        ordered=False,
        state="active",
        reason=None,
        verification=VerificationShown(
            file="loopwire-1.txt", content="content", urls=["https://shop.example/loopwire-1.txt"]
        ),
        verified_at=LATER,
        created_at=NOW,
        signatures=[],
        key_id=None,
        public_keys=[],
    )


def test_a_row_is_the_loop_and_a_tombstone_is_none() -> None:
    topic, key, value, *_ = loops.row(_made())
    assert (topic, key, msgspec.json.decode(value or b"", type=Loop)) == ("loops", b"lp_a", _made())
    assert loops.tombstone("lp_a")[:3] == ("loops", b"lp_a", None)
