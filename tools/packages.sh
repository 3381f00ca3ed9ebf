#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Finds which Debian packages are missing, and installs them if it runs as root.
#
# packages.sh check    reports which packages are missing for `make`
# packages.sh install  installs the packages that are missing for `make run`; if it does not run as
#                      root, or the system has no apt-get, it reports them instead
# packages.sh test     the same for `make test`
# packages.sh fuzz     the same for `make fuzz`, which needs clang too
# packages.sh deb      the same for `make deb`, which needs the packages that debian/control names
#
# Else it looks for programs and headers, not for packages, so another Python or compiler is accepted.
# It asks no questions, upgrades nothing, and changes nothing if nothing is missing.

set -u
missing=
lists=

# need PACKAGE COMMAND...: notes that the package is missing if the command fails
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

has_liburing() {
	echo '#include <liburing.h>' | "${CC:-gcc}" -E -
}

# The fuzzer and the sanitizers are in a package of their own, which clang only recommends.
has_fuzzer() {
	echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
		clang -x c -fsanitize=fuzzer,address,undefined -o /dev/null -
}

has_english() {
	aspell dump dicts | grep -q '^en_US'
}

build_dependencies() {
	echo build-essential
	sed -n '/^Build-Depends:/,/^[^ ]*-[RV]/s/^ \([a-z0-9.+-]*\).*/\1/p' debian/control |
		sed 's/^debhelper-compat$/debhelper/'
}

is_installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" | grep -qx installed
}

# Debian 13 moved the daemon to another package.
daemon_package() {
	if grep -qs 'VERSION_ID="12"' /etc/os-release; then
		echo qemu-system-common
	else
		echo qemu-utils
	fi
}

# fio's headers come from its source package, which apt-get can find only with package lists.
needs_package_lists() {
	[ -z "${FIO_SOURCE_DIR:-}" ] && [ ! -e build/fio-tree ] &&
		[ -z "$(apt-get indextargets 'Created-By: Packages')" ]
}

if [ "$1" = deb ]; then
	for each in $(build_dependencies); do
		need "$each" is_installed "$each"
	done
else
	need python3 command -v python3
	need python3-venv python3 -c 'import ensurepip, venv'
	need python3-dev has_python_headers
	need gcc command -v "${CC:-gcc}"
	need libc6-dev has_libc_headers
	need make command -v make
	# Without it the built-in back-end serves files by threads.
	[ "$1" = check ] || need liburing-dev has_liburing
	[ -n "${FIO_SOURCE_DIR:-}" ] && [ "$1" = check ] || need fio command -v fio
	# dpkg-source unpacks and patches fio's source package.
	[ -n "${FIO_SOURCE_DIR:-}" ] && [ "$1" = check ] || need dpkg-dev command -v dpkg-source
	[ "$1" = check ] || need "$(daemon_package)" command -v qemu-storage-daemon
	if [ "$1" = test ]; then
		# The test of the C library compiles a program as the library's users do.
		need pkgconf command -v pkg-config
		# The models of the hand-shakes (tests/model) are searched with it.
		need spin command -v spin
		# Tests make network namespaces for several hosts.
		need iproute2 command -v tc
		# Tests install packages in clean chroots of Debian.
		need debootstrap command -v debootstrap
		# The manual pages are checked with them, and the words of all texts.
		need mandoc command -v mandoc
		need aspell command -v aspell
		need aspell-en has_english
	fi
	if [ "$1" = fuzz ]; then
		need clang command -v clang
		need libclang-rt-dev has_fuzzer
		need llvm command -v llvm-cov
	fi
fi

if command -v apt-get >/dev/null; then
	needs_package_lists && lists=yes
elif [ -n "$missing" ]; then
	echo "These Debian packages are missing:$missing." \
		"Install the packages of your system that correspond to them." >&2
	exit 1
fi
[ -n "$missing$lists" ] || exit 0

install="apt-get update${missing:+ && apt-get install --yes --no-install-recommends$missing}"
if [ "$1" != check ] && [ "$(id -u)" = 0 ]; then
	echo "Installing Debian's packages:${missing:- none, only apt-get's package lists}"
	mkdir -p build
	# Of a clone that belongs to somebody else, whose make writes there.
	chown --reference=. build
	export DEBIAN_FRONTEND=noninteractive
	sh -c "$install" </dev/null >build/packages.output 2>&1 || {
		tail -n 5 build/packages.output >&2
		echo "packages: this failed: $install (all output: build/packages.output)" >&2
		exit 1
	}
else
	echo "Missing:${missing:- apt-get's package lists}. Install with: sudo sh -c '$install'" >&2
	exit 1
fi
