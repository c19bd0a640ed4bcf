"""`python -m gateway` from the checkout."""

from sayso.cli.main import main

main(["serve", "gateway"])
