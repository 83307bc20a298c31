"""``python -m macqueen.tf_estimator FILE.py ...``: show, or write, what a program of `tf.estimator` becomes.

Exit status: 0, nothing to change, or all was written; 1, something would change; 2, an error: a file cannot be read,
parsed or written. Names that have no counterpart are reported on the standard error stream and change no status.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tokenize
from collections.abc import Sequence
from typing import IO

from macqueen import extras, files
from macqueen.errors import MissingExtraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m macqueen.tf_estimator",
        description="Shows what a program of tf.estimator's k-means becomes with macqueen, as a unified diff.",
        epilog="exit status: 0 nothing to change or all written, 1 something would change, 2 an error",
    )
    parser.add_argument("files", nargs="+", metavar="FILE.py")
    parser.add_argument("--write", action="store_true", help="change the files instead of showing the difference")
    options = parser.parse_args(arguments)
    try:
        extras.needed("libcst", "migrate", "changing a program")
    except MissingExtraError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return max(_treat(path, options.write) for path in options.files)


def _treat(path: str, write: bool) -> int:
    """Show or write one file; return the exit status for it."""
    import libcst  # noqa: PLC0415 -- an extra: main has seen that it is there

    from macqueen.tf_estimator.migrate import migrate  # noqa: PLC0415 -- needs it

    try:
        with open(path, "rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        with open(path, encoding=encoding, newline="") as file:
            migration = migrate(file.read())
        changed = migration.before != migration.after
        if write and changed:
            _replace(path, migration.after.encode(encoding))
    except (OSError, SyntaxError, UnicodeError, libcst.ParserSyntaxError) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 2
    for line, name, remedy in migration.left:
        sys.stderr.write(f"{path}:{line}: {name} has no counterpart and is left alone: {remedy}\n")
    if not write:
        sys.stdout.write(migration.diff(path))
    return int(changed and not write)


def _replace(path: str, content: bytes) -> None:
    """Write a file such that it is whole at any time, with the mode that it has."""
    path = os.path.realpath(path)

    def write(file: IO[bytes]) -> None:
        os.fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode))
        file.write(content)

    files.commit(path, write)


if __name__ == "__main__":
    sys.exit(main())
