"""The page's server: this machine's own browser alone is answered, and of views that wait the newest alone is drawn."""
# SPDX-License-Identifier: Apache-2.0

import base64
import errno
import json
import secrets
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jaxgen.errors import UserError
from jaxgen.play.explorer import Explorer
from jaxgen.play.page_setup import POLICY, page_of
from jaxgen.play.saving import save
from jaxgen.play.view import View, read_view
from jaxgen.reporting.artefacts import MEDIA

HOST = "127.0.0.1"
_LARGEST = 64 * 1024  # bytes of a request's body
_SILENT = 300  # seconds after which a connection that says nothing is closed


class Refused(Exception):
    """A request that is not answered as asked: the status, and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


class Newest:
    """A lock of which those who wait give way to who comes after them."""

    def __init__(self):
        self._lock, self._count, self._counting = threading.Lock(), 0, threading.Lock()

    def __call__(self, work: Callable[[], Any]) -> Any:
        """What `work` gives; Refused where another came while this one waited."""
        with self._counting:
            self._count += 1
            own = self._count
        with self._lock:
            if own != self._count:
                raise Refused(HTTPStatus.CONFLICT, "a newer view was asked for")
            return work()

    def alone(self, work: Callable[[], Any]) -> Any:
        """What `work` gives, in its turn."""
        with self._lock:
            return work()


class PlayServer(ThreadingHTTPServer):
    """Listens on the loopback device. UserError where the port is taken."""

    daemon_threads = True

    def __init__(self, explorer: Explorer, view: View, port: int):
        self.explorer, self.view, self.drawing = explorer, view, Newest()
        if not 0 <= port <= 65_535:
            raise UserError(f"--port is {port}; give one from 1 to 65535, or 0 for any that is free")
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            why = "is taken by another program" if error.errno == errno.EADDRINUSE else "may not be used"
            raise UserError(f"port {port} {why}; give another --port, or --port 0 for any that is free") from None
        port = self.server_address[1]
        self.hosts = {f"{name}:{port}" for name in (HOST, "localhost")}
        self.hosts |= {HOST, "localhost"} if port == 80 else set()

    def server_bind(self) -> None:
        """Without the look-up of a name, which may wait for a network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone away is none."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # one connection for all pictures
    timeout = _SILENT
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece
    server: PlayServer

    def do_GET(self) -> None:
        self._answered({"/": self._page})

    def do_POST(self) -> None:
        self._answered({"/picture": self._picture, "/save": self._save})

    def _answered(self, known: dict[str, Callable[[bytes], None]]) -> None:
        """The answer, or the sentence that says why there is none."""
        try:
            body = self._body() if self.command == "POST" else b""  # read whatever it is: the connection goes on
            self._check_asker()
            path = self.path.partition("?")[0]
            if path not in known:
                raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path[:80]}")
            known[path](body)
        except Refused as refused:
            self._send_json(refused.status, {"error": str(refused)})
        except UserError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            traceback.print_exc()
            sentence = f"{type(error).__name__}; the terminal has its traceback"
            self._send_json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": sentence})

    def _body(self) -> bytes:
        """A request's. Refused, and the connection closed after that, where it has no length or a large one."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            self.close_connection = True
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a view is sent with its Content-Length")
        if len(length) > 9 or int(length) > _LARGEST:
            self.close_connection = True
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a view has at most {_LARGEST:,} bytes")
        return self.rfile.read(int(length))

    def _check_asker(self) -> None:
        """Refused unless the page itself asks: another name may lead a foreign page here (DNS rebinding)."""
        hosts, origins = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise Refused(HTTPStatus.FORBIDDEN, f"this page is at {self.server.address} alone")
        if any(origin not in {f"http://{host}" for host in self.server.hosts} for origin in origins):
            raise Refused(HTTPStatus.FORBIDDEN, "another page asks, and only this server's own is answered")

    def _page(self, body: bytes) -> None:
        nonce, server = secrets.token_urlsafe(16), self.server
        page = server.drawing.alone(lambda: page_of(server.explorer, server.view, nonce))
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", page.encode(), POLICY.format(nonce=nonce))

    def _picture(self, body: bytes) -> None:
        view, explorer, began = self._view(body), self.server.explorer, time.perf_counter()
        seen = self.server.drawing(lambda: explorer.see(view))
        content = base64.b64encode(seen.artefact.content).decode()
        out = Path(f"play.{seen.artefact.suffix}")
        self._send_json(
            HTTPStatus.OK,
            {
                "picture": f"data:{MEDIA[seen.artefact.suffix]};base64,{content}",
                "captions": seen.captions,
                "command": explorer.command(view, out),
                "milliseconds": round(1000 * (time.perf_counter() - began), 1),
            },
        )

    def _save(self, body: bytes) -> None:
        view = self._view(body)
        saved = self.server.drawing.alone(lambda: save(self.server.explorer, view))
        self._send_json(HTTPStatus.OK, {"file": str(saved.picture), "command": saved.command})

    def _view(self, body: bytes) -> View:
        """The view in a request's body; another page cannot send this kind of content without asking first."""
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a view is sent as application/json")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise UserError("the request is no JSON; send an object of the view's fields") from None
        return read_view(document)

    def _send_json(self, status: HTTPStatus, content: Any) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes, policy: str = "default-src 'none'") -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Content-Security-Policy": policy}
        headers |= {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        headers |= {"Cross-Origin-Resource-Policy": "same-origin"}
        headers |= {"Connection": "close"} if self.close_connection else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *words: Any) -> None:
        """Nothing: the terminal is for what the user should know."""
