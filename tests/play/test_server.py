"""The server answers its own page alone, each mistake with a sentence, and of many views the newest."""
# SPDX-License-Identifier: Apache-2.0

import base64
import http.client
import json
import re
import socket
import threading
import time
from dataclasses import replace

import pytest

from jaxgen.errors import UserError
from jaxgen.play.page_setup import _inside_script
from jaxgen.play.server import PlayServer
from jaxgen.play.view import View
from tests.play.explorers import kept

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server():
    with PlayServer(kept("gan"), View("3"), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def asked(server, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict, bytes]:
    """Status, headers and content. Headers are the page's own but for those named; none leaves one out."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=60)
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {"Host": f"127.0.0.1:{server.server_address[1]}", "Content-Length": str(len(content)), **JSON}
    own |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in own.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(content)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def sentence(answer: tuple[int, dict, bytes]) -> str:
    told = json.loads(answer[2])
    assert list(told) == ["error"] and "\n" not in told["error"]
    return told["error"]


def test_a_view_is_answered_with_its_picture_and_command(server):
    status, _, content = asked(server, "POST", "/picture", {"given": "3", "seed": 4, "sliders": [1, -0.5]})
    found = json.loads(content)
    kind, _, data = found["picture"].partition(",")
    picture = kept("gan").see(View("3", 4, 1, (1, -0.5))).artefact.content
    assert (status, kind, base64.b64decode(data)) == (200, "data:image/png;base64", picture)
    assert found["captions"] == ["3"] and found["milliseconds"] > 0
    assert found["command"].endswith("--given=3 --seed 4 --count 1 --sliders=1,-0.5 --out play.png")


def test_the_page_is_whole_and_loads_nothing(server):
    status, headers, content = asked(server, "GET", "/?from=a+bookmark")
    page = content.decode()
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert not re.findall(r"https?://|\bsrc=|@import|url\(", page) and "{{" not in page
    nonce = re.search("script-src 'nonce-([^']+)'", headers["Content-Security-Policy"])[1]
    assert page.count(f'nonce="{nonce}"') == page.count("<script") == 2
    assert "default-src 'none'" in headers["Content-Security-Policy"] and headers["Cache-Control"] == "no-store"
    assert nonce not in asked(server, "GET", "/")[2].decode()
    setup = json.loads(re.search(r'id="setup"[^>]*>(.*?)</script>', page)[1])
    assert setup["choices"] == list("0123456789") and setup["view"]["given"] == "3" and setup["directions"] == 8
    assert setup["knobs"] == [{"name": "truncation", "value": 1.0, "high": 2.0}]


def test_no_name_of_a_class_ends_the_script():
    hostile = {"choices": ["</script><script>alert(1)</script>", "<!--", "a & b"]}
    inside = _inside_script(hostile)
    assert not set("<>&") & set(inside) and json.loads(inside) == hostile


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "", None])
@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/picture"), ("POST", "/save")])
def test_another_host_is_refused(server, host, method, path):
    """As by DNS rebinding: the foreign page's own name leads to this machine."""
    name = host if host is None else host.format(port=server.server_address[1])
    answer = asked(server, method, path, {}, Host=name)
    assert answer[0] == 403 and sentence(answer) == f"this page is at {server.address} alone"


def test_both_names_of_this_machine_are_its_own(server):
    port = server.server_address[1]
    for name in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert asked(server, "GET", "/", Host=name)[0] == 200
        assert asked(server, "POST", "/picture", {}, Host=name, Origin=f"http://{name.lower()}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1"])
def test_another_origin_is_refused(server, origin):
    origin = origin.format(port=server.server_address[1])
    answer = asked(server, "POST", "/picture", {}, Origin=origin)
    assert answer[0] == 403 and "another page asks" in sentence(answer)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "told"),
    [
        ("GET", "/picture", None, {}, 404, "there is nothing at /picture"),
        ("GET", "/../setup.py", None, {}, 404, "there is nothing at"),
        ("POST", "/", {}, {}, 404, "there is nothing at /"),
        ("POST", "/picture", {}, {"Content_Type": "text/plain"}, 415, "sent as application/json"),
        ("POST", "/picture", {}, {"Content_Type": None}, 415, "sent as application/json"),
        ("POST", "/picture", {}, {"Content_Length": None}, 411, "with its Content-Length"),
        ("POST", "/picture", {}, {"Content_Length": "-2"}, 411, "with its Content-Length"),
        ("POST", "/picture", {}, {"Content_Length": "65537"}, 413, "at most 65,536 bytes"),
        ("POST", "/picture", {}, {"Content_Length": "9" * 5000}, 413, "at most 65,536 bytes"),
        ("POST", "/picture", b"{", {}, 400, "no JSON"),
        ("POST", "/picture", b"\xff", {}, 400, "no JSON"),
        ("POST", "/picture", b"[" * 60_000, {}, 400, "no JSON"),
        ("POST", "/picture", b'{"seed": NaN}', {}, 400, "seed is NaN"),
        ("POST", "/picture", b'{"sliders": [1e999]}', {}, 400, "sliders"),
        ("POST", "/picture", {"count": 100_000}, {}, 400, "count is 100000; give a whole number from 1 to 16"),
        ("POST", "/picture", {"given": "no digit"}, {}, 400, "there is no class 'no digit'"),
        ("POST", "/save", {"knobs": {"truncation": -1}}, {}, 400, "truncation is -1"),
        ("POST", "/save", {"workdir": "/"}, {}, 400, "no field 'workdir'"),
    ],
    ids=lambda part: None,
)
def test_a_mistake_is_answered_with_a_sentence(server, method, path, body, headers, status, told):
    answer = asked(server, method, path, body, **headers)
    assert answer[0] == status and told in sentence(answer)


def test_one_connection_serves_mistakes_and_pictures(server):
    connection = http.client.HTTPConnection(*server.server_address, timeout=60)
    for body, status in ((b"{", 400), (b"{}", 200), (b'{"seed": -1}', 400), (b'{"seed": 1}', 200)):
        connection.request("POST", "/picture", body, JSON)
        answer = connection.getresponse()
        assert answer.status == status and json.loads(answer.read())
    connection.close()


def test_of_views_that_wait_the_newest_alone_is_drawn(server):
    """Twenty, as a moving slider sends them, while something is drawn; none of them is lost, one is drawn."""
    answers = {}

    def ask(seed: int) -> None:
        answers[seed] = asked(server, "POST", "/picture", {"seed": seed})

    drawing = server.drawing
    threads, before = [threading.Thread(target=ask, args=(seed,)) for seed in range(20)], drawing._count
    with drawing._lock:
        for number, thread in enumerate(threads, 1):
            thread.start()
            until = time.monotonic() + 30
            while drawing._count < before + number and time.monotonic() < until:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert [answers[seed][0] for seed in range(20)] == [409] * 19 + [200]
    assert sentence(answers[0]) == "a newer view was asked for"
    assert "--seed 19" in json.loads(answers[19][2])["command"]


def test_a_browser_that_goes_away_is_no_error(server, capfd):
    """Its picture is drawn for nobody, and the next one is answered."""
    body = json.dumps({"count": 16}).encode()
    for _ in range(3):
        with socket.create_connection(server.server_address) as line:
            host = f"Host: 127.0.0.1:{server.server_address[1]}"
            head = f"POST /picture HTTP/1.1\r\n{host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            line.sendall(f"{head}\r\n\r\n".encode() + body)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close with a reset
    while (
        status := asked(server, "POST", "/picture", {})[0]
    ) == 409:  # theirs came later: asked again, as the page does
        time.sleep(0.01)
    assert status == 200 and "Traceback" not in capfd.readouterr().err


def test_a_taken_port_is_told(server):
    port = server.server_address[1]
    with pytest.raises(UserError, match=f"port {port} is taken by another program; give another --port, or --port 0"):
        PlayServer(kept("gan"), View(), port)
    for wrong in (-1, 65_536):
        with pytest.raises(UserError, match=f"--port is {wrong}; give one from 1 to 65535"):
            PlayServer(kept("gan"), View(), wrong)


def test_nobody_else_can_reach_it(server):
    assert server.server_address[0] == "127.0.0.1"


def test_what_is_saved_is_what_is_seen_and_overwrites_nothing(server):
    folder = kept("gan").trained.folder / "samples"
    folder.mkdir(exist_ok=True)
    (folder / "play-1.png").write_text("mine")
    (folder / "play-2.txt").write_text("mine")
    view = {"given": "3", "seed": 4}
    files = [json.loads(asked(server, "POST", "/save", view)[2]) for _ in range(2)]
    assert [found["file"] for found in files] == [str(folder / f"play-{number}.png") for number in (3, 4)]
    picture = kept("gan").see(View("3", 4)).artefact.content
    for found, number in zip(files, (3, 4), strict=True):
        assert (folder / f"play-{number}.png").read_bytes() == picture
        assert (folder / f"play-{number}.txt").read_text() == found["command"] + "\n"
    assert (folder / "play-1.png").read_text() == (folder / "play-2.txt").read_text() == "mine"


def test_a_folder_that_takes_no_file_is_told(server, monkeypatch, tmp_path):
    (tmp_path / "samples").write_text("a file")
    monkeypatch.setattr(kept("gan"), "trained", replace(kept("gan").trained, folder=tmp_path))
    answer = asked(server, "POST", "/save", {})
    assert answer[0] == 400 and "nothing could be saved in" in sentence(answer)
