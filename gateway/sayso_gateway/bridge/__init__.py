"""The webhook-to-topic bridge: who sent it (signatures), what it says (messages), onto its topic (routes)."""
