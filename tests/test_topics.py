"""topics/ is read strictly: a file that is wrong is named, with its field."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import topics
from pipeline.topics import Topic, TopicError, Wanted

GOOD = "description: What happened.\nkey: ACCOUNT/PROFILE\nkept: 7d\n"


def _read(tmp_path: Path, **files: str) -> dict[str, Topic]:
    for name, text in files.items():
        (tmp_path / f"{name.replace('_', '-')}.yaml").write_text(text)
    return topics.read(tmp_path)


def test_a_topic_is_named_by_its_file(tmp_path: Path) -> None:
    read = _read(tmp_path, hits=GOOD + "family: profile\n", tags=GOOD)
    assert read["hits"] == Topic(
        name="hits", description="What happened.", key="ACCOUNT/PROFILE", kept="7d", family="profile", partitions=None
    )
    assert list(read) == ["hits", "tags"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "hits.yaml: description: Field required"),
        ("- a list", "hits.yaml: is not a YAML mapping"),
        ("a: [", "hits.yaml: is not a YAML mapping"),
        ("just words", "hits.yaml: is not a YAML mapping"),
        (GOOD + "retention: 7d\n", "hits.yaml: retention: Extra inputs are not permitted"),
        (GOOD + "compacted: 'yes'\n", "hits.yaml: compacted: Input should be a valid boolean"),
        (GOOD + "partitions: 0\n", "hits.yaml: partitions: Input should be greater than or equal to 1"),
        (GOOD + "partitions: many\n", "hits.yaml: partitions: Input should be a valid integer"),
        (GOOD + "family: mailing\n", "hits.yaml: family: Input should be 'profile' or 'loop'"),
        (GOOD + "value: hit.v9\n", "hits.yaml: value: no contract is called hit.v9"),
        (GOOD + "dead: hits-dead\n", "hits.yaml: dead: there is no hits-dead.yaml"),
        (GOOD + "retry: hits-retry\n", "hits.yaml: retry: there is no hits-retry.yaml"),
        (GOOD + "family: profile\npartitions: 3\n",
         "hits.yaml: partitions: family profile has one count for all its topics"),
        (GOOD.replace("kept: 7d\n", ""), "hits.yaml: kept: say for how long, or compacted: true"),
        (GOOD.replace("7d", "a week"), "hits.yaml: kept: 'a week' is not a duration such as 150ms, 5s, 1m, 2h or 7d"),
        (GOOD.replace("7d", "7"), "hits.yaml: kept: Input should be a valid string"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_named_with_its_field(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TopicError) as refused:
        _read(tmp_path, hits=text)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("seconds", "word"),
    [(5, "5s"), (60, "1m"), (90, "90s"), (300, "5m"), (3600, "1h"), (5400, "90m"), (86_400, "24h"), (86_401, "86401s")],
)
def test_a_delay_is_spelled_in_its_largest_whole_unit(seconds: int, word: str) -> None:
    assert topics.spelled(timedelta(seconds=seconds)) == word
    assert topics.retry_topic(timedelta(seconds=seconds)) == f"deliveries-retry-{word}"


def test_what_a_cluster_should_have(tmp_path: Path) -> None:
    read = _read(
        tmp_path,
        hits=GOOD,
        loops="description: x\nkey: LOOP\npartitions: 1\ncompacted: true\nconfig: {min.compaction.lag.ms: 7}\n",
        deliveries_retry="description: x\nkey: LOOP\nkept: 1d\nper_delay: true\n",
        dead="description: x\nkey: LOOP\nkept: 1d\ncompacted: true\n",
    )
    ladder = (timedelta(minutes=1), timedelta(seconds=5), timedelta(seconds=60))
    assert topics.wanted(read, 3, ladder) == [
        Wanted("dead", 3, {"cleanup.policy": "compact,delete", "retention.ms": "86400000"}),
        Wanted("deliveries-retry-5s", 3, {"cleanup.policy": "delete", "retention.ms": "86405000"}),
        Wanted("deliveries-retry-1m", 3, {"cleanup.policy": "delete", "retention.ms": "86460000"}),
        Wanted("hits", 3, {"cleanup.policy": "delete", "retention.ms": "604800000"}),
        Wanted("loops", 1, {"cleanup.policy": "compact", "retention.ms": "-1", "min.compaction.lag.ms": "7"}),
    ]
