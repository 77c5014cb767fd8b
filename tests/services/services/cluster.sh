# One Kubernetes node with Argo Workflows, made of processes of this machine. RBAC is on; no Service address but the API's, and no DNS.
. "$HERE/services/containerd.sh"
for part in keys images control node argo; do . "$HERE/services/cluster/$part.sh"; done

CLUSTER=$RUN/cluster
CLUSTER_REGISTRY=$BRIDGE_IP:$PORT # the registry's content under an address that pods reach
KUBECONFIG_ADMIN=$CLUSTER/admin.kubeconfig
KUBERNETES_VERSION=$(pinned_version kubernetes k8s.io/kubernetes)

up_cluster() {
    local kubernetes argo crane
    need_root "the cluster"
    need_short_path
    bring registry
    bring bridge
    kubernetes=$(go_tools kubernetes "$(kubernetes_ldflags)")
    argo=$(argo_tools)
    crane=$(go_tools crane)/crane
    mkdir -p "$CLUSTER"
    make_keys
    start_registry_for_pods
    start_cluster_containerd
    start_control_plane
    start_node
    start_argo
    publish cluster "BUILDER_TEST_CLUSTER=$KUBECONFIG_ADMIN" "BUILDER_TEST_KUBECTL=$kubernetes/kubectl" \
        "BUILDER_TEST_CLUSTER_REGISTRY=$CLUSTER_REGISTRY" "BUILDER_TEST_CLUSTER_CONTAINERD=$CLUSTER_SOCKET" \
        "BUILDER_TEST_ARGO_VERSION=$ARGO_VERSION"
}

down_cluster() {
    local part
    for part in argo scheduler controllers kubelet; do end "cluster-$part"; done
    end_containerd cluster-containerd "$CLUSTER_SOCKET"
    for part in apiserver etcd registry; do end "cluster-$part"; done
    forget_node
}

kubernetes_ldflags() {
    local package
    for package in k8s.io/component-base k8s.io/client-go/pkg; do echo "-X $package/version.gitVersion=$KUBERNETES_VERSION"; done
}

kube() { KUBECACHEDIR=$CLUSTER/kubectl "$kubernetes/kubectl" --kubeconfig "$KUBECONFIG_ADMIN" "$@"; }

start_registry_for_pods() {
    sed "s/$REGISTRY/$CLUSTER_REGISTRY/" "$RUN/registry.yml" >"$CLUSTER/registry.yml"
    start cluster-registry docker-registry serve "$CLUSTER/registry.yml"
}
