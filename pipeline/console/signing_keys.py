"""Keys that sign beside the secrets: made, sealed, and shown by their public halves."""

import base64
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from pipeline.console.seals import Seals
from pipeline.console.shown import KeyShown
from pipeline.deliver.http_signing import txt
from pipeline.deliver.signing import PUBLIC_PREFIX
from pipeline.model.loops import Loop, SigningKey

RSA_BITS = 2048  # what fits into a TXT record, and signs in a millisecond


def new_ed25519(loop: str, seals: Seals, now: datetime) -> SigningKey:
    """A key for `v1a`."""
    seed = seals.random(32)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    sealed = seals.close(loop, base64.b64encode(seed).decode())
    return SigningKey(kind="v1a", sealed=sealed, public=base64.b64encode(public).decode(), created=now)


def new_rsa(loop: Loop, seals: Seals, now: datetime, starts: datetime | None) -> SigningKey:
    """A key for `http`, under the loop's `key_id`."""
    made = rsa.generate_private_key(65537, RSA_BITS)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SigningKey(
        kind="http",
        sealed=seals.close(loop.id, pem),
        public=base64.b64encode(public).decode(),
        created=now,
        name=loop.key_id,
        starts=starts,
    )


def key_shown(key: SigningKey) -> KeyShown:
    """What everybody may know of it."""
    return KeyShown(
        kind=key.kind,
        public=(PUBLIC_PREFIX if key.kind == "v1a" else "") + key.public,
        name=key.name,
        txt=txt(key.public) if key.kind == "http" else None,
        signs_from=key.starts or key.created,
        signs_until=key.expires,
    )
