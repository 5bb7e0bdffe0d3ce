"""nginx with one worker: the pixel that capture is compared with, and the server that takes every POST."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.bench.processes import Process, tool
from tests.conftest import free_port

# The body of a POST is read and dropped. A connection is never closed for the number of its requests.
CONFIGURATION = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /o/ {{ empty_gif; }}
        location = /counts {{ stub_status; }}
        location / {{ return 204; }}
    }}
}}
"""


class Nginx:
    """A running nginx."""

    def __init__(self, port: int, process: Process) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = process
        self._asked = 0

    @property
    def requests(self) -> int:
        """How many requests it took, those for this number apart."""
        self._asked += 1
        said = requests.get(
            f"{self.url}/counts", timeout=10
        ).text  # "server accepts handled requests" and three numbers
        [taken] = re.findall(r"^ *\d+ +\d+ +(\d+) *$", said, re.MULTILINE)
        return int(taken) - self._asked

    @property
    def answers(self) -> bool:
        """Whether it is there."""
        try:
            return self.requests >= 0
        except requests.ConnectionError:
            self._asked -= 1
            return False


@contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """nginx in a folder (made if need be), ready; ends with the block."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    (folder / "nginx.conf").write_text(CONFIGURATION.format(port=port))
    command = [tool("nginx", "nginx-light"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with Process(command, folder) as process:
        made = Nginx(port, process)
        process.wait_for(lambda: made.answers)
        yield made
