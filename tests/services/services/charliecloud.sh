# For Charliecloud, which is installed and no server: the registry once more, over the same images, with TLS and a certificate of its own.
CHARLIECLOUD_REGISTRY=127.0.0.1:$((PORT + 4))

up_charliecloud() {
    local dir=$RUN/charliecloud
    bring registry
    need_program ch-run charliecloud
    need_program ch-image charliecloud-builders
    need_program openssl openssl
    mkdir -p "$dir"
    [ -e "$dir/certificate" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=registry \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$dir/key" -out "$dir/certificate" 2>"$dir/log"
    cat >"$dir/registry.yml" <<EOF
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $ROOT/registry}}
http: {addr: "$CHARLIECLOUD_REGISTRY", secret: loopback, tls: {certificate: $dir/certificate, key: $dir/key}}
EOF
    start charliecloud docker-registry serve "$dir/registry.yml"
    wait_for charliecloud curl -fsS --cacert "$dir/certificate" "https://$CHARLIECLOUD_REGISTRY/v2/"
    publish charliecloud "BUILDER_TEST_CHARLIECLOUD=$CHARLIECLOUD_REGISTRY" "BUILDER_TEST_CHARLIECLOUD_CA=$dir/certificate"
}
