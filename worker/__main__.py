"""`python -m worker` from the checkout."""

from sayso.cli.main import main

main(["serve", "worker"])
