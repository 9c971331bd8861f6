"""Writing the next part of the log, as a process of its own, so that its memory is its own too."""

import sys
import time

from benchmarks.scale import writer

TOLD_SECONDS = 5.0
"""Between two words about how far it is."""


def main() -> None:
    """Arguments: database URL, file of the histories, members before, members. Prints how many
    events it wrote."""
    url, file, before, members = sys.argv[1:]
    began = said = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if done and now - said > TOLD_SECONDS:
            said = now
            left = (now - began) / done * (total - done)
            print(f"  {done:,} of {total:,} events, {left:,.0f} s left", file=sys.stderr)

    print(writer.write(url, file, int(before), int(members), told))


if __name__ == "__main__":
    main()
