#!/usr/bin/env bash
# Real TimescaleDB on a Debian machine without Docker: Debian's own packages in a folder outside
# the repository. Run without arguments for help.
# shellcheck disable=SC2016  # the programs of "sh -c" expand their own arguments
set -euo pipefail

DIR=${TIMESCALEDB_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tickgate/timescaledb}
SUITE=trixie                              # the first Debian that packages TimescaleDB
PACKAGE=postgresql-17-timescaledb
MIRROR=${DEBIAN_MIRROR:-}  # empty: debootstrap's own choice
BIN=/usr/lib/postgresql/17/bin
COMPLETE=$DIR/.complete                   # written last: without it the folder is made anew
CLUSTERS=/clusters                        # inside DIR
START_SECONDS=30
NO_INSTALLATION=3                         # exit status: "install" was not run

usage() {
    cat <<TEXT
usage: scripts/timescaledb.sh COMMAND

  install      install PostgreSQL 17 with TimescaleDB into the folder (700 MB), unless it is there
  start        start the server if it is not running, and print its database URL
  stop         stop it; its data is kept
  status       say whether it is installed and running; exit status 0 if it runs
  url          print the database URL of the running server
  serve PID    a server with an empty cluster of its own, for tests: prints its URL, ends when
               process PID, which must have started this command, ends

The folder is $DIR
(set TIMESCALEDB_DIR to change it). Needs root: the server runs in a chroot, as an ordinary user.
TEXT
}

fail() {
    echo "timescaledb: $1" >&2
    exit "${2:-1}"
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "$1 needs root (a chroot is used); run it as root or with sudo"
}

need_installation() {
    [ -f "$COMPLETE" ] || fail "not installed in $DIR; run 'make timescaledb'" $NO_INSTALLATION
    need_root "the server"
}

install_debootstrap() {
    command -v debootstrap >/dev/null && return
    command -v apt-get >/dev/null ||
        fail "needs Debian or a relative of it (no apt-get here); use the TimescaleDB image instead"
    echo "timescaledb: installing debootstrap" >&2
    apt-get install -y -qq debootstrap >&2 ||
        { apt-get update -qq >&2 && apt-get install -y -qq debootstrap >&2; } ||
        fail "debootstrap could not be installed"
}

# Remove an interrupted installation; never a folder that somebody else filled.
clear_folder() {
    if [ -n "$(ls -A "$DIR" 2>/dev/null)" ] && [ ! -e "$DIR/.tickgate" ]; then
        fail "$DIR is not empty and not an installation of ours; set TIMESCALEDB_DIR"
    fi
    rm -rf --one-file-system "$DIR"
    mkdir -p "$DIR"
    : >"$DIR/.tickgate"
}

install_server() {
    [ -f "$COMPLETE" ] && return
    need_root install
    install_debootstrap
    mkdir -p "$(dirname "$DIR")"
    exec 8>"$DIR.lock"
    flock 8                               # a second install waits, then finds the work done
    [ -f "$COMPLETE" ] && return
    echo "timescaledb: installing $PACKAGE into $DIR (700 MB, about a minute)" >&2
    clear_folder
    local log=$DIR.log
    debootstrap --variant=minbase --include="$PACKAGE" "$SUITE" "$DIR" ${MIRROR:+"$MIRROR"} >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2; fail "debootstrap failed; its log is $log"; }
    rm -rf "$DIR"/var/cache/apt/archives/*.deb
    chroot "$DIR" install -d -o postgres -g postgres -m 0700 "$CLUSTERS"
    : >"$COMPLETE"
}

# Run a program inside, as the server's user, with nothing of our environment.
inside() {
    chroot "$DIR" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
}

free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 12000))  # below the range of ephemeral ports
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    fail "no free port"
}

random_password() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# make_cluster NAME [OPTION…]: files, a password that only root and the server can read, settings.
make_cluster() {
    local cluster=$CLUSTERS/$1 password
    password=$(random_password)
    inside sh -c 'umask 077; cat >"$1"' sh "$CLUSTERS/$1.password" <<<"$password"
    inside "$BIN/initdb" -D "$cluster" -U tickgate --pwfile="$CLUSTERS/$1.password" \
        -A scram-sha-256 --locale=C -E UTF8 "${@:2}" >"$DIR.initdb.log" 2>&1 ||
        { tail -n 5 "$DIR.initdb.log" >&2; fail "initdb failed"; }
    inside sh -c 'cat >"$1"' sh "$cluster/pg_hba.conf" <<<'host all all 127.0.0.1/32 scram-sha-256'
    inside sh -c 'cat >>"$1"' sh "$cluster/postgresql.conf" <<SETTINGS
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_preload_libraries = 'timescaledb,pg_stat_statements'
timescaledb.telemetry_level = off
dynamic_shared_memory_type = mmap
shared_buffers = 128MB
max_wal_size = 256MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
SETTINGS
}

cluster_url() {
    echo "postgresql://tickgate:$(cat "$DIR$CLUSTERS/$1.password")@127.0.0.1:$2/postgres"
}

# is_ready NAME: the server writes its state into line 8 of its pid file, where pg_ctl looks too.
is_ready() {
    [ "$(sed -n 8p "$DIR$CLUSTERS/$1/postmaster.pid" 2>/dev/null | tr -d ' ')" = ready ]
}

# pid_of NAME: the running server's pid, from its pid file if that process works in the cluster.
pid_of() {
    local pid folder
    pid=$(head -n 1 "$DIR$CLUSTERS/$1/postmaster.pid" 2>/dev/null) || return 1
    folder=$(readlink "/proc/$pid/cwd" 2>/dev/null) || return 1
    [ "$folder" -ef "$DIR$CLUSTERS/$1" ] && echo "$pid"
}

# wait_until SECONDS COMMAND…
wait_until() {
    local polls=$(($1 * 50))
    shift
    while ! "$@"; do
        [ $((polls -= 1)) -gt 0 ] || return 1
        sleep 0.02
    done
}

start_server() {
    install_server
    need_installation
    local port
    if ! pid_of main >/dev/null; then
        [ -f "$DIR$CLUSTERS/main/PG_VERSION" ] || { rm -rf "$DIR$CLUSTERS/main"; make_cluster main; }
        rm -f "$DIR$CLUSTERS/main/postmaster.pid"
        port=$(free_port)
        inside setsid --fork "$BIN/postgres" -D "$CLUSTERS/main" -p "$port" \
            >"$DIR.server.log" 2>&1 </dev/null 8>&-
        wait_until $START_SECONDS is_ready main ||
            { tail -n 5 "$DIR.server.log" >&2; fail "no start within $START_SECONDS s"; }
    fi
    print_url
}

print_url() {
    need_installation
    pid_of main >/dev/null || fail "not running; run 'scripts/timescaledb.sh start'"
    cluster_url main "$(sed -n 4p "$DIR$CLUSTERS/main/postmaster.pid")"
}

stop_server() {
    need_installation
    local pid
    pid=$(pid_of main) || { echo "timescaledb: not running"; return; }
    kill -INT "$pid"
    wait_until 20 eval "! kill -0 $pid 2>/dev/null" ||
        { kill -QUIT "$pid"; fail "process $pid did not stop within 20 s; told it to stop at once"; }
    echo "timescaledb: stopped"
}

show_status() {
    [ -f "$COMPLETE" ] || fail "not installed in $DIR" $NO_INSTALLATION
    pid_of main >/dev/null || fail "installed in $DIR, not running"
    echo "timescaledb: running as process $(pid_of main), installed in $DIR"
}

# Clusters of test runs that are over: nobody holds their lock.
remove_old_clusters() {
    local lock name
    for lock in "$DIR$CLUSTERS"/test-*.lock; do
        [ -e "$lock" ] || continue
        name=$(basename "$lock" .lock)
        (flock -n 7 && rm -rf "$DIR$CLUSTERS/${name:?}" "$DIR$CLUSTERS/${name:?}".*) 7<"$lock" || true
    done
}

# The server takes this process' place, so that the caller's signals and the end of the caller
# reach it. The death signal is set last, as a change of user clears it.
serve() {
    local parent=$1 name=test-$$ port
    need_installation
    exec 8>"$DIR$CLUSTERS/.lock"
    flock 8
    remove_old_clusters
    exec 9>"$DIR$CLUSTERS/$name.lock"     # the server inherits it, and holds it while it lives
    flock -n 9
    exec 8>&-
    make_cluster "$name" --no-sync        # lives as long as the tests
    echo "fsync = off" >>"$DIR$CLUSTERS/$name/postgresql.conf"
    port=$(free_port)
    announce "$name" "$port" &
    exec chroot "$DIR" /usr/bin/env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 \
        setpriv --reuid=postgres --regid=postgres --init-groups --pdeathsig INT -- \
        sh -c '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"' sh "$parent" \
        "$BIN/postgres" -D "$CLUSTERS/$name" -p "$port" >"$DIR$CLUSTERS/$name.log" 2>&1
}

announce() {
    local server=$$
    wait_until $START_SECONDS eval "is_ready $1 || ! kill -0 $server 2>/dev/null"
    if is_ready "$1"; then cluster_url "$1" "$2"; else tail -n 5 "$DIR$CLUSTERS/$1.log" >&2; fi
}

case "${1:-}" in
    install) install_server; echo "timescaledb: installed in $DIR" ;;
    start) start_server ;;
    stop) stop_server ;;
    status) show_status ;;
    url) print_url ;;
    serve) serve "${2:?serve needs the pid of the calling process}" ;;
    *) usage; [ "${1:-}" = help ] || exit 2 ;;
esac
