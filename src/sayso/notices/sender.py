"""The sender of notices, used by worker activities.

In: a recipient of the directory, a title, a body and the notice's id. Out: delivered to all URLs that the recipient has, or a
`TransientError`. At least once: after a failure call again with the same id, by which a receiver knows a repetition.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sayso.directory import Directory
from sayso.errors import TransientError
from sayso.notices.notice_file import FILE_NAME, FILE_SCHEME, FILE_URL, Notice, append_notice


class NoticeSender:
    """Sends notices; safe for many threads at once. `ConfigurationError` if the directory has a URL that nobody understands."""

    def __init__(self, directory: Directory, state_dir: Path) -> None:
        self._directory = directory
        self._path = state_dir / FILE_NAME
        _check_urls(directory)

    def send(self, recipient: str, title: str, body: str, notice_id: str) -> None:
        """Deliver to the recipient's URLs (an unknown one: the default); `TransientError` says which service failed, and why."""
        notice = Notice(notice_id=notice_id, at=datetime.now(UTC), recipient=recipient, title=title, body=body)
        urls = list(self._directory.notify_urls(recipient))
        if urls == [FILE_URL]:
            reasons = self._write(notice)
        else:
            from sayso.notices.delivery import deliver  # noqa: PLC0415 - apprise is slow to import, and not every worker sends

            reasons = deliver(notice, urls, self._path)
        if reasons:
            raise TransientError(f'notice "{title}" for {recipient} was not delivered: {"; ".join(reasons)}')

    def _write(self, notice: Notice) -> list[str]:
        """The file alone needs no apprise, whose own way to it costs as much as a step of a workflow."""
        try:
            append_notice(self._path, notice)
        except OSError as error:
            return [f"{self._path}: {error.strerror or error}"]
        return []


def _check_urls(directory: Directory) -> None:
    """Loads apprise only if there is more to check than the notice file."""
    for location, url in directory.all_notify_urls():
        scheme, _, rest = url.partition("://")
        if scheme != FILE_SCHEME:
            from sayso.notices.delivery import is_known  # noqa: PLC0415 - as above

            if not is_known(url):
                # Not the URL itself: it may hold a password.
                raise directory.error(location, f"apprise does not understand this {scheme}:// URL; see its wiki for the form")
        elif rest:
            raise directory.error(location, f"write {FILE_SCHEME}:// alone: the file is always {FILE_NAME} in the state folder")
