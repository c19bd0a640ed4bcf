"""Partitions: cuts the connections that a stack has through toxiproxy.

In: the name of a connection (`daprd-kafka`, `app-postgresql-2`). Out: one over which nothing passes any more in either direction,
without either end being told, until it is healed.
"""

from __future__ import annotations

import httpx2

DIRECTIONS = ("upstream", "downstream")
API_SECONDS = 10.0


class Partitions:
    """Close it when done."""

    def __init__(self, port: int) -> None:
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=API_SECONDS, trust_env=False)

    def names(self) -> list[str]:
        """The connections that there are."""
        return sorted(self._client.get("/proxies").raise_for_status().json())

    def cut(self, name: str, *directions: str) -> None:
        """Let nothing through: a toxic without end that swallows all data, as a network does that has lost its route.

        With directions only in these: `downstream` swallows what is answered.
        """
        for direction in directions or DIRECTIONS:
            toxic = {"name": direction, "type": "timeout", "stream": direction, "attributes": {"timeout": 0}}
            self._client.post(f"/proxies/{name}/toxics", json=toxic).raise_for_status()

    def heal(self, name: str) -> None:
        """Let all through again; the connections of before are reset, as what they had in flight is lost."""
        for direction in DIRECTIONS:
            answer = self._client.delete(f"/proxies/{name}/toxics/{direction}")
            if answer.status_code != httpx2.codes.NOT_FOUND:
                answer.raise_for_status()

    def close(self) -> None:
        """Close the connection to the API."""
        self._client.close()
