"""The `loopwire` command, also as `python -m pipeline`: a Ctrl-C while it still loads ends it without a word."""

import signal


def main() -> None:
    """Loads the commands, and runs the one that was typed."""
    ours = signal.getsignal(signal.SIGINT)
    if ours is signal.default_int_handler:  # else it is ignored, and stays so: a shell's background has no Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pipeline.cli import main as command  # noqa: PLC0415 (half a second, in which there is nothing to lose)

    signal.signal(signal.SIGINT, ours)
    command()


if __name__ == "__main__":
    main()
