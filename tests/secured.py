"""A broker as platform teams run them: TLS, passwords, and nothing allowed but by a rule."""

import ipaddress
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import (  # type: ignore[attr-defined] # not in its __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.local.broker import HOST, QUIET, Broker, _answers, _last_words, _until
from tests.conftest import free_port

README = Path(__file__).parents[1] / "deploy" / "README.md"
ADMIN = "admin"
ANYTHING: Any = None  # in a filter, which is not annotated so
SECONDS = 60.0


class Rule(NamedTuple):
    """What a user may do with a topic or group, bare; a name that ends in `*` is each that begins so."""

    operation: str
    kind: str
    name: str


def access() -> dict[str, list[Rule]]:
    """Who needs what, as deploy/README.md has it under Access."""
    found: dict[str, list[Rule]] = {}
    who = ""
    for row in re.findall(
        r"^\| (.*) \|$", README.read_text().partition("## Access")[2].partition("\n## ")[0], re.MULTILINE
    ):
        cells = [cell.strip() for cell in f"{row} ".split("|")]
        if len(cells) != 4 or cells[0] in {"who", "---"}:
            continue
        who = cells[0].strip("`") or who
        for kind, named in (("topic", cells[2]), ("group", cells[3])):
            for operation in cells[1].split(", "):
                found.setdefault(who, []).extend(Rule(operation, kind, name) for name in re.findall(r"`(.+?)`", named))
    return found


class Secured:
    """The broker. Each of `users` has a password of its own, and may do nothing yet."""

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        self.passwords = {user: f"pw-{secrets.token_hex(12)}" for user in (ADMIN, *users)}
        folder.mkdir(parents=True)
        self.certificate, key = certificate(HOST)
        self._authority = folder / "authority.pem"
        self._authority.write_text(self.certificate)
        (keys := folder / "keys.pem").write_text(key + self.certificate)
        port = free_port(2)
        self._broker = Broker(folder / "broker", port, _properties(port, keys, self.passwords))
        self._admin: AdminClient

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return self._broker.bootstrap

    def start(self) -> None:
        """Returns once it answers."""
        self._broker.start()
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUIET, **self.config(ADMIN)})
        began = _until(lambda: not self._broker.alive or _answers(self._admin), SECONDS) and self._broker.alive
        assert began, f"the secured broker gives no answer: {_last_words(self._broker.data)}"

    def stop(self) -> None:
        """Ends it."""
        self._broker.stop()

    def config(self, user: str, **other: str) -> dict[str, str]:
        """LOOPWIRE_KAFKA_CONFIG of a user, but for some `other` properties."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": self.passwords[user],
            "ssl.ca.location": str(self._authority),
        } | {name.replace("_", "."): value for name, value in other.items()}

    def allow(self, user: str, prefix: str, rules: Iterable[Rule]) -> None:
        """From now on, of what has the prefix."""
        bindings = [_binding(user, prefix, rule) for rule in rules]
        for done in self._admin.create_acls(bindings).values():
            done.result()
        assert _until(lambda: set(bindings) <= self._rules(user), SECONDS), f"{user} is not allowed {bindings}"

    @contextmanager
    def without(self, user: str, prefix: str, rule: Rule) -> Iterator[None]:
        """The user may not do that as long as the block runs."""
        binding = _binding(user, prefix, rule)
        for done in self._admin.delete_acls([_filter(binding)]).values():
            assert done.result(), f"{user} had no {rule}"
        assert _until(lambda: binding not in self._rules(user), SECONDS), f"{user} is still allowed {rule}"
        try:
            yield
        finally:
            self.allow(user, prefix, [rule])

    def _rules(self, user: str) -> set[AclBinding]:
        """As the broker itself applies them by now."""
        every = AclBindingFilter(
            ResourceType.ANY, ANYTHING, ResourcePatternType.ANY, f"User:{user}", ANYTHING,
            AclOperation.ANY, AclPermissionType.ANY,
        )  # fmt: skip
        return set(self._admin.describe_acls(every).result())


@contextmanager
def secured(folder: Path, users: Iterable[str]) -> Iterator[Secured]:
    """It runs as long as the block does."""
    made = Secured(folder, users)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def certificate(host: str) -> tuple[str, str]:
    """A certificate of that address that vouches for itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM).decode(), private.decode()


def _properties(port: int, keys: Path, passwords: dict[str, str]) -> dict[str, str]:
    """Kafka's own: whoever connects proves who he is, the broker to its controller too."""
    known = " ".join(f'user_{user}="{password}"' for user, password in passwords.items())
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    login = f'{plain} username="{ADMIN}" password="{passwords[ADMIN]}" {known};'
    return {
        "listeners": f"SASL_SSL://{HOST}:{port},CONTROLLER://{HOST}:{port + 1}",
        "advertised.listeners": f"SASL_SSL://{HOST}:{port}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
        "inter.broker.listener.name": "SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": login,
        "listener.name.controller.plain.sasl.jaas.config": login,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(keys.parent / "authority.pem"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:{ADMIN}",
        "allow.everyone.if.no.acl.found": "false",
    }


def _binding(user: str, prefix: str, rule: Rule) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if rule.name.endswith("*") else ResourcePatternType.LITERAL
    kind, name = ResourceType[rule.kind.upper()], prefix + rule.name.removesuffix("*")
    return AclBinding(kind, name, pattern, f"User:{user}", "*", AclOperation[rule.operation], AclPermissionType.ALLOW)


def _filter(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, one.host, one.operation, one.permission_type
    )
