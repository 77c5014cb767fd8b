# A Slurm of four virtual nodes with eight pretended GPUs each, accounting (MariaDB, slurmdbd), and its bastion: an sshd on loopback.
# `slurm.conf` and what else it reads lie in $RUN/slurm. Everything runs as root; jobs of other users run as those.
SLURM_NODES=4
SLURM_CPUS=16
SLURM_GPUS=8
SLURM_PORTS=$((PORT + 100)) # +1 slurmctld, +2 slurmdbd, +3 MariaDB, +22 sshd, +31... slurmd
SLURM_DIR=$RUN/slurm

up_slurm() {
    need_root slurm
    bring bridge # pods reach the bastion there
    need_short_path
    need_program slurmctld slurm-wlm
    need_program munged munge
    need_program sshd openssh-server
    need_program slurmdbd "slurmdbd slurm-wlm-mysql-plugin"
    need_program mariadbd mariadb-server
    mkdir -p -m 755 "$SLURM_DIR"/{munge,state,spool,log,ssh,dev}
    export SLURM_CONF=$SLURM_DIR/slurm.conf
    slurm_munge
    slurm_files
    slurm_accounting
    slurm_daemons
    slurm_bastion
    publish slurm "BUILDER_TEST_SLURM=127.0.0.1:$((SLURM_PORTS + 22))" "BUILDER_TEST_SLURM_CONF=$SLURM_CONF" "BUILDER_TEST_SLURM_SSH=$SLURM_DIR/ssh"
}

slurm_munge() {
    chmod 711 "$SLURM_DIR/munge"
    [ -e "$SLURM_DIR/munge/key" ] || (umask 077 && head -c 64 /dev/urandom >"$SLURM_DIR/munge/key")
    start slurm-munged munged --foreground --force --key-file="$SLURM_DIR/munge/key" --socket="$SLURM_DIR/munge/sock" \
        --pid-file="$SLURM_DIR/munge/pid" --seed-file="$SLURM_DIR/munge/seed" --log-file="$SLURM_DIR/log/munged" --num-threads=2
    wait_for slurm-munged munge --socket="$SLURM_DIR/munge/sock" --no-input
}

slurm_files() {
    local i host
    host=$(hostname -s)
    for i in $(seq 0 $((SLURM_GPUS - 1))); do # a GPU counts only with a character device: this one is /dev/null's
        [ -e "$SLURM_DIR/dev/gpu$i" ] || mknod "$SLURM_DIR/dev/gpu$i" c 1 3
    done
    echo "NodeName=n[1-$SLURM_NODES] Name=gpu File=$SLURM_DIR/dev/gpu[0-$((SLURM_GPUS - 1))]" >"$SLURM_DIR/gres.conf"
    printf 'CgroupPlugin=cgroup/v1\n' >"$SLURM_DIR/cgroup.conf"
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
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,default_queue_depth=1000
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=10
SlurmdTimeout=15
SlurmctldTimeout=10
InactiveLimit=0
KillWait=2
OverTimeLimit=0
EnforcePartLimits=ALL
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((SLURM_PORTS + 2))
AccountingStoragePass=$SLURM_DIR/munge/sock
AccountingStoreFlags=job_comment
NodeName=n[1-$SLURM_NODES] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((SLURM_PORTS + 31))-$((SLURM_PORTS + 30 + SLURM_NODES))] CPUs=$SLURM_CPUS RealMemory=2000 Gres=gpu:$SLURM_GPUS State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=short Nodes=n1 MaxTime=5 DefaultTime=1 State=UP
EOF
}

slurm_accounting() {
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
        mkdir -p "$SLURM_DIR/spool/n$i"
        start "slurm-n$i" slurmd -D -N "n$i"
    done
    wait_for slurm-ctld slurm_idle
}

slurm_idle() { [ "$(sinfo -h -N -p main -o %T | grep -c '^idle$')" = "$SLURM_NODES" ]; }

slurm_bastion() {
    local ssh=$SLURM_DIR/ssh key
    for key in host user; do
        [ -e "$ssh/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key" -f "$ssh/$key"
    done
    cp "$ssh/user.pub" "$ssh/authorized_keys"
    cat >"$ssh/config" <<EOF
Port $((SLURM_PORTS + 22))
ListenAddress 127.0.0.1
ListenAddress $BRIDGE_IP
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
SetEnv SLURM_CONF=$SLURM_CONF SHLVL=1
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

# Jobs first: a slurmstepd outlives its slurmd.
down_slurm() {
    local i name
    export SLURM_CONF=$SLURM_DIR/slurm.conf
    if running slurm-ctld; then
        timeout 10 scancel --user="$(id -un)" || true
        for ((i = 0; i < 100; i++)); do
            [ -n "$(timeout 10 squeue -h 2>/dev/null)" ] || break
            sleep 0.1
        done
    fi
    for name in sshd $(seq -f n%g "$SLURM_NODES") ctld dbd db munged; do end "slurm-$name"; done
}
