"""Monitor runs: a monitor of thousands of checks on a real stack, a target that fails by a seeded schedule, events all along."""
