# JobSet's and Kueue's controllers, as processes of this machine beside the cluster's, and a DNS in which the pods of a JobSet find each other.
KUEUE=$RUN/kueue
KUEUE_WEBHOOKS=5  # ports, above $PORT: on the bridge, where the API server calls them ...
KUEUE_HEALTH=7    # ... and on loopback
GPU=example.com/gpu # pretended: eight of them on the node

up_kueue() {
    local tools dns kubernetes
    bring cluster
    tools=$(kueue_tools)
    dns=$(go_tools dns)
    kubernetes=$(go_tools kubernetes "$(kubernetes_ldflags)")
    mkdir -p "$KUEUE/certificates"
    cp "$CLUSTER/keys/kubelet.crt" "$KUEUE/certificates/tls.crt" # it names the bridge's address
    cp "$CLUSTER/keys/kubelet.key" "$KUEUE/certificates/tls.key"
    start_dns "$dns"
    kube apply --server-side --filename "$tools/jobset-crds" --filename "$tools/kueue-crds" >"$KUEUE/apply.log"
    kube wait --for=condition=Established crd/jobsets.jobset.x-k8s.io crd/{workloads,clusterqueues,localqueues}.kueue.x-k8s.io >>"$KUEUE/apply.log"
    start_jobset "$tools"
    start_kueue "$tools"
    add_webhooks "$tools"
    add_gpus
    publish kueue "BUILDER_TEST_KUEUE=127.0.0.1:$((PORT + KUEUE_HEALTH + 1))" "BUILDER_TEST_GPU=$GPU"
}

down_kueue() { for part in kueue jobset dns; do end "kueue-$part"; done; }

# Like go_tools, with what is to be installed in the cluster.
kueue_tools() {
    local dir module name
    dir=$(tools_folder kueue)
    if [ ! -d "$dir" ]; then
        say "building kueue and jobset (once)"
        rm -rf "$dir.new"
        build_tools "$HERE/tools/kueue" "$dir.new" ""
        for name in jobset kueue; do
            module=$(cd "$HERE/tools/kueue" && go list -m -f '{{.Dir}}' "sigs.k8s.io/$name")
            cp -r "$module/config/components/crd/bases" "$dir.new/$name-crds"
            cp "$module/config/components/webhook/manifests.yaml" "$dir.new/$name-webhooks.yaml"
        done
        chmod -R u+w "$dir.new"
        mv "$dir.new" "$dir"
    fi
    echo "$dir"
}

start_jobset() { # start_jobset TOOLS
    cat >"$KUEUE/jobset.yaml" <<EOF
apiVersion: config.jobset.x-k8s.io/v1alpha1
kind: Configuration
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
webhook: {port: $((PORT + KUEUE_WEBHOOKS)), host: $BRIDGE_IP, certDir: $KUEUE/certificates}
metrics: {bindAddress: "0"}
health: {healthProbeBindAddress: "127.0.0.1:$((PORT + KUEUE_HEALTH))"}
clientConnection: {qps: 100, burst: 200}
EOF
    start kueue-jobset "$1/jobset" --config "$KUEUE/jobset.yaml" --metrics-bind-address 0 --kubeconfig "$KUBECONFIG_ADMIN"
    wait_for kueue-jobset curl -fsS "http://127.0.0.1:$((PORT + KUEUE_HEALTH))/readyz"
}

# It opens a certificate below /etc whatever it is told: there it sees a folder of ours, and nobody else does.
start_kueue() { # start_kueue TOOLS
    cat >"$KUEUE/kueue.yaml" <<EOF
apiVersion: config.kueue.x-k8s.io/v1beta1
kind: Configuration
namespace: kueue-system
leaderElection: {leaderElect: false}
internalCertManagement: {enable: false}
webhook: {port: $((PORT + KUEUE_WEBHOOKS + 1)), host: $BRIDGE_IP, certDir: $KUEUE/certificates}
metrics: {bindAddress: "0"}
health: {healthProbeBindAddress: "127.0.0.1:$((PORT + KUEUE_HEALTH + 1))"}
clientConnection: {qps: 50, burst: 100}
integrations: {frameworks: ["jobset.x-k8s.io/jobset"]}
EOF
    mkdir -p "$KUEUE/etc/kueue/metrics"
    ln -sfn "$KUEUE/certificates" "$KUEUE/etc/kueue/metrics/certs"
    start kueue-kueue unshare --mount --propagation slave sh -c 'mount -t overlay overlay -o lowerdir="$0":/etc /etc && exec "$@"' "$KUEUE/etc" \
        "$1/kueue" --config "$KUEUE/kueue.yaml" --feature-gates=VisibilityOnDemand=false --kubeconfig "$KUBECONFIG_ADMIN"
    wait_for kueue-kueue curl -fsS "http://127.0.0.1:$((PORT + KUEUE_HEALTH + 1))/readyz"
}

# Without them a gang is suspended late, when some of its pods are there. Those of kinds that others use are left out: they fail closed.
add_webhooks() { # add_webhooks TOOLS
    local name port=$((PORT + KUEUE_WEBHOOKS))
    for name in jobset kueue; do
        kube create --dry-run=client --output=json --filename "$1/$name-webhooks.yaml" |
            python3 "$HERE/services/kueue/webhooks.py" "$name" "https://$BRIDGE_IP:$port" "$CLUSTER/keys/authority.crt" |
            kube apply --filename - >>"$KUEUE/apply.log"
        port=$((port + 1))
    done
}

add_gpus() {
    local amounts="{\"$GPU\":\"8\"}"
    kube patch node "$NODE" --subresource=status --type=merge --patch "{\"status\":{\"capacity\":$amounts,\"allocatable\":$amounts}}" >>"$KUEUE/apply.log"
}

# Pods made from now on ask it. Names of JobSets' pods are all that it knows; everything else does not exist.
start_dns() { # start_dns TOOLS
    cat >"$KUEUE/Corefile" <<EOF
.:53 {
    bind $BRIDGE_IP
    errors
    kubernetes cluster.local {
        kubeconfig $KUBECONFIG_ADMIN
    }
}
EOF
    start kueue-dns "$1/dns" -conf "$KUEUE/Corefile"
    wait_for kueue-dns bash -c "exec 3<>/dev/tcp/$BRIDGE_IP/53"
    printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' "$BRIDGE_IP" >"$CLUSTER/resolv.conf"
}
