"""`python -m subscribers` from the checkout."""

from sayso.cli.main import main

main(["serve", "subscribers"])
