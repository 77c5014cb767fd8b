# etcd, the API server, the controllers and the scheduler.
ETCD=127.0.0.1:$((PORT + 2))
ETCD_PEERS=127.0.0.1:$((PORT + 3))
SERVICES_NETWORK=10.96.$NETWORK.0/24

start_control_plane() {
    start_etcd
    start_apiserver
    start cluster-controllers "$kubernetes/kube-controller-manager" --kubeconfig "$KUBECONFIG_ADMIN" --leader-elect=false --secure-port=0 \
        --service-account-private-key-file="$CLUSTER/keys/service-accounts.key" --root-ca-file="$CLUSTER/keys/authority.crt" \
        --service-cluster-ip-range="$SERVICES_NETWORK" --profiling=false --flex-volume-plugin-dir="$CLUSTER/volume-plugins"
    start cluster-scheduler "$kubernetes/kube-scheduler" --kubeconfig "$KUBECONFIG_ADMIN" --leader-elect=false --secure-port=0 --profiling=false
}

start_etcd() {
    need_program etcd etcd-server
    start cluster-etcd etcd --name tests --data-dir "$CLUSTER/etcd" --logger zap --log-level warn \
        --listen-client-urls "http://$ETCD" --advertise-client-urls "http://$ETCD" \
        --listen-peer-urls "http://$ETCD_PEERS" --initial-advertise-peer-urls "http://$ETCD_PEERS" --initial-cluster "tests=http://$ETCD_PEERS"
    wait_for cluster-etcd curl -fsS "http://$ETCD/health"
}

# It listens on the very address that pods are told (the first of the services' network): so nothing has to translate addresses.
start_apiserver() {
    local keys=$CLUSTER/keys
    start cluster-apiserver "$kubernetes/kube-apiserver" --etcd-servers="http://$ETCD" \
        --bind-address="$SERVICE_IP" --advertise-address="$SERVICE_IP" --secure-port=443 --service-cluster-ip-range="$SERVICES_NETWORK" \
        --tls-cert-file="$keys/apiserver.crt" --tls-private-key-file="$keys/apiserver.key" --client-ca-file="$keys/authority.crt" \
        --token-auth-file="$keys/tokens.csv" --authorization-mode=RBAC --allow-privileged=true \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$keys/service-accounts.pub" \
        --service-account-signing-key-file="$keys/service-accounts.key" \
        --kubelet-client-certificate="$keys/apiserver-to-kubelet.crt" --kubelet-client-key="$keys/apiserver-to-kubelet.key" \
        --kubelet-certificate-authority="$keys/authority.crt" --kubelet-preferred-address-types=InternalIP --profiling=false
    wait_for cluster-apiserver kube get --raw /readyz
}
