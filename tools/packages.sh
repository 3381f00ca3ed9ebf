#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Finds which Debian packages are missing, and installs them when it may.
#
# packages.sh check    what `make` needs: says what is missing
# packages.sh install  what `make run` and `make test` need: as root on Debian installs what is
#                      missing, else says so and gives the command
#
# It looks for the things themselves, not for packages, so that another Python or compiler will do.
# It asks nothing, upgrades nothing, and touches nothing when all is there.

set -u
missing=
lists=

# need PACKAGE COMMAND...: the package is missing unless the command succeeds
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}

has_libc_headers() {
	echo '#include <linux/virtio_blk.h>
#include <stdio.h>' | "${CC:-gcc}" -E -
}

has_python_headers() {
	python3 -c 'import os, sysconfig
os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))'
}

# From Debian 13 on another package has the daemon.
daemon_package() {
	if grep -qs 'VERSION_ID="12"' /etc/os-release; then
		echo qemu-system-common
	else
		echo qemu-utils
	fi
}

# fio's headers come from the source package, which apt-get finds by its lists.
needs_package_lists() {
	[ -z "${FIO_SOURCE_DIR:-}" ] && [ ! -e build/fio-tree ] &&
		[ -z "$(apt-get indextargets 'Created-By: Packages')" ]
}

need python3 command -v python3
need python3-venv python3 -c 'import ensurepip, venv'
need python3-dev has_python_headers
need gcc command -v "${CC:-gcc}"
need libc6-dev has_libc_headers
need make command -v make
[ -n "${FIO_SOURCE_DIR:-}" ] && [ "$1" = check ] || need fio command -v fio
# It unpacks and patches the source package, for fio's headers.
[ -n "${FIO_SOURCE_DIR:-}" ] && [ "$1" = check ] || need dpkg-dev command -v dpkg-source
[ "$1" = check ] || need "$(daemon_package)" command -v qemu-storage-daemon
# The test of the C library compiles as its users do.
[ "$1" = check ] || need pkgconf command -v pkg-config

if command -v apt-get >/dev/null; then
	needs_package_lists && lists=yes
elif [ -n "$missing" ]; then
	echo "Missing, by the names of Debian's packages:$missing." \
		"Install what your system calls them." >&2
	exit 1
fi
[ -n "$missing$lists" ] || exit 0

install="apt-get update${missing:+ && apt-get install --yes --no-install-recommends$missing}"
if [ "$1" = install ] && [ "$(id -u)" = 0 ]; then
	echo "Installing Debian's packages:${missing:- none, but apt-get has no package lists}"
	mkdir -p build
	export DEBIAN_FRONTEND=noninteractive
	sh -c "$install" </dev/null >build/packages.output 2>&1 || {
		tail -n 5 build/packages.output >&2
		echo "packages: this failed: $install (all of it: build/packages.output)" >&2
		exit 1
	}
else
	echo "Missing:${missing:- apt-get's package lists}. Install with: sudo sh -c '$install'" >&2
	exit 1
fi
