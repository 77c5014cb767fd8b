# The two images that every pod needs besides its own. Each is one static program and what it expects to find around it.
PAUSE_IMAGE=services/pause
EXECUTOR_IMAGE=services/argoexec

push_pause() { # sleeps as the first process of every pod; the runtime kills it
    local program
    need_program busybox busybox-static
    program=$(command -v busybox)
    push_program "$PAUSE_IMAGE" "$program" --entrypoint /bin/busybox,sleep,infinity
}

push_executor() { push_program "$EXECUTOR_IMAGE" "$argo/argoexec" --entrypoint /bin/argoexec --env PATH=/bin; }

# push_program NAME PROGRAM MUTATE-OPTION...: pushes it unless the registry has it, and prints its reference by digest.
# Same program, same digest.
push_program() {
    local image=$REGISTRY/$1 program=$2 kept work digest
    kept=$ROOT/cluster/images/$(echo "$@" | cat - "$program" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
    shift 2
    if ! { [ -s "$kept" ] && "$crane" manifest "$(<"$kept")" >/dev/null 2>&1; }; then
        work=$(mktemp -d "$CLUSTER/image.XXXXXX")
        pack_program "$program" "$work"
        "$crane" append --oci-empty-base --new_layer "$work/layer.tar.gz" --new_tag "$image:made" >/dev/null 2>"$work/log" &&
            "$crane" mutate --set-platform linux/amd64 "$@" --tag "$image:made" "$image:made" >/dev/null 2>>"$work/log" ||
            { cat "$work/log" >&2; fail "cannot push $image"; }
        digest=$("$crane" digest "$image:made")
        mkdir -p "${kept%/*}"
        echo "$image@$digest" >"$kept"
        rm -rf "$work"
    fi
    cat "$kept"
}

pack_program() { # pack_program PROGRAM WORK: WORK/layer.tar.gz
    mkdir -p "$2/root"/{bin,tmp,etc}
    chmod 1777 "$2/root/tmp"
    cp "$1" "$2/root/bin/"
    echo 'root:x:0:0:root:/:/bin/false' >"$2/root/etc/passwd"
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$2/root" -c . | gzip -n1 >"$2/layer.tar.gz"
}
