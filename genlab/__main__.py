"""Lets `python -m genlab` run the command line."""

from genlab.cli import app

if __name__ == "__main__":
    app()
