# A Slurm of four virtual nodes with eight pretended GPUs each, accounting (MariaDB, slurmdbd), and its bastion: an sshd on loopback.
# `slurm.conf` and what else it reads lie in $RUN/slurm. Everything runs as root; jobs of other users run as those.
#
# What a test would take from others by killing it, it has of its own (tests/fixtures/own_slurm.py), in a set with another home and port:
#   --with memory       jobs that use more than they asked for are killed (cgroups, which need names of nodes of their own)
#   --with preemption   partitions `low` and `high`: jobs of the one give way to jobs of the other, and are cancelled
#   --with haste        nodes are lost, and ended jobs forgotten, after seconds
#   --with users        two users beside root, whose names are in $RUN/slurm/users
#   --without accounting, --without bridge
SLURM_NODES=4
SLURM_CPUS=16
SLURM_GPUS=8
SLURM_PORTS=$((PORT + 100)) # +1 slurmctld, +2 slurmdbd, +3 MariaDB, +22 sshd, +31... slurmd
SLURM_DIR=$RUN/slurm

up_slurm() {
    local words=" accounting bridge "
    while [ $# -gt 0 ]; do
        case $1 in
            --with) words+="$2 " ;;
            --without) words=${words/ $2 / } ;;
            *) fail "slurm takes --with and --without" ;;
        esac
        shift 2
    done
    need_root slurm
    if slurm_has bridge; then bring bridge; fi # pods reach the bastion there
    need_short_path
    need_program slurmctld slurm-wlm
    need_program munged munge
    need_program sshd openssh-server
    mkdir -p -m 755 "$SLURM_DIR"/{munge,state,spool,log,ssh,dev,bin}
    export SLURM_CONF=$SLURM_DIR/slurm.conf
    slurm_munge
    slurm_files
    if slurm_has accounting; then slurm_accounting; fi
    slurm_daemons
    if slurm_has users; then slurm_users; fi
    slurm_bastion
    publish slurm "BUILDER_TEST_SLURM=127.0.0.1:$((SLURM_PORTS + 22))" "BUILDER_TEST_SLURM_CONF=$SLURM_CONF" "BUILDER_TEST_SLURM_SSH=$SLURM_DIR/ssh"
}

slurm_has() { [[ $words == *" $1 "* ]]; }

slurm_node() { if [ -e "$SLURM_DIR/prefix" ]; then cat "$SLURM_DIR/prefix"; else echo n; fi; } # what names of nodes begin with

slurm_munge() {
    chmod 711 "$SLURM_DIR/munge"
    [ -e "$SLURM_DIR/munge/key" ] || (umask 077 && head -c 64 /dev/urandom >"$SLURM_DIR/munge/key")
    start slurm-munged munged --foreground --force --key-file="$SLURM_DIR/munge/key" --socket="$SLURM_DIR/munge/sock" \
        --pid-file="$SLURM_DIR/munge/pid" --seed-file="$SLURM_DIR/munge/seed" --log-file="$SLURM_DIR/log/munged" --num-threads=2
    wait_for slurm-munged munge --socket="$SLURM_DIR/munge/sock" --no-input
}

slurm_files() {
    local i host node tracking=(ProctrackType=proctrack/linuxproc TaskPlugin=task/none SelectTypeParameters=CR_CPU) more=()
    local age=10 timeout=15
    host=$(hostname -s)
    if slurm_has memory; then
        echo "m$PORT-" >"$SLURM_DIR/prefix"
        tracking=(ProctrackType=proctrack/cgroup TaskPlugin=task/cgroup SelectTypeParameters=CR_CPU_Memory DefMemPerCPU=20)
    fi
    node=$(slurm_node)
    if slurm_has haste; then age=2 timeout=5; fi
    if slurm_has accounting; then
        more+=(AccountingStorageType=accounting_storage/slurmdbd AccountingStorageHost=127.0.0.1 "AccountingStoragePort=$((SLURM_PORTS + 2))"
            "AccountingStoragePass=$SLURM_DIR/munge/sock" AccountingStoreFlags=job_comment)
    fi
    if slurm_has preemption; then
        more+=(PreemptType=preempt/partition_prio PreemptMode=CANCEL "PartitionName=low Nodes=${node}4 PriorityTier=1 PreemptMode=CANCEL"
            "PartitionName=high Nodes=${node}4 PriorityTier=9 PreemptMode=OFF")
    fi
    for i in $(seq 0 $((SLURM_GPUS - 1))); do # a GPU counts only with a character device: this one is /dev/null's
        [ -e "$SLURM_DIR/dev/gpu$i" ] || mknod "$SLURM_DIR/dev/gpu$i" c 1 3
    done
    echo "NodeName=$node[1-$SLURM_NODES] Name=gpu File=$SLURM_DIR/dev/gpu[0-$((SLURM_GPUS - 1))]" >"$SLURM_DIR/gres.conf"
    printf '%s\n' CgroupPlugin=cgroup/v1 ConstrainRAMSpace=yes ConstrainSwapSpace=yes >"$SLURM_DIR/cgroup.conf"
    cat >"$SLURM_CONF" <<EOF
ClusterName=tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$((SLURM_PORTS + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$SLURM_DIR/munge/sock
CredType=cred/munge
StateSaveLocation=$SLURM_DIR/state
SlurmdSpoolDir=$SLURM_DIR/spool/%n
SlurmctldPidFile=$SLURM_DIR/slurmctld.pid
SlurmdPidFile=$SLURM_DIR/slurmd.%n.pid
SelectType=select/cons_tres
$(printf '%s\n' "${tracking[@]}")
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,default_queue_depth=1000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=$age
SlurmdTimeout=$timeout
SlurmctldTimeout=10
InactiveLimit=0
KillWait=2
OverTimeLimit=0
EnforcePartLimits=ALL
GresTypes=gpu
NodeName=$node[1-$SLURM_NODES] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((SLURM_PORTS + 31))-$((SLURM_PORTS + 30 + SLURM_NODES))] CPUs=$SLURM_CPUS RealMemory=2000 Gres=gpu:$SLURM_GPUS State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=short Nodes=${node}1 MaxTime=5 DefaultTime=1 State=UP
$(printf '%s\n' "${more[@]}")
EOF
}

slurm_accounting() {
    need_program slurmdbd "slurmdbd slurm-wlm-mysql-plugin"
    need_program mariadbd mariadb-server
    local db=$SLURM_DIR/db sql=(mariadb --no-defaults -S "$SLURM_DIR/db/sock" -u root -e)
    if [ ! -d "$db/data/mysql" ]; then
        mkdir -p "$db"
        mariadb-install-db --no-defaults --user=root --datadir="$db/data" --auth-root-authentication-method=normal --skip-test-db >"$SLURM_DIR/log/db" 2>&1
    fi
    start slurm-db mariadbd --no-defaults --user=root --datadir="$db/data" --socket="$db/sock" --pid-file="$db/pid" --bind-address=127.0.0.1 \
        --port=$((SLURM_PORTS + 3)) --skip-log-bin --skip-name-resolve --innodb-buffer-pool-size=64M --innodb-log-file-size=16M \
        --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 --performance-schema=OFF
    wait_for slurm-db "${sql[@]}" 'select 1'
    "${sql[@]}" "create user if not exists slurm@'127.0.0.1' identified by 'slurm'; grant all on slurm_acct.* to slurm@'127.0.0.1';"
    (
        umask 077 # it refuses to start otherwise
        cat >"$SLURM_DIR/slurmdbd.conf" <<EOF
AuthType=auth/munge
AuthInfo=socket=$SLURM_DIR/munge/sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((SLURM_PORTS + 2))
SlurmUser=root
PidFile=$SLURM_DIR/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((SLURM_PORTS + 3))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
EOF
    )
    start slurm-dbd slurmdbd -D
    wait_for slurm-dbd sacctmgr -n -i list cluster
    sacctmgr -n list cluster format=cluster | grep -qw tests || sacctmgr -i add cluster tests >"$SLURM_DIR/log/sacctmgr"
}

slurm_daemons() {
    local i
    start slurm-ctld slurmctld -D -i
    for i in $(seq "$SLURM_NODES"); do
        mkdir -p "$SLURM_DIR/spool/$(slurm_node)$i"
        start "slurm-n$i" slurmd -D -N "$(slurm_node)$i"
    done
    wait_for slurm-ctld slurm_ready
}

slurm_ready() { [ "$(sinfo -h -N -p main -o %T | grep -Ec '^(idle|mixed|allocated|completing)$')" = "$SLURM_NODES" ]; }

# Who may log in, and has a home. `*` is no password, while `!` would lock sshd's door.
slurm_users() {
    local name
    : >"$SLURM_DIR/users"
    for name in "slurm$PORT"{a,b}; do
        id "$name" >/dev/null 2>&1 || useradd -M -d "$SLURM_DIR/home/$name" -s /bin/bash -p '*' "$name"
        mkdir -p "$SLURM_DIR/home/$name"
        chown "$name:" "$SLURM_DIR/home/$name"
        echo "$name" >>"$SLURM_DIR/users"
    done
}

slurm_bastion() {
    local ssh=$SLURM_DIR/ssh key
    for key in host user; do
        [ -e "$ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key" -f "$ssh/$key"
    done
    cp "$ssh/user.pub" "$ssh/authorized_keys"
    cat >"$ssh/config" <<EOF
Port $((SLURM_PORTS + 22))
ListenAddress 127.0.0.1
$(if slurm_has bridge; then echo "ListenAddress $BRIDGE_IP"; fi)
HostKey $ssh/host
PidFile none
AuthorizedKeysFile $ssh/authorized_keys
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
UseDNS no
MaxSessions 64
MaxStartups 64
SetEnv SLURM_CONF=$SLURM_CONF SHLVL=1 PATH=$SLURM_DIR/bin:/usr/local/bin:/usr/bin:/bin
Subsystem sftp internal-sftp
EOF
    mkdir -p -m 755 /run/sshd
    start slurm-sshd "$(PATH=$PATH:/usr/sbin command -v sshd)" -D -e -f "$ssh/config"
    echo "[127.0.0.1]:$((SLURM_PORTS + 22)) $(cut -d' ' -f1,2 "$ssh/host.pub")" >"$ssh/known_hosts"
    wait_for slurm-sshd ssh_answers "$ssh"
}

ssh_answers() {
    ssh -F none -i "$1/user" -o "UserKnownHostsFile=$1/known_hosts" -o StrictHostKeyChecking=yes -o BatchMode=yes -p $((SLURM_PORTS + 22)) root@127.0.0.1 true
}

# Of jobs that nobody could cancel, as the controller or their node had been killed.
slurm_left() {
    local process
    for process in /proc/[0-9]*; do
        if [ -z "$(started_at "${process#/proc/}")" ] || ! grep -qzxF "SLURM_CONF=$SLURM_CONF" "$process/environ" 2>/dev/null; then continue; fi
        if grep -qz ^SLURM_JOB_ID= "$process/environ" || grep -q ^slurmstepd "$process/comm"; then echo "${process#/proc/}"; fi
    done
}

# Jobs first: a slurmstepd outlives its slurmd.
down_slurm() {
    local i name group
    export SLURM_CONF=$SLURM_DIR/slurm.conf
    if running slurm-ctld; then
        timeout 10 squeue -h -o %i | xargs -r timeout 10 scancel || true
        for ((i = 0; i < 100; i++)); do
            [ -n "$(timeout 10 squeue -h 2>/dev/null)" ] || break
            sleep 0.1
        done
    fi
    for name in sshd $(seq -f n%g "$SLURM_NODES") ctld dbd db munged; do end "slurm-$name"; done
    slurm_left | xargs -r kill -KILL 2>/dev/null || true
    if [ -e "$SLURM_DIR/users" ]; then
        while read -r name; do userdel "$name"; done <"$SLURM_DIR/users"
    fi
    if [ -e "$SLURM_DIR/prefix" ]; then
        for group in /sys/fs/cgroup/*/slurm_"$(slurm_node)"*; do
            if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true; fi
        done
    fi
}
