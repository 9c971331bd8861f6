"""The entry point of `points`: turns errors into sentences.

Whatever a person can put right ends as `error [code] sentence` on standard error and exit status 1
(2 for wrong usage, 130 for Ctrl-C). A traceback is a defect of ours and is shown as one. Nothing
of weight is imported before `main` runs, so that Ctrl-C has its meaning from the first moment.
SIGTERM ends a command in the same order as Ctrl-C, so that no process of its own is left behind;
commands that run until stopped have a way of their own for both.
"""

import errno
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""The exit status of Ctrl-C, as shells have it."""

TERMINATED = 143
"""The exit status of SIGTERM, as shells have it."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What output may meet, told without the name of a file."""


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: nobody listens
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    asked = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        # Not by an exception: one that is raised inside an import may be swallowed there.
        if asked:
            signal.signal(signal.SIGINT, _leave)
        from cli.app import app
        from deploy.embedded import EmbeddedServicesError
        from ledger.errors import LedgerError
        from projections.errors import ProjectionError
    finally:
        if asked:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    told_to_end = []

    def end(_number: int, _frame: FrameType | None) -> None:
        told_to_end.append(True)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("interrupted", file=sys.stderr)
            sys.exit(TERMINATED if told_to_end else INTERRUPTED)
        raise
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(TERMINATED if told_to_end else INTERRUPTED)
    except (LedgerError, EmbeddedServicesError, ProjectionError) as error:
        _say(error.code, error.message)
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno not in _NO_ROOM:
            raise
        _drop_output()
        told = LedgerError(_sentence(error), "os_error")
        _say(told.code, told.message)


def _say(code: str, message: str) -> None:
    print(f"error [{code}] {message.rstrip('.')}.", file=sys.stderr)
    sys.exit(1)


def _sentence(error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    if error.filename is None:
        return f"cannot write: {reason}; make room, or write elsewhere."
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"cannot use {name}: {reason}; correct the path, or its permissions."


def _drop_output() -> None:
    """What could not be written stays unwritten: the interpreter would try again at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
