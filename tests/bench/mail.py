"""What the benchmarks work on: an account's profiles, its mailings and what happened to them, the same at each run."""

import itertools
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from pipeline.model.hits import Abuse, AnyHit, Bounce, Click, Delivery, Failure, Open, Unsubscribe
from pipeline.model.ids import key_of, uuid7
from pipeline.model.mailings import Mailing
from pipeline.model.profiles import Profile
from pipeline.record import Record
from pipeline.topics import HITS, PROFILES, TAGS

ACCOUNT = "bench"
MAILINGS = 50
BEGAN = datetime(2026, 3, 20, 9, 15, tzinfo=UTC)
AGENTS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
    "Mozilla/5.0",
)
CITIES = ("Utrecht", "Groningen", "Maastricht", "'s-Hertogenbosch", "Den Haag")
INTERESTS = ("tulips", "garden", "bicycles", "cheese", "skating", "canals")

encode = msgspec.json.Encoder().encode


def profile_id(number: int) -> str:
    """The id of the profile with that number."""
    return f"p{number:06d}"


def email(profile: str) -> str:
    """The address behind a profile."""
    return f"{profile}@mail.example"


def mailing_id(number: int) -> str:
    """The id of the mailing with that number, whatever the number."""
    return f"spring-{number % MAILINGS:02d}"


def tags(mailing: str) -> list[str]:
    """The tags of a mailing."""
    return ["sale", "spring", mailing]


def profiles(count: int) -> Iterator[Record]:
    """`profiles`, about 400 bytes each."""
    for number in range(count):
        name = profile_id(number)
        profile = Profile(
            id=name,
            account=ACCOUNT,
            email=email(name),
            fields={
                "firstname": f"Jané {number}",
                "lastname": "van den Ødegård",
                "city": CITIES[number % len(CITIES)],
                "language": "nl",
                "customer_since": f"20{number % 26:02d}-{number % 12 + 1:02d}-01",
                "orders": number % 40,
                "spent": number % 9_000 / 4,
                "newsletter": number % 3 > 0,
                "loyalty": f"card-{number:08d}",
            },
            interests=[INTERESTS[number % 6], INTERESTS[(number + 2) % 6]],
            created=BEGAN - timedelta(days=number % 900),
            modified=BEGAN,
        )
        yield Record(PROFILES, key_of(ACCOUNT, name).encode(), encode(profile))


def mailings() -> Iterator[Record]:
    """`tags`."""
    for name in map(mailing_id, range(MAILINGS)):
        mailing = Mailing(mailing=name, account=ACCOUNT, name=f"Spring {name}", tags=tags(name))
        yield Record(TAGS, key_of(ACCOUNT, name).encode(), encode(mailing))


def hits(profiles: int) -> Iterator[AnyHit]:
    """Hits of these profiles without end: of thirty, 18 are opens, six are clicks, and six of the other types."""
    dice = random.Random(7)
    for number, make in enumerate(itertools.cycle(MIX)):
        at = BEGAN + timedelta(microseconds=137 * number)
        profile, mailing = profile_id(dice.randrange(profiles)), mailing_id(dice.randrange(MAILINGS))
        yield make(number, Mail(uuid7(at, dice.randbytes(10)), profile, mailing, at))


def hit_records(hits: Iterable[AnyHit]) -> Iterator[Record]:
    """`hits`."""
    for hit in hits:
        yield Record(HITS, key_of(hit.account, hit.profile).encode(), encode(hit))


class Mail(NamedTuple):
    """What every hit knows: its own id, whose it is, which mail it is about, and when it was made."""

    id: str
    profile: str
    mailing: str
    at: datetime

    @property
    def known(self) -> dict[str, Any]:
        """As a hit is told it."""
        return {**self._asdict(), "account": ACCOUNT, "message": f"{self.mailing}.{self.profile}"}


def _by_reader(number: int, method: str = "GET") -> dict[str, Any]:
    return {"ip": f"198.51.100.{number % 254 + 1}", "useragent": AGENTS[number % len(AGENTS)], "method": method}


def _open(number: int, mail: Mail) -> AnyHit:
    return Open(**mail.known, **_by_reader(number))


def _click(number: int, mail: Mail) -> AnyHit:
    url = f"https://shop.example/tulips/{number % 100}?utm_source=spring"
    return Click(**mail.known, **_by_reader(number), referer="https://mail.example/", url=url)


def _unsubscribe(number: int, mail: Mail) -> AnyHit:
    return Unsubscribe(**mail.known, **_by_reader(number, "POST"))


def _delivery(_number: int, mail: Mail) -> AnyHit:
    return Delivery(**mail.known, details={"code": 250, "description": "2.0.0 Ok: queued"})


def _bounce(_number: int, mail: Mail) -> AnyHit:
    return Bounce(**mail.known, details={"code": "5.1.1", "description": "mailbox unknown", "action": "failed"})


def _failure(_number: int, mail: Mail) -> AnyHit:
    return Failure(**mail.known, details={"code": 421, "description": "4.4.2 timeout"})


def _abuse(number: int, mail: Mail) -> AnyHit:
    return Abuse(**mail.known, details={"source": f"fbl-{number % 3}@mail.example"})


_OTHERS = (_delivery, _bounce, _unsubscribe, _failure, _delivery, _abuse)
MIX = tuple(make for other in _OTHERS for make in (_open, _click, _open, _open, other))
