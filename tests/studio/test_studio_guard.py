"""Nothing of the studio can be reached without its token, from another host's page, or by a foreign name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deepstorm3d.studio.guard import Guard

TOKEN = "right-token"
COOKIE = ("cookie", f"deepstorm3d_8765={TOKEN}")
HOST = ("host", "127.0.0.1:8765")


def answer(
    path: str,
    *headers: tuple[str, str],
    kind: str = "http",
    method: str = "GET",
    guard: Guard | None = None,
) -> list[dict[str, Any]]:
    """What a browser is sent; "inside" stands for the application."""
    place, _, query = path.partition("?")
    scope = {
        "type": kind,
        "method": method,
        "path": place,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "inside"})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run((guard or Guard(application, TOKEN))(scope, receive, send))
    return sent


def is_inside(sent: list[dict[str, Any]]) -> bool:
    return sent == [{"type": "inside"}]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("path", ["/", "/data/movie/counts/0", "/_nicegui/static/nicegui.js", "/_nicegui_ws/"])
@pytest.mark.parametrize("cookie", [None, "", "deepstorm3d_8765=wrong", f"deepstorm3d_8766={TOKEN}", "=;;bad"])
def test_without_the_token_there_is_nothing(kind: str, path: str, cookie: str | None):
    headers = [HOST] if cookie is None else [HOST, ("cookie", cookie)]
    sent = answer(path, *headers, kind=kind)
    assert not is_inside(sent)
    if kind == "http":
        assert sent[0]["status"] == 403
        assert "token" in sent[1]["body"].decode()
    else:
        assert sent == [{"type": "websocket.close", "code": 4403}]


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765"])
def test_the_cookie_lets_in_by_any_name_of_this_machine(kind: str, host: str):
    assert is_inside(answer("/", ("host", host), COOKIE, kind=kind))


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "127.0.0.1.evil.example:8765",
        "192.168.1.5:8765",
        "",
        "[::1",
        "localhost:99999",
        "localhost:x",
    ],
)
def test_a_foreign_name_for_this_machine_is_refused_even_with_the_cookie(kind: str, host: str):
    assert not is_inside(answer("/", ("host", host), COOKIE, kind=kind))


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "http://localhost:8765", "null"]
)
def test_another_origin_is_refused_even_with_the_cookie(kind: str, origin: str):
    assert not is_inside(answer("/", HOST, COOKIE, ("origin", origin), kind=kind))


def test_the_own_origin_passes():
    assert is_inside(answer("/", HOST, COOKIE, ("origin", "http://127.0.0.1:8765"), kind="websocket"))


def test_the_printed_address_leads_on_without_the_token_and_keeps_it_in_a_cookie():
    start, _ = answer(f"/?token={TOKEN}&tab=2", HOST)
    headers = dict(start["headers"])
    assert start["status"] == 303 and headers[b"location"] == b"/?tab=2"
    cookie = headers[b"set-cookie"].decode()
    assert cookie.startswith(COOKIE[1]) and "HttpOnly" in cookie and "SameSite=Strict" in cookie


@pytest.mark.parametrize(
    ("path", "kind", "method"),
    [
        ("/?token=wrong", "http", "GET"),
        (f"/?token={TOKEN}", "http", "POST"),
        (f"/?token={TOKEN}", "websocket", "GET"),
    ],
)
def test_a_token_in_the_address_opens_nothing_else(path: str, kind: str, method: str):
    sent = answer(path, HOST, kind=kind, method=method)
    assert not is_inside(sent) and sent[0].get("status") != 303


def test_a_ticket_opens_one_browser_and_the_token_stays_good():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "inside"})

    guard = Guard(application, TOKEN, "right-ticket")
    assert answer("/", HOST, ("cookie", "deepstorm3d_8765=right-ticket"), guard=guard)[0]["status"] == 403
    assert answer("/?token=", HOST, guard=guard)[0]["status"] == 403
    first, again = (answer("/?token=right-ticket", HOST, guard=guard)[0] for _ in range(2))
    assert first["status"] == 303 and dict(first["headers"])[b"set-cookie"].decode().startswith(COOKIE[1])
    assert again["status"] == 403
    assert answer("/?token=", HOST, guard=guard)[0]["status"] == 403
    assert answer(f"/?token={TOKEN}", HOST, guard=guard)[0]["status"] == 303


def test_the_printed_address_never_leads_to_another_host():
    start, _ = answer(f"//evil.example?token={TOKEN}", HOST)
    assert dict(start["headers"])[b"location"] == b"/evil.example"
