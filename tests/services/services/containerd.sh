# A containerd of our own, without the Kubernetes part; dockerd uses it too.
CONTAINERD_SOCKET=$RUN/containerd.sock

up_containerd() {
    local config=$RUN/containerd.toml
    need_root containerd
    need_short_path
    need_program containerd containerd
    mkdir -p "$RUN" "$ROOT/containerd"
    cat >"$config" <<EOF
version = 2
root = "$ROOT/containerd"
state = "$RUN/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$CONTAINERD_SOCKET"
EOF
    start containerd containerd -c "$config"
    wait_for containerd ctr -a "$CONTAINERD_SOCKET" version
    publish containerd "BUILDER_TEST_CONTAINERD=$CONTAINERD_SOCKET"
}

down_containerd() { end_containerd containerd "$CONTAINERD_SOCKET"; }

end_containerd() { # end_containerd NAME SOCKET: with all that runs in it
    local ctr="timeout 20 ctr -a $2" space id
    if running "$1"; then
        for space in $($ctr namespaces ls -q); do
            for id in $($ctr -n "$space" tasks ls -q); do $ctr -n "$space" tasks rm -f "$id" >/dev/null 2>&1 || true; done
            for id in $($ctr -n "$space" containers ls -q); do $ctr -n "$space" containers rm "$id" >/dev/null 2>&1 || true; done
        done
    fi
    end "$1"
    end_shims "$2"
    rmdir /run/containerd/{runc/*,runc,s,} 2>/dev/null || true # shims make it, whatever the configuration says
}

# end_shims SOCKET: a shim outlives the daemon by design; ours are known by our socket on their command line.
end_shims() {
    local proc
    for proc in /proc/[0-9]*; do
        if tr '\0' ' ' 2>/dev/null <"$proc/cmdline" | grep -q "^[^ ]*containerd-shim[^ ]* .*-address $1 "; then
            kill -KILL "${proc#/proc/}" 2>/dev/null || true
        fi
    done
}
