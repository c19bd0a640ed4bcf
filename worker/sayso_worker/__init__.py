"""The `worker` process: workflows, which are pure, and activities, which have effects."""
