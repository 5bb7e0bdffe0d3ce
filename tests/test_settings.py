"""A setting is read once; one that can't be used is named in one line."""

import base64
import errno
import os
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from pipeline import settings
from pipeline.settings import Settings, SettingsError

KEY = base64.b64encode(bytes(32)).decode()
DATABASE = "must be postgresql://user:password@host/name or sqlite:///path/to/file"
OTHER = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def _no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOPWIRE_DATA")


def _set(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> Settings:
    monkeypatch.setenv(f"LOOPWIRE_{name}", value)
    return settings.read()


def test_the_defaults_are_those_of_the_contract() -> None:
    ladder = [5, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400, 86_400]
    assert settings.read().model_dump() == {
        "kafka": "", "kafka_config": {}, "group_protocol": "consumer", "data": Path(".loopwire"), "log": "INFO",
        "capture_host": "127.0.0.1", "capture_port": 8080, "capture_workers": 0, "capture_url": "",
        "console_host": "127.0.0.1", "console_port": 8081, "broker_port": 9092, "metrics_port": 8090,
        "admin_key": "", "master_key": "", "token_keys": "",
        "retry_ladder": tuple(timedelta(seconds=one) for one in ladder),
        "allow_networks": (), "egress_proxy": "", "trusted_proxies": (), "ip_policy": "full",
        "spool_deadline": timedelta(milliseconds=150), "spool_limit": 2 * 1024**3, "table_store": "memory",
            "bad_share": 0.5, "bad_in_row": 100,
        "recheck": timedelta(days=7), "topic_prefix": "", "topic_partitions": 12, "topic_replication": 1,
        "database_url": "", "schema_registry": "", "api_url": "", "api_key": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("KAFKA_CONFIG", '{"security.protocol": "SSL"}', {"security.protocol": "SSL"}),
        ("RETRY_LADDER", "1s, 90s,2h", (timedelta(seconds=1), timedelta(seconds=90), timedelta(hours=2))),
        ("ALLOW_NETWORKS", "127.0.0.0/8, fd00::/8", (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))),
        ("ALLOW_NETWORKS", "10.1.2.3", (ip_network("10.1.2.3/32"),)),
        ("ALLOW_NETWORKS", "", ()),
        ("TRUSTED_PROXIES", "10.0.0.0/8", (ip_network("10.0.0.0/8"),)),
        ("SPOOL_DEADLINE", "2s", timedelta(seconds=2)),
        ("SPOOL_LIMIT", "512MiB", 512 * 1024**2),
        ("SPOOL_LIMIT", "1024", 1024),
        ("RECHECK", "off", None),
        ("RECHECK", "12h", timedelta(hours=12)),
        ("CAPTURE_URL", "https://t.example.com/", "https://t.example.com"),
        ("CAPTURE_URL", "https://t.example.com/mail/", "https://t.example.com/mail"),
        ("TOPIC_PREFIX", "staging-", "staging-"),
        ("CAPTURE_WORKERS", "0", 0),
        ("MASTER_KEY", KEY, KEY),
        ("TOKEN_KEYS", f"2:{OTHER},1:{KEY}", f"2:{OTHER},1:{KEY}"),
        ("TABLE_STORE", "disk", "disk"),
        ("IP_POLICY", "truncate", "truncate"),
    ],
)
def test_how_a_setting_is_written(monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: object) -> None:
    assert getattr(_set(monkeypatch, name, value), name.lower()) == read


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CAPTURE_PORT", "http", "Input should be a valid integer, unable to parse string as an integer"),
        ("CAPTURE_PORT", "0", "Input should be greater than or equal to 1"),
        ("CAPTURE_PORT", "65536", "Input should be less than or equal to 65535"),
        ("BROKER_PORT", "65535", "Input should be less than or equal to 65534"),
        (
            "KAFKA_CONFIG",
            "{",
            "is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("KAFKA_CONFIG", "[]", 'must be a JSON object such as {"security.protocol": "SSL"}'),
        ("KAFKA_CONFIG", '{"acks": {}}', "acks must be a text, a number, true or false"),
        ("KAFKA_CONFIG", '{"acks": null}', "acks must be a text, a number, true or false"),
        ("GROUP_PROTOCOL", "eager", "Input should be 'consumer' or 'classic'"),
        ("RETRY_LADDER", ",", "needs at least one delay, such as 5s,1m,5m"),
        ("RETRY_LADDER", "5s,soon", "'soon' is not a duration such as 150ms, 5s, 1m, 2h or 7d"),
        ("RETRY_LADDER", "100ms,1m", "a delay is at least 1s, and whole seconds: it names a topic"),
        ("RETRY_LADDER", "1s,1500ms", "a delay is at least 1s, and whole seconds: it names a topic"),
        ("RETRY_LADDER", "-5s", "'-5s' is not a duration such as 150ms, 5s, 1m, 2h or 7d"),
        ("SPOOL_DEADLINE", "150", "'150' is not a duration such as 150ms, 5s, 1m, 2h or 7d"),
        ("SPOOL_DEADLINE", "1.5s", "'1.5s' is not a duration such as 150ms, 5s, 1m, 2h or 7d"),
        ("RECHECK", "99999999999999999d", "'99999999999999999d' is longer than time itself"),
        ("RECHECK", "0s", "must be 1s or more, or off: what is due at once is due again at once"),
        ("SPOOL_LIMIT", "2GB", "'2GB' is not a size such as 512MiB or 2GiB"),
        ("ALLOW_NETWORKS", "10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("ALLOW_NETWORKS", "localhost", "'localhost' does not appear to be an IPv4 or IPv6 network"),
        ("CAPTURE_URL", "t.example.com", "must be an http or https address such as https://t.example.com"),
        ("CAPTURE_URL", "https://t.example.com/?a", "must be an http or https address such as https://t.example.com"),
        (
            "CAPTURE_URL",
            "https://t.example.com:99999",
            "must be an http or https address such as https://t.example.com",
        ),
        ("CAPTURE_URL", "https://:443", "must be an http or https address such as https://t.example.com"),
        ("API_URL", "http://api.example:0", "must be an http or https address such as https://t.example.com"),
        ("SCHEMA_REGISTRY", "registry", "must be an http or https address such as https://t.example.com"),
        ("EGRESS_PROXY", "http://egress:port", "must be a proxy's address such as http://egress.example:3128"),
        ("ADMIN_KEY", "clé", "must be printable ASCII: it is sent as Authorization: Bearer KEY"),
        ("API_KEY", "lw_\n", "must be printable ASCII: it is sent as Authorization: Bearer KEY"),
        ("MASTER_KEY", "short", "is not base64"),
        ("MASTER_KEY", "c2hvcnQ=", "must be 32 bytes, base64; it is 5 bytes"),
        ("MASTER_KEY", "é", "string argument should contain only ASCII characters"),
        ("TOKEN_KEYS", KEY, "must be kid:base64,... with a kid of 1 to 16 letters, digits, - or _"),
        ("TOKEN_KEYS", f"1:{KEY},", "must be kid:base64,... with a kid of 1 to 16 letters, digits, - or _"),
        ("TOKEN_KEYS", f"1:{KEY},1:{OTHER}", "has the kid 1 twice"),
        ("TOKEN_KEYS", f"1:{KEY},new:c2hvcnQ=", "key new must be 32 bytes, base64; it is 5 bytes"),
        ("TOPIC_PREFIX", "my topics-", "String should match pattern '^[A-Za-z0-9._-]{0,60}$'"),
        ("IP_POLICY", "some", "Input should be 'full', 'truncate', 'hash' or 'none'"),
        ("DATABASE_URL", "mysql://db/x", DATABASE),
        ("DATABASE_URL", "postgresql://db", DATABASE),
        ("DATABASE_URL", "postgres://db/x", DATABASE),
        ("DATABASE_URL", "sqlite://", DATABASE),
        ("DATABASE_URL", "sqlite:///:memory:", DATABASE),
        ("DATABASE_URL", "console.db", DATABASE),
        ("TABLE_STORE", "rocks", "Input should be 'memory' or 'disk'"),
    ],
)
def test_a_setting_that_can_t_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        _set(monkeypatch, name, value)
    assert str(refused.value) == f"LOOPWIRE_{name}: {message}"


@pytest.mark.parametrize("name", ["MASTER_KEY", "TOKEN_KEYS", "KAFKA_CONFIG", "DATABASE_URL"])
def test_a_wrong_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        _set(monkeypatch, name, "hunter2-hunter2")
    assert "hunter2" not in str(refused.value)


def test_secrets_do_not_show() -> None:
    secret = settings.read(
        kafka_config={"sasl.password": "hunter2"}, admin_key="hunter2", api_key="hunter2", master_key=KEY,
        token_keys=f"1:{KEY}", database_url="postgresql://u:hunter2@db/x", egress_proxy="http://u:hunter2@proxy",
    )  # fmt: skip
    assert "hunter2" not in repr(secret) + str(secret)
    assert KEY not in repr(secret)


def test_the_environment_goes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("LOOPWIRE_CAPTURE_PORT=1111\nLOOPWIRE_CONSOLE_PORT=2222\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("LOOPWIRE_CAPTURE_PORT", "3333")
    read = settings.read(_env_file=file)
    assert (read.capture_port, read.console_port) == (3333, 2222)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"LOOPWIRE_KAFKA=\xff\n")
    with pytest.raises(SettingsError, match=r"^\.env: is not UTF-8: invalid start byte at byte 15$"):
        settings.read(_env_file=file)


def test_a_kafka_config_that_is_nested_without_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^LOOPWIRE_KAFKA_CONFIG: is not JSON: maximum recursion depth exceeded"):
        _set(monkeypatch, "KAFKA_CONFIG", "[" * 50_000)


def test_a_file_that_can_t_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_given: object) -> Settings:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), ".env")

    monkeypatch.setattr(settings, "Settings", denied)  # root may read all
    with pytest.raises(SettingsError, match=r"^\.env: can't be read: Permission denied$"):
        settings.read()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.read().kafka = "elsewhere:9092"


@pytest.mark.parametrize(
    ("given", "bootstrap", "tracking", "console"),
    [
        ({}, "127.0.0.1:9092", "http://127.0.0.1:8080", "http://127.0.0.1:8081"),
        (
            {"kafka": "k:9092", "capture_url": "https://t.example.com", "api_url": "https://api.example.com/"},
            "k:9092", "https://t.example.com", "https://api.example.com",
        ),
        (
            {"broker_port": 19092, "capture_host": "0.0.0.0", "console_host": "::"},
            "127.0.0.1:19092", "http://127.0.0.1:8080", "http://[::1]:8081",
        ),
        (
            {"capture_host": "2001:db8::5", "console_host": "console"},
            "127.0.0.1:9092", "http://[2001:db8::5]:8080", "http://console:8081",
        ),
    ],
)  # fmt: skip
def test_the_addresses_of_an_installation(given: dict[str, str], bootstrap: str, tracking: str, console: str) -> None:
    read = settings.read(**given)
    assert (read.bootstrap, read.tracking_url, read.console_url) == (bootstrap, tracking, console)


def test_nothing_of_this_process_s_environment_leaks_into_a_test() -> None:
    assert [name for name in os.environ if name.startswith("LOOPWIRE_") and name != "LOOPWIRE_TEST_KAFKA"] == []
