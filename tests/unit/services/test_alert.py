"""Alerts reach a real web server and a real mail server, and never change how a run ends."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from webhook import webhook

from etl.services.alert import send_alert

FACTS = {"event": "refused", "source": "synthea", "run_id": "synthea.r1"}
NAMES = ("CDMFLOW_ALERT_WEBHOOK", "CDMFLOW_ALERT_MAIL", "CDMFLOW_SMTP", "CDMFLOW_ALERT_FROM")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_gets_the_text_and_the_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (url, posted):
        monkeypatch.setenv("CDMFLOW_ALERT_WEBHOOK", url)
        assert send_alert("a subject", "a text", FACTS) == ["webhook"]
    assert posted == [{"text": "a subject\na text", **FACTS}]


def test_a_mail_goes_to_everybody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                said.append(line)
                if line.upper() == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        said.append(text)
                self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")
                if line.upper() == "QUIT":
                    break

    server = socketserver.TCPServer(("127.0.0.1", 0), Mail)
    monkeypatch.setenv("CDMFLOW_ALERT_MAIL", "one@example.org, two@example.org")
    monkeypatch.setenv("CDMFLOW_SMTP", f"127.0.0.1:{server.server_address[1]}")
    with serving(server):
        assert send_alert("a subject", "a text", FACTS) == ["mail"]
    assert "Subject: a subject" in said
    assert "a text" in said
    assert sum(line.startswith("rcpt TO:") for line in said) == 2


def test_a_place_that_does_not_answer_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CDMFLOW_ALERT_WEBHOOK", "http://127.0.0.1:1/secret-token")
    monkeypatch.setenv("CDMFLOW_ALERT_MAIL", "one@example.org")
    monkeypatch.setenv("CDMFLOW_SMTP", "127.0.0.1:1")
    assert send_alert("a subject", "a text", FACTS) == []
    assert "the alert's webhook did not take it" in caplog.text
    assert "the alert's mail did not take it" in caplog.text
    assert "secret-token" not in caplog.text


def test_without_a_place_nobody_is_told_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert send_alert("a subject", "a text", FACTS) == []
    assert "nobody is told" in caplog.text
