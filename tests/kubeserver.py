"""The part of a Kubernetes server's interface that Snakemake's executor uses, on the loopback interface.

with KubeServer() as server:
    server.write_kubeconfig(path)
    job = server.jobs.get(timeout=60)  # the first job that was submitted, as it came
It keeps what it is sent and runs nothing: every job stays active.
"""

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

import yaml


class KubeServer:
    """Takes secrets and jobs."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[dict] = queue.Queue()
        self.secrets: dict[str, dict] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "KubeServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def write_kubeconfig(self, path: Path) -> None:
        """The file that `KUBECONFIG` names."""
        cluster = {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))

    def create(self, kind: str, body: dict) -> dict:
        """What a POST to jobs or secrets does."""
        if kind == "jobs":
            self.jobs.put(body)
        else:
            self.secrets[body["metadata"]["name"]] = body
        return body

    def read(self, kind: str, name: str) -> dict:
        """What a GET of a job's state, or of the pods of jobs, gives."""
        if kind == "jobs":
            return {"metadata": {"name": name}, "status": {"active": 1}}
        return {"metadata": {}, "items": []}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self, status: int, body: dict) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _body(self) -> dict:
                return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")

            def _place(self) -> tuple[str, str]:
                # .../namespaces/{namespace}/{kind}[/{name}[/status]]
                kind, *name = self.path.partition("?")[0].partition("/namespaces/")[2].split("/")[1:3]
                return kind, name[0] if name else ""

            def do_POST(self) -> None:
                self._answer(201, server.create(self._place()[0], self._body()))

            def do_GET(self) -> None:
                self._answer(200, server.read(*self._place()))

            def do_DELETE(self) -> None:
                self._body()
                self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler
