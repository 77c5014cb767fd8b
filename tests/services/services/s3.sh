# S3 over a folder (versitygw), under a URL that pods and this machine share, with one bucket. Objects are gone after down.
S3_ADDRESS=$BRIDGE_IP:$((PORT + 1))
S3_KEY=builder
S3_SECRET=builder-tests-only
S3_BUCKET=builder-test

up_s3() {
    local bin
    bring bridge
    bin=$(go_tools versitygw)
    mkdir -p "$RUN/s3/$S3_BUCKET" # a bucket is a folder
    start s3 env "ROOT_ACCESS_KEY=$S3_KEY" "ROOT_SECRET_KEY=$S3_SECRET" \
        "$bin/versitygw" --port "$S3_ADDRESS" --health /-health --quiet posix "$RUN/s3"
    wait_for s3 curl -fsS "http://$S3_ADDRESS/-health"
    publish s3 "BUILDER_TEST_S3=http://$S3_ADDRESS" "BUILDER_TEST_S3_KEY=$S3_KEY" "BUILDER_TEST_S3_SECRET=$S3_SECRET" \
        "BUILDER_TEST_S3_BUCKET=$S3_BUCKET"
}
