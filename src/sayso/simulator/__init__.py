"""The simulator: production code on virtual time under a seeded broker and seeded crashes, and a checker that knows none of it."""
