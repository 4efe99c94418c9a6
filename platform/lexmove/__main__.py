"""Runs the command line as `python -m lexmove`."""

from lexmove.cli import main

if __name__ == "__main__":
    main()
