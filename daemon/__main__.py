"""The `lictor` command; also `python -m lictor.daemon`."""

from __future__ import annotations

from lictor.daemon.commands import cli


def main() -> None:
    """Run the command line of this process."""
    cli(prog_name="lictor")


if __name__ == "__main__":
    main()
