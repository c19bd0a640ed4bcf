"""Delivery through apprise, the library that knows a hundred ways to reach people.

In: a notice and notify URLs. Out: the reasons of the services that did not take it. Importing this module imports apprise, which
is slow (a third of a second; its first real URL most of another): only `sender` does, and not before it must.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import apprise
from apprise.plugins.base import NotifyBase

from sayso.notices.notice_file import FILE_SCHEME, FILE_URL, Notice, append_notice

TIMEOUT_SECONDS = 30


class NoticeFileService(NotifyBase):  # type: ignore[no-untyped-call] # apprise is typed in part
    """What `sayso-file://` is to apprise: a service that appends this notice to the notice file."""

    service_name = "Notice file"  # type: ignore[assignment] # its base says None
    secure_protocol = FILE_SCHEME  # type: ignore[assignment]

    def __init__(self, path: Path, notice: Notice) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path
        self._notice = notice

    def url(self, *_args: Any, **_kwargs: Any) -> str:
        """The URL as the directory has it."""
        return FILE_URL

    def send(self, *_args: Any, **_kwargs: Any) -> bool:
        """Append the notice as Sayso wrote it; apprise has trimmed its copy."""
        try:
            append_notice(self._path, self._notice)
        except OSError as error:
            self.logger.warning("%s: %s", self._path, error.strerror or error)
            return False
        return True


def is_known(url: str) -> bool:
    """Whether apprise can make a service of this URL."""
    return url == FILE_URL or isinstance(apprise.Apprise.instantiate(url), NotifyBase)


def deliver(notice: Notice, urls: Iterable[str], path: Path) -> list[str]:
    """Send the notice to all of the URLs: the reasons of those that failed, in the services' own words."""
    services = apprise.Apprise()
    for url in urls:
        services.add(_service_of(url, notice, path))
    # As plain text: services that show HTML or Markdown get it escaped, for it contains the words of other systems.
    result = services.notify(notice.body, notice.title, body_format=apprise.NotifyFormat.TEXT, timeout=TIMEOUT_SECONDS)
    with result:
        if result:
            return []
        reasons = [entry.message for entry in result.logs() if entry.level in {"WARNING", "ERROR", "CRITICAL"}]
    return list(dict.fromkeys(reasons)) or [f"apprise says {result.status.name}"]


def _service_of(url: str, notice: Notice, path: Path) -> NotifyBase | str:
    if url == FILE_URL:
        return NoticeFileService(path, notice)
    return url.replace("{notice_id}", quote(notice.notice_id, safe=""))
