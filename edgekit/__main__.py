"""`python -m edgekit` is the command `edgekit`."""

from edgekit.cli.entry import main

main()
