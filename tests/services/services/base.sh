# An image shaped like NVIDIA's PyTorch one, in the registry: see base.py. `base --size 2G` is the padded one, for benchmarks.
BASE_SUITE=bookworm
BASE_PACKAGES=python3,python3-pip,ca-certificates

up_base() {
    local size=0 variable=BUILDER_TEST_BASE reference root
    if [ "${1:-}" = --size ]; then size=$2 variable=BUILDER_TEST_BIG_BASE; fi
    bring registry
    root=$(base_root)
    reference=$(python3 "$HERE/base.py" --root "$root" --registry "$REGISTRY" --size "$size" --cache "$ROOT/base")
    publish "base-$size" "$variable=$reference"
}

base_root() { # a Debian root, made once
    local dir
    dir=$ROOT/rootfs-$BASE_SUITE-$(printf %s "$BASE_PACKAGES" | sha256sum | cut -c1-8)
    if [ ! -d "$dir" ]; then
        need_root debootstrap
        need_program debootstrap debootstrap
        say "making a Debian root (once)"
        rm -rf "$dir.new"
        mkdir -p "$ROOT"
        debootstrap --variant=minbase --include="$BASE_PACKAGES" "$BASE_SUITE" "$dir.new" >"$ROOT/debootstrap.log" 2>&1 ||
            fail "debootstrap failed: see $ROOT/debootstrap.log"
        chroot "$dir.new" python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11 >/dev/null || true
        mv "$dir.new" "$dir"
    fi
    echo "$dir"
}
