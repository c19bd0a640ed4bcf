"""What Sayso costs, beside a by-hand Dapr app on the same stack: `make bench`, see docs/benchmark.md."""
