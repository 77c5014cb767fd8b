# The node: a containerd of its own with the Kubernetes part, and the kubelet.
NODE=node1
CLUSTER_SOCKET=$RUN/cluster.sock
KUBELET_SYSCTLS="vm.overcommit_memory kernel.panic kernel.panic_on_oops" # it sets them, and does not set them back

start_cluster_containerd() {
    local pause
    need_program containerd containerd
    need_program runc runc
    [ -x /usr/lib/cni/bridge ] || fail "/usr/lib/cni/bridge is missing: apt-get install containernetworking-plugins"
    pause=$(push_pause)
    mkdir -p "$ROOT/cluster/containerd" "$CLUSTER/cni"
    trust_registry "$REGISTRY"
    trust_registry "$CLUSTER_REGISTRY"
    [ -s "$CLUSTER/cni/pods.conflist" ] || pod_network >"$CLUSTER/cni/pods.conflist" # containerd watches it
    containerd_config "$pause" >"$CLUSTER/containerd.toml"
    start cluster-containerd containerd -c "$CLUSTER/containerd.toml"
    wait_for cluster-containerd ctr -a "$CLUSTER_SOCKET" version
}

start_node() {
    [ -s "$CLUSTER/sysctls" ] || PATH=$PATH:/sbin sysctl $KUBELET_SYSCTLS >"$CLUSTER/sysctls"
    make_cgroup
    [ -e "$CLUSTER/resolv.conf" ] || : >"$CLUSTER/resolv.conf" # no DNS, unless kueue brings one
    kubelet_config >"$CLUSTER/kubelet.yaml"
    start cluster-kubelet "$kubernetes/kubelet" --config="$CLUSTER/kubelet.yaml" --kubeconfig="$KUBECONFIG_ADMIN" \
        --root-dir="$RUN/kubelet" --hostname-override="$NODE" --node-ip="$BRIDGE_IP"
    wait_for cluster-kubelet node_is_ready
}

node_is_ready() { kube wait --for=condition=Ready "node/$NODE" --timeout=0; }

forget_node() { # what these programs write to fixed places
    [ ! -s "$CLUSTER/sysctls" ] || PATH=$PATH:/sbin sysctl -q -p "$CLUSTER/sysctls"
    find /var/log/containers -lname "$RUN/*" -delete 2>/dev/null || true
    forget_addresses
    rm -f /var/lib/kubelet/device-plugins/{kubelet.sock,kubelet_internal_checkpoint,DEPRECATION}
    rmdir /var/log/containers /var/lib/cni/{cache/results,cache,results,} /var/lib/kubelet/{device-plugins,} 2>/dev/null || true
}

forget_addresses() { # of pods that ended with the node: a file for the network of ours, and one that only has the pod's id
    local file id
    for file in /var/lib/cni/{cache/,}results/"$CGROUP"-*; do
        [ -e "$file" ] || continue
        id=${file##*/"$CGROUP"-}
        rm -f "$file" "${file%/*}/cni-loopback-${id%-*}-lo"
    done
}

make_cgroup() { # the pods' parent, where down finds what is left of them
    local all=/sys/fs/cgroup folder controller
    if [ -f $all/cgroup.controllers ]; then
        mkdir -p "$all/$CGROUP"
        for folder in $all "$all/$CGROUP"; do
            for controller in $(<"$folder/cgroup.controllers"); do echo "+$controller" >"$folder/cgroup.subtree_control" 2>/dev/null || true; done
        done
    else
        for folder in $all/*/; do mkdir -p "$folder$CGROUP"; done
    fi
}

trust_registry() { # trust_registry HOST:PORT: over http
    mkdir -p "$CLUSTER/certs.d/$1"
    printf 'server = "http://%s"\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' "$1" "$1" >"$CLUSTER/certs.d/$1/hosts.toml"
}

# isGateway stays off: with it the plugin turns the forwarding of packets on, for the whole machine. Pods reach this machine and each other.
pod_network() {
    cat <<EOF
{"cniVersion": "0.4.0", "name": "$CGROUP", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": false, "ipMasq": false, "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$CLUSTER/addresses", "routes": [{"dst": "0.0.0.0/0", "gw": "$BRIDGE_IP"}],
    "ranges": [[{"subnet": "10.244.$NETWORK.0/24", "rangeStart": "10.244.$NETWORK.10", "gateway": "$BRIDGE_IP"}]]}}]}
EOF
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE no pod starts otherwise. netns_mounts_under_state_dir: all mounts are below $RUN.
containerd_config() { # containerd_config PAUSE-IMAGE
    cat <<EOF
version = 2
root = "$ROOT/cluster/containerd"
state = "$CLUSTER/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$CLUSTER_SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$1"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
      Root = "$CLUSTER/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$CLUSTER/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$CLUSTER/certs.d"
EOF
}

kubelet_config() {
    cat <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $BRIDGE_IP
healthzBindAddress: $BRIDGE_IP
readOnlyPort: 0
tlsCertFile: $CLUSTER/keys/kubelet.crt
tlsPrivateKeyFile: $CLUSTER/keys/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $CLUSTER/keys/authority.crt}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://$CLUSTER_SOCKET
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
resolvConf: $CLUSTER/resolv.conf
podLogsDir: $CLUSTER/pods
volumePluginDir: $CLUSTER/volume-plugins
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "0%", nodefs.available: "0%", imagefs.available: "0%", nodefs.inodesFree: "0%", imagefs.inodesFree: "0%"}
EOF
}
