"""`python -m gradproof` is the command `gradproof`."""

from gradproof.cli.main import app

if __name__ == "__main__":
    app(prog_name="gradproof")
