"""What the gateway does, each with a `curl` that one can type as it stands.

In: its address, a case that has ended, a fresh name. Out: commands and what they show.
"""

from __future__ import annotations

JSON = "-H 'content-type: application/json'"
EXAMPLE = "examples/events/purchase-requested.json"


def http_calls(gateway_url: str, instance_id: str, request_id: str) -> list[tuple[str, str]]:
    """Command and meaning, in the order in which one would try them."""
    request = f'{{"data": {{"request_id": "{request_id}", "amount": 2500, "description": "Conference"}}}}'
    task = f"$(curl -su bob: {gateway_url}/requests/{request_id} | grep -o 'approval-[^\"]*' | head -1)"
    return [
        (f"curl -u alice: {gateway_url}/requests {JSON} -d '{request}'", "ask for something, as alice"),
        (f"curl -u alice: {gateway_url}/requests/{request_id}", "what became of it"),
        (f"curl -u bob: {gateway_url}/tasks", "what waits for a decision, as bob"),
        (f"curl -u bob: {gateway_url}/approve/{task} {JSON} -d '{{\"approved\": true}}'", "approve it"),
        (f"curl -u bob: {gateway_url}/status/{instance_id}", "how far a case is, for polling"),
        (f"curl -u bob: {gateway_url}/events -H 'content-type: application/cloudevents+json' -d @{EXAMPLE}", "send an event"),
        (f"curl -u bob: '{gateway_url}/events?limit=5'", "the latest events, and what became of them"),
        (f"curl -u bob: {gateway_url}/deadletters", "events that could not be used"),
        (f"curl {gateway_url}/openapi.json", "all of it (docs/http-api.md); webhooks go to /webhooks/NAME (docs/webhooks.md)"),
    ]
