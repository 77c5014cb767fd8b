# buildkitd with its own runc worker, for builds through a remote builder and as a peer in the benchmarks.
up_buildkit() {
    local bin socket=$RUN/buildkitd.sock
    need_root buildkitd
    need_program runc runc
    bin=$(go_tools buildkit)
    mkdir -p "$RUN" "$ROOT/buildkit"
    cat >"$RUN/buildkitd.toml" <<EOF
root = "$ROOT/buildkit"
[grpc]
  address = ["unix://$socket"]
[worker.oci]
  enabled = true
  networkMode = "host"
  defaultCgroupParent = "$CGROUP"
[worker.containerd]
  enabled = false
[registry."$REGISTRY"]
  http = true
EOF
    start buildkit "$bin/buildkitd" --config "$RUN/buildkitd.toml"
    wait_for buildkit "$bin/buildctl" --addr "unix://$socket" debug workers
    publish buildkit "BUILDER_TEST_BUILDKIT_HOST=unix://$socket" "BUILDER_TEST_BUILDCTL=$bin/buildctl"
}
