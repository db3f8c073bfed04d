"""`python -m volok`: the command line."""

from volok.app.cli import main

if __name__ == "__main__":
    main()
