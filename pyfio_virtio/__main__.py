# SPDX-License-Identifier: GPL-2.0-or-later
"""The command pyfio-virtio, also as `python -m pyfio_virtio`.

Loading the modules takes some tenths of a second. During that time, ^C ends the process without a
traceback.
"""

import signal


def main() -> None:
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_usual:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from pyfio_virtio.cli.streams import make_safe

    make_safe()
    from pyfio_virtio.cli.main import main as command

    if is_usual:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()


if __name__ == "__main__":
    main()
