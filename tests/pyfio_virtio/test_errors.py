# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors as programs catch them: errors.py."""

import errno
import pickle

import pytest

from pyfio_virtio import ArgumentError, DiskError
from pyfio_virtio.errors import UsageError


def test_a_disk_error_is_what_pythons_own_error_is() -> None:
    for code in errno.errorcode:
        error, python = DiskError(code, "why"), OSError(code, "why")
        assert isinstance(error, DiskError)
        assert isinstance(error, type(python))
        assert (error.errno, error.strerror, error.args) == (code, "why", python.args)
        assert str(error) == "why"


def test_a_refused_argument_can_be_caught_as_what_it_is() -> None:
    error = ArgumentError("offset=-1")
    assert all(isinstance(error, each) for each in (DiskError, UsageError, ValueError))
    assert (error.errno, error.exit_status, str(error)) == (errno.EINVAL, 2, "offset=-1")


@pytest.mark.parametrize("error", [DiskError(errno.ENOENT, "why"), ArgumentError("why")], ids=repr)
def test_an_error_reaches_another_process(error: DiskError) -> None:
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own
    assert type(copied) is type(error)
    assert (copied.errno, str(copied)) == (error.errno, "why")
