# Debian's docker-registry on loopback, deletion enabled, blobs kept over restarts.
up_registry() {
    local config=$RUN/registry.yml crane
    need_program docker-registry docker-registry
    crane=$(go_tools crane)/crane
    mkdir -p "$RUN" "$ROOT/registry"
    cat >"$config" <<EOF
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $ROOT/registry}, delete: {enabled: true}}
http: {addr: "$REGISTRY", secret: loopback}
EOF
    start registry docker-registry serve "$config"
    wait_for registry curl -fsS "http://$REGISTRY/v2/"
    publish registry "BUILDER_TEST_REGISTRY=$REGISTRY" "BUILDER_TEST_CRANE=$crane"
}
