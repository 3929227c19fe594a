"""A model hub on this machine, as `huggingface_hub` expects one: one model, its files, and a pause in the middle."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class SmallHub:
    """Serves `model` with `files`. `go_on`: cleared, the second half of large files waits for it."""

    def __init__(self, model: str, files: Mapping[str, bytes]) -> None:
        self.model = model
        self.files = files
        self.go_on = threading.Event()
        self.go_on.set()
        self.began = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def _answer(self, with_body: bool) -> None:
                path = self.path.split("?")[0]
                if path.startswith(f"/api/models/{hub.model}/tree/"):
                    entries = [
                        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                        for name, data in hub.files.items()
                    ]
                    self._send(json.dumps(entries).encode(), with_body, {"Content-Type": "application/json"})
                    return
                if path.startswith(f"/api/models/{hub.model}"):
                    siblings = [{"rfilename": name, "size": len(data)} for name, data in hub.files.items()]
                    found = {"id": hub.model, "modelId": hub.model, "sha": COMMIT, "siblings": siblings, "tags": []}
                    self._send(json.dumps(found).encode(), with_body, {"Content-Type": "application/json"})
                    return
                name = path.removeprefix(f"/{hub.model}/resolve/{COMMIT}/")
                if name not in hub.files:
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.send_header("X-Error-Code", "RepoNotFound" if hub.model not in path else "EntryNotFound")
                    self.end_headers()
                    return
                data = hub.files[name]
                tag = hashlib.sha256(data).hexdigest()
                self._send(data, with_body, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})

            def _send(self, data: bytes, with_body: bool, headers: Mapping[str, str]) -> None:
                self.send_response(200)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if not with_body:
                    return
                half = len(data) // 2
                self.wfile.write(data[:half])
                if half > 1 << 16:
                    self.wfile.flush()
                    hub.began.set()
                    hub.go_on.wait(30)
                self.wfile.write(data[half:])

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
