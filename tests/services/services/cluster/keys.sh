# Who is who in the cluster: one authority, certificates for the two servers, one token for the administrator. New in every run.
make_keys() {
    local keys=$CLUSTER/keys
    [ ! -f "$KUBECONFIG_ADMIN" ] || return 0
    need_program openssl openssl
    mkdir -p "$keys"
    (
        cd "$keys"
        new_key service-accounts
        openssl pkey -in service-accounts.key -pubout -out service-accounts.pub
        new_key authority
        openssl req -x509 -key authority.key -out authority.crt -days 3650 -subj /CN=builder-tests \
            -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
        new_certificate apiserver /CN=kube-apiserver "subjectAltName=IP:$SERVICE_IP,DNS:kubernetes.default.svc"
        new_certificate kubelet "/CN=$NODE" "subjectAltName=IP:$BRIDGE_IP,DNS:$NODE"
        new_certificate apiserver-to-kubelet /CN=apiserver-to-kubelet extendedKeyUsage=clientAuth
        echo "$(openssl rand -hex 16),admin,admin,system:masters" >tokens.csv
        openssl verify -CAfile authority.crt apiserver.crt kubelet.crt apiserver-to-kubelet.crt >&2
    ) 2>"$CLUSTER/keys.log" || fail "no keys for the cluster: see $CLUSTER/keys.log"
    admin_kubeconfig "$keys" >"$KUBECONFIG_ADMIN.new"
    mv "$KUBECONFIG_ADMIN.new" "$KUBECONFIG_ADMIN"
}

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1.key"; }

new_certificate() { # new_certificate NAME SUBJECT EXTENSION
    new_key "$1"
    openssl req -new -key "$1.key" -subj "$2" |
        openssl x509 -req -CA authority.crt -CAkey authority.key -CAcreateserial -out "$1.crt" -days 3650 -extfile <(echo "$3")
}

admin_kubeconfig() { # admin_kubeconfig KEYS: nothing in it points to another file
    cat <<EOF
apiVersion: v1
kind: Config
clusters: [{name: tests, cluster: {server: "https://$SERVICE_IP:443", certificate-authority-data: $(base64 -w0 <"$1/authority.crt")}}]
users: [{name: admin, user: {token: $(cut -d, -f1 "$1/tokens.csv")}}]
contexts: [{name: tests, context: {cluster: tests, user: admin, namespace: default}}]
current-context: tests
EOF
}
