# SPDX-License-Identifier: GPL-2.0-or-later
"""pyfio-virtio: fio over vhost-user. The version is in the package's metadata alone."""
