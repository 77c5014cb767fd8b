# MLflow's tracking server over SQLite, under a URL that pods and this machine share. What it keeps is gone after down.
MLFLOW_ADDRESS=$BRIDGE_IP:$((PORT + 2))

up_mlflow() {
    local python
    bring bridge
    python=$(mlflow_environment)/bin/python
    mkdir -p "$RUN/mlflow"
    # One worker, no background jobs, and not a word to its makers.
    start mlflow env MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false "HOME=$RUN/mlflow" \
        "$python" -m mlflow server --backend-store-uri "sqlite:///$RUN/mlflow/db" --artifacts-destination "$RUN/mlflow/artifacts" \
        --host "$BRIDGE_IP" --port "${MLFLOW_ADDRESS##*:}" --workers 1
    wait_for mlflow curl -fsS "http://$MLFLOW_ADDRESS/health"
    publish mlflow "BUILDER_TEST_MLFLOW=http://$MLFLOW_ADDRESS"
}

# A virtual environment of its own, made once per content of the lock: what the server needs is too much for the tests' own.
mlflow_environment() {
    local lock=$HERE/tools/mlflow/requirements.txt dir uv
    dir=$ROOT/bin/mlflow-$(sha256sum <"$lock" | cut -c1-12)
    if [ ! -d "$dir" ]; then
        uv=$HERE/../../.venv/bin/uv
        [ -x "$uv" ] || uv=$(command -v uv) || fail "uv is missing: make env"
        say "installing mlflow (once)"
        rm -rf "$dir.new"
        "$uv" --quiet venv --relocatable "$dir.new" >&2
        "$uv" --quiet pip install --python "$dir.new/bin/python" --require-hashes --requirement "$lock" >&2
        mv "$dir.new" "$dir"
    fi
    echo "$dir"
}
