"""`python -m prodmatch_core`: the command line where no script was installed."""

from prodmatch_core.cli import main

main()
