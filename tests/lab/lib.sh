# shellcheck shell=bash
# lib.sh - what the lab's and the test guest's initramfs builders share: the kernel to use, the
# cache, the modules and the packing. Sourced, never run.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

set -euo pipefail
export LC_ALL=C

die()
{
    echo "${0##*/}: $*" >&2
    exit 1
}

# Prints the version of the newest stock Debian kernel that has its modules installed.
kernel_version()
{
    local image version found=
    while read -r image; do
        version=${image#/boot/vmlinuz-}
        [ -r "$image" ] && [ -e "/lib/modules/$version/modules.dep.bin" ] && found=$version
    done < <(compgen -G '/boot/vmlinuz-*-amd64' | sort -V)
    [ -n "$found" ] || die "no readable /boot/vmlinuz-*-amd64 with its /lib/modules directory:" \
        "install linux-image-amd64"
    echo "$found"
}

busybox_path()
{
    local path
    path=$(command -v busybox) || die "no busybox: install busybox-static"
    if ldd "$path" >/dev/null 2>&1; then
        die "$path is not static: install busybox-static"
    fi
    echo "$path"
}

# Prints the module files that NAME... need, in the order of loading, each once.
module_files()
{
    local version=$1 name
    shift
    for name; do
        /sbin/modprobe --set-version "$version" --ignore-install --show-depends "$name" ||
            die "kernel $version has no module $name"
    done 2> >(grep -v -e kmod_module_new_from_loaded -e 'could not get list of modules' >&2) |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

cache_dir()
{
    local dir=${KILN_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kiln-lab}
    mkdir -p "$dir"
    echo "$dir"
}

# Prints one hash over the contents of FILE... (their names do not matter).
content_hash()
{
    cat -- "$@" | sha256sum | cut -c1-16
}

# Lays out ROOT with busybox, its applets and the given module files, listed in /modules.
populate_root()
{
    local root=$1 file
    shift
    mkdir -p "$root"/{bin,dev,proc,sys,modules,tmp,run,etc,mnt}
    cp "$(busybox_path)" "$root/bin/busybox"
    for file in $("$root/bin/busybox" --list); do
        [ "$file" = busybox ] || ln -sf busybox "$root/bin/$file"
    done
    for file; do
        cp "$file" "$root/modules/"
        echo "/modules/${file##*/}" >> "$root/modules.list"
    done
}

# Packs ROOT into the cpio archive TARGET: the same input gives the same bytes, and a reader of
# TARGET sees all of it or nothing. Uncompressed, because an emulated CPU would unpack it.
pack_root()
{
    local root=$1 target=$2
    find "$root" -exec touch --no-dereference --date=@0 {} +
    (cd "$root" && find . -print0 | sort -z |
        cpio --null --create --format=newc --owner=0:0 --reproducible --quiet) > "$target.$$"
    mv "$target.$$" "$target"
}
