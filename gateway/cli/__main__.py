"""`python -m gateway.cli`."""

from gateway.cli import run

if __name__ == "__main__":
    run()
