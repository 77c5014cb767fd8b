# Debian's dockerd on our containerd, with nothing that touches the host's network: containers have none, or the host's.
DOCKER_SOCKET=$RUN/docker.sock
DOCKER_CLI=/usr/bin/docker # Debian's own: its BuildKit is in the engine, while a newer client on the PATH may lack the buildx plugin

up_docker() {
    need_root dockerd
    need_program dockerd docker.io
    bring containerd
    mkdir -p "$RUN" "$ROOT/docker"
    echo "{\"insecure-registries\": [\"$BRIDGE_IP:$PORT\"]}" >"$RUN/docker.json" # not the one in /etc
    start docker dockerd --config-file "$RUN/docker.json" --data-root "$ROOT/docker" --exec-root "$RUN/docker" --pidfile "$RUN/dockerd.pid" \
        --host "unix://$DOCKER_SOCKET" --containerd "$CONTAINERD_SOCKET" --cgroup-parent "/$CGROUP" --storage-driver overlay2 \
        --bridge none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false --oom-score-adjust 0
    wait_for docker "$DOCKER_CLI" --host "unix://$DOCKER_SOCKET" version
    publish docker "BUILDER_TEST_DOCKER_HOST=unix://$DOCKER_SOCKET" "BUILDER_TEST_DOCKER=$DOCKER_CLI"
}

down_docker() {
    if running docker; then
        "$DOCKER_CLI" --host "unix://$DOCKER_SOCKET" ps -aq | xargs -r "$DOCKER_CLI" --host "unix://$DOCKER_SOCKET" rm -f >/dev/null || true
    fi
    end docker
}
