"""A small real HTTP server that answers as SCIM does, page by page."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class ScimServer:
    """`users` and `groups` are what it answers now; `status` and `raw` replace the answer."""

    def __init__(self, page: int = 2) -> None:
        self.users: list[dict[str, Any]] = []
        self.groups: list[dict[str, Any]] = []
        self.status, self.raw = 200, None
        self.calls: list[tuple[str, str | None]] = []
        self.page = page
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/scim/v2"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(request.path)
        self.calls.append((asked.path.rpartition("/")[2], request.headers.get("authorization")))
        begin = int(parse_qs(asked.query)["startIndex"][0]) - 1
        entries = self.users if asked.path.endswith("/Users") else self.groups
        page = {"totalResults": len(entries), "startIndex": begin + 1, "Resources": entries[begin : begin + self.page]}
        body = self.raw if self.raw is not None else json.dumps(page).encode()
        request.send_response(self.status)
        request.send_header("content-type", "application/scim+json")
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)
