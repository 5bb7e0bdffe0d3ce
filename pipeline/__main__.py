"""`python -m pipeline` is the `loopwire` command."""

from pipeline.cli import main

main()
