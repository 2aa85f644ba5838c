"""The server: what is reachable without the token, where it listens, and what keeps it from starting."""

from __future__ import annotations

import http.client
import subprocess
import sys
from contextlib import closing
from email.message import Message
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from served_studio import Served, serving

PATHS = [
    "/",
    "/data/movie/counts/0",
    "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
    "/favicon.ico",
    "/docs",
]


class Answer(NamedTuple):
    status: int
    headers: Message
    body: str


def get(studio: Served, path: str, **headers: str) -> Answer:
    with closing(http.client.HTTPConnection(urlsplit(studio.origin).netloc, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))


def cookie_of(studio: Served) -> str:
    """What a browser keeps after it has opened the printed address."""
    return get(studio, "/?" + studio.url.partition("?")[2]).headers["set-cookie"].partition(";")[0]


def test_without_the_token_nothing_is_reachable(studio: Served):
    cookie = cookie_of(studio)
    linked = [part.partition('"')[0] for part in get(studio, "/", Cookie=cookie).body.split('src="')[1:]]
    assert linked, "the page loads scripts"
    for path in [*PATHS, *linked]:
        answer = get(studio, path)
        assert answer.status == 403 and "token" in answer.body, path
        assert get(studio, path, Cookie=cookie, Host="evil.example").status == 403, path
    assert get(studio, linked[0], Cookie=cookie).status == 200


def test_a_socket_without_the_token_is_closed(studio: Served):
    answer = get(
        studio,
        "/_nicegui_ws/socket.io/?EIO=4&transport=websocket",
        Connection="Upgrade",
        Upgrade="websocket",
        **{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="},
    )
    assert answer.status == 403


def test_it_listens_on_the_loopback_address_alone(studio: Served):
    assert urlsplit(studio.origin).hostname == "127.0.0.1"
    port = urlsplit(studio.origin).port
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("only Linux lists its sockets here")
    listening = [line.split()[1] for line in table.read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def refused(*words: str) -> str:
    """What the command says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "deepstorm3d", "studio", *words, "--no-browser"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_port_that_is_taken_is_named(studio: Served):
    port = urlsplit(studio.origin).port
    assert f"port {port} cannot be used" in refused(str(studio.folder), "--port", str(port))


def test_a_folder_that_is_none_is_named(tmp_path: Path):
    assert "is not a folder" in refused(str(tmp_path / "nothing"))


def test_two_studios_side_by_side_have_their_own_tokens(studio: Served, tmp_path: Path):
    with serving(tmp_path) as other:
        assert other.url.partition("?")[2] != studio.url.partition("?")[2]
        assert get(other, "/?" + studio.url.partition("?")[2]).status == 403
