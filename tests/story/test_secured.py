"""The line where platform teams run it: TLS, a password each, no rule but those that deploy/README.md asks for."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests
from confluent_kafka import KafkaException

from pipeline import keys
from pipeline.capture.tokens import Link, sign, signing_key
from pipeline.kafka import asking
from pipeline.kafka.admin import Admin
from pipeline.kafka.client import Cluster
from pipeline.kafka.rights import check_rights, rights
from pipeline.local.broker import _until
from pipeline.topics import DELIVERIES_RETRY, EVENTS, HITS, REPLAYS
from tests.customer import Call, Customer
from tests.secured import Rule, access, secured
from tests.story.conftest import Sender, line_settings
from tests.story.lines import STAGES
from tests.story.secure_lines import Secure, SecureLine, running

ONE = "loopwire"  # the user who may do what all stages do
STRANGER = "stranger"  # who may do nothing
TOPICS = "topics"  # who makes them
WHO = {**{stage: stage for stage in STAGES}, TOPICS: "topics apply", ONE: "one user for all stages"}
SEEN_SECONDS = 20.0
WRONG = "a-wrong-password"
NEEDED = "deploy/README.md, Access, has what is needed"
NOT_LET_IN = "SASL authentication error: Authentication failed: Invalid username or password"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Topics are there; each user has what the README says, and nobody's password was ever said."""
    folder = tmp_path_factory.mktemp("secured")
    with secured(folder / "broker", [*WHO, STRANGER]) as broker:
        settings = line_settings(folder / "data", broker.bootstrap, log="DEBUG")
        made = Secure(broker, settings, folder)
        for user, who in WHO.items():
            broker.allow(user, made.prefix, access()[who])
        applied = made.run("topics apply", TOPICS)
        assert applied.end() == 0, applied.said
        yield made
        said = made.all_said()
        assert "Traceback" not in said
        assert [user for user, password in broker.passwords.items() if password in said] == []
        assert WRONG not in said


def types(calls: list[Call]) -> set[tuple[str, str]]:
    return {(call.form["type"], call.headers["loopwire-attempt"]) for call in calls}


def lacks(operation: str, what: str) -> str:
    """The line that says so."""
    return f"the cluster does not allow {operation} on {what}; {NEEDED}"


def said(failed: KafkaException) -> str:
    return str(failed.args[0].str())


def the_whole_story(line: SecureLine, customer: Customer) -> None:
    """An open, its retry, a click, a change and a replay are POSTs, signed, and shown as attempts."""
    sender = Sender(line)
    sender.knows()
    customer.script.append(503)
    loop = sender.loop(customer, events=["open", "click", "update"])
    mail = sender.mail()
    assert requests.get(mail["open"], timeout=20).headers.get("loopwire-hit") is None
    customer.wait(lambda calls: ("open", "2") in types(calls))  # a rung higher
    assert requests.get(mail["click"], timeout=20, allow_redirects=False).status_code == 302
    sender.call("PUT", "/v1/profiles/jane", {"email": "new@example.com"}, expect=204)
    wanted = {("open", "1"), ("open", "2"), ("click", "1"), ("update", "1")}
    calls = customer.wait(lambda calls: types(calls) >= wanted)
    assert types(calls) == wanted
    assert all(call.verified(loop["secret"]) for call in calls)

    def attempts() -> int:
        return len(sender.call("GET", f"/v1/loops/{loop['id']}/attempts").json()["attempts"])

    assert _until(lambda: attempts() == len(wanted), SEEN_SECONDS), f"{attempts()} attempts are shown"
    since = {"from": "2026-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z", "types": ["click"]}
    replay = sender.call("POST", f"/v1/loops/{loop['id']}/replays", since, expect=202).json()["id"]
    customer.wait(lambda calls: len(calls) > len(wanted))

    def state() -> str:
        return str(sender.call("GET", f"/v1/replays/{replay}").json()["state"])

    assert _until(lambda: state() == "done", SEEN_SECONDS), state()


def test_one_user_may_run_all_stages(secure: Secure, customer: Customer) -> None:
    with running(secure, dict.fromkeys(STAGES, ONE)) as line:
        the_whole_story(line, customer)
        assert line.refused == []


def test_the_readme_asks_for_what_the_stages_ask_for() -> None:
    told = access()
    for stage in STAGES:
        found = {Rule(*right) for right in rights(stage, (timedelta(seconds=1),))}
        every = {
            one._replace(name=one.name.replace(f"{DELIVERIES_RETRY}-1s", f"{DELIVERIES_RETRY}-*")) for one in found
        }
        assert every == {rule for rule in told[stage] if rule.operation != "DESCRIBE_CONFIGS"}, stage


@pytest.mark.parametrize("stage", STAGES)
def test_each_topic_s_rule_that_is_missing_is_named(secure: Secure, stage: str) -> None:
    ladder = secure.settings.retry_ladder
    kafka = Cluster(secure.of(stage))
    check_rights(kafka, stage, ladder)
    for rule in access()[stage]:
        if rule.kind == "group" or rule.name.endswith("*") or rule.operation == "DESCRIBE_CONFIGS":
            continue
        with secure.without(stage, *rule), pytest.raises(KafkaException) as missing:
            check_rights(kafka, stage, ladder)
        assert said(missing.value) == lacks(rule.operation, f"{rule.kind} {secure.prefix}{rule.name}")


def test_who_may_do_nothing_is_told_the_first_of_it(secure: Secure) -> None:
    with pytest.raises(KafkaException) as nothing:
        check_rights(Cluster(secure.of(STRANGER)), "console", secure.settings.retry_ladder)
    assert said(nothing.value).startswith(f"the cluster does not allow READ on topic {secure.prefix}attempts, READ on ")
    more = len([one for one in rights("console", secure.settings.retry_ladder) if one.kind == "topic"]) - 6
    assert said(nothing.value).endswith(f" and {more} more; {NEEDED}")


def test_a_topic_that_may_not_be_seen_is_not_said_to_be_missing(
    secure: Secure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SPREAD_SECONDS", 0.0)
    with pytest.raises(KafkaException) as unseen:
        Cluster(secure.of(STRANGER)).partitions([HITS])
    assert said(unseen.value) == lacks("DESCRIBE", f"topic {secure.prefix}{HITS}")
    with pytest.raises(KafkaException) as missing:
        Cluster(secure.of(ONE)).partitions(["nothing"])
    assert said(missing.value) == f"there is no topic {secure.prefix}nothing: run loopwire topics apply"


def test_a_group_that_may_not_be_seen_is_not_waited_for(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "QUESTION_SECONDS", 1.0)
    kafka = Cluster(secure.of("console"))
    assert kafka.committed("loopwire-deliver", [(REPLAYS, 0)]) is not None
    with (
        secure.without("console", "DESCRIBE", "group", "loopwire-deliver"),
        pytest.raises(KafkaException) as unseen,
    ):
        Cluster(secure.of("console")).committed("loopwire-deliver", [(REPLAYS, 0)])
    assert said(unseen.value) == lacks("DESCRIBE", f"group {secure.prefix}loopwire-deliver")


def test_how_a_topic_is_kept_may_stay_unknown_but_not_unsaid(secure: Secure, caplog: pytest.LogCaptureFixture) -> None:
    kafka = Cluster(secure.of("enrich"))
    assert kafka.config(EVENTS)["max.message.bytes"]
    with secure.without("enrich", "DESCRIBE_CONFIGS", "topic", EVENTS):
        assert kafka.config(EVENTS) == kafka.config(EVENTS) == {}
    [line] = caplog.messages
    assert line.startswith(f"kafka: {lacks('DESCRIBE_CONFIGS', f'topic {secure.prefix}{EVENTS}')}; its settings are")


def test_what_topics_apply_may_not_do_is_named(secure: Secure) -> None:
    longer = secure.of(TOPICS).model_copy(update={"retry_ladder": (timedelta(seconds=9),)})
    with secure.without(TOPICS, "CREATE", "topic", "*"):
        admin = Admin(longer)
        [step] = steps = admin.plan()
        with pytest.raises(KafkaException) as refused:
            admin.apply(steps)
    assert said(refused.value) == lacks("CREATE", f"topic {secure.prefix}{step.topic.name}")
    with secure.without(TOPICS, "ALTER_CONFIGS", "topic", "*"), pytest.raises(KafkaException) as unknown:
        Admin(longer).plan()
    assert said(unknown.value).startswith("the cluster does not allow DESCRIBE_CONFIGS on topic ")
    with pytest.raises(KafkaException) as unseen:
        Admin(secure.of(STRANGER)).plan()
    assert said(unseen.value).startswith("the cluster does not allow DESCRIBE on topic ")


@pytest.mark.parametrize(
    ("stage", "operation", "kind", "name"),
    [("enrich", "WRITE", "topic", "events"), ("console", "READ", "topic", "attempts")],
)
def test_a_stage_ends_at_its_start_with_one_line(
    secure: Secure, stage: str, operation: str, kind: str, name: str
) -> None:
    with secure.without(stage, operation, kind, name):
        ended = secure.run(stage, stage)
        assert ended.end() == 1
    assert ended.lines == [lacks(operation, f"{kind} {secure.prefix}{name}")]


@pytest.mark.parametrize("words", ["deliver", "topics apply"])
def test_a_wrong_password_is_one_line(secure: Secure, words: str) -> None:
    ended = secure.run(words, words.partition(" ")[0], sasl_password=WRONG)
    assert ended.end() == 1
    assert ended.lines == [f"sasl_ssl://{secure.broker.bootstrap}/bootstrap: {NOT_LET_IN}"]


def test_a_certificate_that_nobody_vouches_for_is_told(secure: Secure) -> None:
    with pytest.raises(KafkaException, match="certificate verify failed: broker certificate could not be verified"):
        Admin(secure.of(TOPICS, ssl_ca_location="")).plan()


def test_a_forgotten_security_protocol_is_asked_after(secure: Secure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "METADATA_SECONDS", (0.5,))
    kafka = Cluster(secure.of(ONE, security_protocol="PLAINTEXT"))

    def told() -> str:
        with pytest.raises(KafkaException) as away:
            kafka.topics()
        return said(away.value)

    line = "brokers end each connection: is security.protocol in LOOPWIRE_KAFKA_CONFIG what they ask for?"
    assert _until(lambda: told() == line, SEEN_SECONDS), told()
    assert told() == line


def test_capture_keeps_hits_until_it_is_let_in(secure: Secure) -> None:
    """And until then it says why, whether it has a wrong password or no rule for anything that it could write."""
    mail = sign(Link("acme", "jane", "spring"), "open", *signing_key(keys.link_keys(secure.settings), "acme"))

    def is_kept() -> bool:
        answer = requests.get(f"{secure.settings.tracking_url}/o/{mail}", timeout=20)
        return answer.status_code == 200 and "loopwire-hit" not in answer.headers

    with running(secure, {"capture": "capture"}, sasl_password=WRONG) as line:
        assert is_kept()
        line.until_said("capture", f"is not ready: sasl_ssl://{secure.broker.bootstrap}/bootstrap: {NOT_LET_IN}\n")
    with running(secure, {"capture": STRANGER}) as line:
        assert is_kept()
        line.until_said("capture", f"the broker is not ready: {lacks('DESCRIBE', f'topic {secure.prefix}{HITS}')}\n")
        line.until_said("capture", lacks("IDEMPOTENT_WRITE", "the cluster, nor WRITE on a topic"))
        secure.broker.allow(STRANGER, secure.prefix, access()["capture"])

        def drained() -> bool:
            shown = requests.get(f"{secure.settings.tracking_url}/metrics", timeout=20).text
            return "loopwire_capture_drained_total 2\n" in shown

        assert _until(drained, SEEN_SECONDS), line.running["capture"].said


def test_each_stage_needs_no_more_than_the_readme_says_and_ends_where_that_is_taken_away(
    secure: Secure, customer: Customer
) -> None:
    with running(secure, dict(zip(STAGES, STAGES, strict=True))) as line:
        the_whole_story(line, customer)
        assert line.refused == []
        for stage, kind, name in (("enrich", "group", "loopwire-enrich"), ("deliver", "topic", "loops")):
            with secure.without(stage, "READ", kind, name):
                ended = line.running.pop(stage)
                assert ended.end() == 1
            why = lacks("READ", f"{kind} {secure.prefix}{name}")
            assert [why in told for told in ended.lines if "allow" in told] == [True], ended.said
