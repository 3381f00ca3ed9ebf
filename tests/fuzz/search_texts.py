# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.fuzz.search_texts NAME FLAG...`: one target in Python, with atheris.

The flags are those of libFuzzer. search.py starts it, because the fuzzer ends its process.
"""

import sys

import atheris

# What the fuzzer follows: our modules, and not pandas.
with atheris.instrument_imports(include=["pyfio_virtio"]):
    from tests.fuzz.texts import TEXTS


def main() -> None:
    name, *flags = sys.argv[1:]
    target = next(each for each in TEXTS if each.name == name)
    atheris.Setup([sys.argv[0], *flags], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
