"""`python -m volok` is the `volok` command."""

from volok.app.cli import main

if __name__ == "__main__":
    main()
