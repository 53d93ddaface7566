"""Telling people that a night went wrong: by webhook, by mail, or both, as the settings say. Ids and counts only."""

import json
import smtplib
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage

from etl.config import Alerts, alerts
from etl.log import get_logger

log = get_logger(__name__)

TIMEOUT_S = 20


def send_alert(subject: str, text: str, facts: dict[str, str]) -> list[str]:
    """Send it to every place that is configured; the places that took it.

    A place that does not answer is logged by the kind of its error: an alert never changes how a run ends.
    """
    to = alerts()
    ways: dict[str, Callable[[], None]] = {}
    if to.webhook:
        ways["webhook"] = lambda: _post(str(to.webhook), subject, text, facts)
    if to.mail:
        ways["mail"] = lambda: _mail(to, subject, text)
    told = []
    for name, send in ways.items():
        try:
            send()
            told.append(name)
        except (OSError, smtplib.SMTPException, urllib.error.URLError) as error:
            log.error("the alert's %s did not take it (%s)", name, type(error).__name__)
    if not ways:
        log.warning("nobody is told: neither CDMFLOW_ALERT_WEBHOOK nor CDMFLOW_ALERT_MAIL is set")
    return told


def _post(url: str, subject: str, text: str, facts: dict[str, str]) -> None:
    """`text` is what Slack, Mattermost and Teams show; the facts are for programs."""
    body = json.dumps({"text": f"{subject}\n{text}", **facts}).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        answer.read()


def _mail(to: Alerts, subject: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, to.sender, ", ".join(to.mail)
    message.set_content(text)
    with smtplib.SMTP(to.smtp_host, to.smtp_port, timeout=TIMEOUT_S) as server:
        server.send_message(message)
