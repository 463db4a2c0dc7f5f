"""`python -m flyroom` is the command `flyroom`."""

from flyroom.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
