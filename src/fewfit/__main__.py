"""`python -m fewfit` is the command."""

from fewfit.cli.main import main

if __name__ == "__main__":
    main()
