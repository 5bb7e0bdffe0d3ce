"""The files a page needs, read once: each address has its content's hash in it, so browsers keep them for good."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.console.pages.headers import guarded

FOLDER = Path(__file__).parent.parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"
HASH_DIGITS = 12


class Asset(NamedTuple):
    """A file's content, media type and address."""

    content: bytes
    kind: str
    address: str


class Assets:
    """All files of static/."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._assets = {path.name: _asset(path) for path in folder.iterdir() if path.suffix in TYPES}

    def address(self, name: str) -> str:
        """Where the file is; KeyError where there is no such file."""
        return self._assets[name].address

    async def serve(self, request: Request) -> Response:
        """`GET /static/{name}`."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return guarded(PlainTextResponse("there is no such file\n", 404))
        fresh = request.url.query == asset.address.partition("?")[2]
        headers = {"cache-control": FOR_GOOD if fresh else "no-cache"}
        return guarded(Response(asset.content, headers=headers, media_type=asset.kind))


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    version = hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
    return Asset(content, TYPES[path.suffix], f"/static/{path.name}?v={version}")
