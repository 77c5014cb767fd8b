# Argo Workflows' controller as a process of this machine, for workflows in every namespace.
ARGO_MODULE=github.com/argoproj/argo-workflows/v3
ARGO_VERSION=$(pinned_version argo "$ARGO_MODULE")

start_argo() {
    local executor
    executor=$(push_executor)
    kube apply --server-side --kustomize "$argo/crds" >>"$CLUSTER/apply.log"
    kube apply --filename "$HERE/services/cluster/argo.yaml" >>"$CLUSTER/apply.log"
    kube wait --for=condition=Established crd/{workflows,workflowtemplates,cronworkflows,workflowtaskresults}.argoproj.io >>"$CLUSTER/apply.log"
    # The default requeue time of 10 s costs a step about as much.
    start cluster-argo env LEADER_ELECTION_DISABLE=true DEFAULT_REQUEUE_TIME=1s "$argo/workflow-controller" --kubeconfig "$KUBECONFIG_ADMIN" \
        --namespace argo --executor-image "$executor" --executor-image-pull-policy IfNotPresent --qps 50 --burst 100
    wait_for cluster-argo grep -q "starting leading" "$RUN/log/cluster-argo.log"
    wait_for cluster-controllers kube --namespace default get serviceaccount default
}

# Like go_tools; but the published module lacks signal_linux.go, a symbolic link to its neighbour, which module archives leave out.
argo_tools() {
    local dir copy
    dir=$(tools_folder argo)
    if [ ! -d "$dir" ]; then
        say "building argo (once)"
        need_program go "golang (1.26 or newer)"
        copy=$dir.source
        rm -rf "$copy" && mkdir -p "$copy"
        copy_argo "$copy" >&2
        rm -rf "$dir.new"
        build_tools "$copy/build" "$dir.new" "-X $ARGO_MODULE.version=$ARGO_VERSION"
        cp -r "$copy/argo/manifests/base/crds/minimal" "$dir.new/crds"
        rm -rf "$copy"
        mv "$dir.new" "$dir"
    fi
    echo "$dir"
}

copy_argo() { # copy_argo INTO: the complete module in INTO/argo, and in INTO/build one that builds its programs
    local source
    (cd "$HERE/tools/argo" && go mod download "$ARGO_MODULE")
    source=$(cd "$HERE/tools/argo" && go list -m -f '{{.Dir}}' "$ARGO_MODULE")
    cp -r "$source" "$1/argo"
    chmod -R u+w "$1/argo"
    cp "$1"/argo/workflow/executor/osspecific/signal_{darwin,linux}.go
    mkdir "$1/build"
    cp "$HERE"/tools/argo/go.{mod,sum} "$1/build/"
    (cd "$1/build" && go mod edit -replace "$ARGO_MODULE=../argo")
}
