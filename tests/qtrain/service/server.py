"""The process: `python -m tests.qtrain.service.server --folder F`. Prints its port, serves, and ends with its
parent.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from . import faults
from .messages import Reply, Request
from .routes import Routes
from .store import Store
from .worker import Worker

PREFIX = "/experimental/api/v1"


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open from request to request as the client likes it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """The log is in the store."""

    def serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = parts.path.removeprefix(PREFIX)
        request = Request(self.command, path, parse_qs(parts.query, keep_blank_values=True), headers, body)
        routes, store = self.server.routes, self.server.routes.store
        if path == "/__admin__/unreachable":
            self.server.down_for = float(request.json()["seconds"])  # from here on nobody else is answered
            self.send(Reply(204))
            self.server.go_down(self.server.down_for)
            return
        if self.server.down_for:
            self.break_off(faults.Break())
            return
        if path.startswith("/__admin__/"):
            self.send(routes.answer(request))
            return
        fault = faults.strike(store, request)
        number = store.insert(
            "log",
            time=time.time(),
            method=request.method,
            path=path,
            query=json.dumps(request.query),
            fault=fault and fault.get("action", "status"),
        )
        outcome: Reply | faults.Break = Reply()
        if fault is None:
            outcome = routes.answer(request)
        else:
            outcome = faults.apply(fault, lambda: routes.answer(request))
            if isinstance(outcome, Reply):
                time.sleep(fault.get("delay", 0.0))
        if isinstance(outcome, Reply):
            store.write("UPDATE log SET status = ?, job = ? WHERE number = ?", outcome.status, outcome.job, number)
            self.send(outcome)
        else:
            self.break_off(outcome)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def send(self, reply: Reply, upto: int | None = None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.status != 204:
            self.wfile.write(reply.body[:upto])

    def break_off(self, fault: faults.Break) -> None:
        """A reset for the client, not an orderly end."""
        time.sleep(fault.after)
        self.close_connection = True
        if fault.down:
            self.server.go_down(fault.down)
            return
        if fault.reply is not None:
            self.send(fault.reply, upto=len(fault.reply.body) // 2)
            self.wfile.flush()
            return
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.wfile.close()
        self.connection.close()
        raise ConnectionAbortedError("by a fault")  # nothing is left for the base class to flush


class Server(ThreadingHTTPServer):
    """One incarnation of the listening socket."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, routes: Routes) -> None:
        self.routes = routes
        self.connections: set[socket.socket] = set()
        self.down_for = 0.0
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours; anything else goes to the log file."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def go_down(self, seconds: float) -> None:
        """Nobody listens for that long; connections that are open are reset."""
        self.down_for = seconds
        threading.Thread(target=self.shutdown, daemon=True).start()

    def hang_up(self) -> None:
        for connection in list(self.connections):
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it had ended by itself


def watch(parent: int, lifetime: float) -> None:
    """Ends this process when the one that started it is gone, or its time is up."""
    end = time.monotonic() + lifetime
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.2)
    os._exit(3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--lifetime", type=float, required=True)
    parser.add_argument("--snapshots", required=True)
    options = parser.parse_args()
    threading.Thread(target=watch, args=(options.parent, options.lifetime), daemon=True).start()
    store = Store(options.folder)
    worker = Worker(store)
    routes = Routes(store, options.snapshots.split(","), worker.wake)
    worker.start(routes.backends)
    port = options.port
    while True:
        server = Server(port, routes)
        port = server.server_address[1]
        print(port, flush=True)
        server.serve_forever(poll_interval=0.02)
        server.server_close()
        server.hang_up()
        time.sleep(server.down_for)


if __name__ == "__main__":
    main()
