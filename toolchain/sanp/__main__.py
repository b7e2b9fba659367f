"""`sanp`, also as `python -m sanp`: starts the command line, whose packages take a moment to import."""

from __future__ import annotations

import sys


def main() -> None:
    """Run one command. Ctrl-C ends it with exit code 130 and no trace, during the imports too."""
    try:
        from sanp.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
