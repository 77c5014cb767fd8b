# Sourced by up, down and status: where things are, and how a server is started, found and stopped.
set -euo pipefail
shopt -s inherit_errexit # a failed build in $(...) must not be taken for a finished one
umask 022

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=${BUILDER_SERVICES_HOME:-$HOME/.cache/builder-services} # survives down: tools, base, image stores
RUN=$ROOT/run                                                # volatile: pids, sockets, mounts, configuration
PORT=${BUILDER_SERVICES_PORT:-5100}
REGISTRY=127.0.0.1:$PORT
NETWORK=${BUILDER_SERVICES_NETWORK:-0} # 0-255: a second set's addresses differ from the first's in this number
BRIDGE=builder$NETWORK
BRIDGE_IP=10.244.$NETWORK.1 # what pods and this machine both reach
SERVICE_IP=10.96.$NETWORK.1 # where pods look for the Kubernetes API
ORDER="registry base containerd docker buildkit bridge s3 mlflow cluster kueue slurm charliecloud" # each may need those before it
CGROUP=builder-services-$(printf %s "$ROOT" | sha256sum | cut -c1-8)

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# need_program NAME PACKAGE
need_program() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"; }
need_short_path() { [ ${#RUN} -le 70 ] || fail "$RUN is too long a path for sockets: set BUILDER_SERVICES_HOME to a shorter one"; }
need_root() { [ "$(id -u)" = 0 ] || fail "$1 must be started by root"; }

# The kernel's start time of a process, empty when it is gone. A zombie is gone: a pid 1 that is no init reaps it late.
started_at() { sed -n 's/.*) //p' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

running() { # running NAME: is the very process that start() made still there? (a pid alone may have been used again)
    local pid at
    read -r pid at 2>/dev/null <"$RUN/pid/$1" && [ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ]
}

start() { # start NAME COMMAND...: in a session of its own, with a log
    local name=$1 pid
    shift
    running "$name" && return
    mkdir -p "$RUN/pid" "$RUN/log"
    setsid nohup "$@" >"$RUN/log/$name.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(started_at $pid)" >"$RUN/pid/$name"
}

wait_for() { # wait_for NAME COMMAND...: until the command succeeds, at most 30 s
    local name=$1 i
    shift
    for ((i = 0; i < 600; i++)); do
        "$@" >/dev/null 2>&1 && return
        running "$name" || break
        sleep 0.05
    done
    tail -n 20 "$RUN/log/$name.log" >&2
    fail "$name did not come up: the end of $RUN/log/$name.log is above"
}

end() { # end NAME: TERM, and KILL after 10 s
    local pid i
    if running "$1"; then
        read -r pid _ <"$RUN/pid/$1"
        kill -TERM "$pid" 2>/dev/null || true
        for ((i = 0; i < 200; i++)); do
            running "$1" || break
            sleep 0.05
        done
        if running "$1"; then kill -KILL "$pid"; fi
    fi
    rm -f "$RUN/pid/$1"
}

publish() { # publish NAME VARIABLE=VALUE...: what tests need to know, in $RUN/env
    local name=$1
    shift
    mkdir -p "$RUN/env.d"
    printf 'export %s\n' "$@" >"$RUN/env.d/$name"
    collect_env
}

collect_env() { cat "$RUN"/env.d/* >"$RUN/env.new" 2>/dev/null || true; mv "$RUN/env.new" "$RUN/env"; }

# go_tools MODULE [LDFLAGS]: builds tools/MODULE's pinned programs once per content of its go.sum and sources, and prints their folder.
go_tools() {
    local dir
    dir=$(tools_folder "$1")
    if [ ! -d "$dir" ]; then
        say "building $1 (once)"
        rm -rf "$dir.new"
        build_tools "$HERE/tools/$1" "$dir.new" "${2:-}"
        mv "$dir.new" "$dir"
    fi
    echo "$dir"
}

tools_folder() { echo "$ROOT/bin/$1-$(cat "$HERE/tools/$1/go.sum" $(find "$HERE/tools/$1" -name "*.go" | sort) | sha256sum | cut -c1-12)"; }

build_tools() { # build_tools SOURCE INTO LDFLAGS: the programs that SOURCE/go.mod calls tools
    need_program go "golang (1.26 or newer)"
    mkdir -p "$2"
    (cd "$1" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $3" -o "$2/" tool) >&2
}

pinned_version() { awk -v path="$2" '$1 == path { print $2 }' "$HERE/tools/$1/go.mod"; } # pinned_version MODULE PATH

bring() { # bring NAME [OPTION...]
    local name=$1
    shift
    [ -f "$HERE/services/$name.sh" ] || fail "no such service: $name (there are: $ORDER)"
    . "$HERE/services/$name.sh"
    "up_$name" "$@"
}
