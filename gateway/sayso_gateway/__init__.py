"""The `gateway` process: the one door to the outside. Webhooks, events and requests come in; all of them become events on topics."""
