"""A book at a local address, for browsers that open no pages from disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gradproof.runtime.errors import GradproofError

HOST = "127.0.0.1"  # only for this computer


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """A line for every request would hide the address."""


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder. Errors: GradproofError where the port is taken."""
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Quiet, directory=str(folder)))
    except (OSError, OverflowError) as error:
        raise GradproofError(f"--port {port}: {error}; 0 takes any port that is free") from None


def serve_folder(folder: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C."""
    with server(folder, port) as running:
        say(f"http://{HOST}:{running.server_port}/index.html (Ctrl-C ends it)")
        running.serve_forever()
