# shellcheck shell=bash
# Sourced by scripts that run an httpd of their own: a temporary folder, a server in the foreground
# on 127.0.0.1, helpers beside it, and nothing of it left at the end, whichever way the end comes.

apxs=apxs  # Of the httpd to run; another one may be set after this file is sourced.
run_dir=
httpd_pid=
helper_pids=()

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# As root httpd needs somebody to run its children as, and the helpers run as the same.
child_user() {
  local user
  for user in www-data apache daemon nobody; do
    if id "$user" >/dev/null 2>&1; then
      echo "$user"
      return
    fi
  done
  die "none of the users www-data, apache, daemon, nobody exists"
}

# python3 of the distribution: another one on PATH lacks its packages.
free_port() {
  /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

port_is_free() {
  /usr/bin/python3 -c 'import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()' "$1" 2>/dev/null
}

# wait_for_port <port> <pid>: until something listens there; fails if <pid> ends or after 10 s.
wait_for_port() {
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
    kill -0 "$2" 2>/dev/null || return 1
    sleep 0.05
  done
  return 1
}

# make_run_dir <descriptors>: sets run_dir, and raises the limit of open files, which must allow
# that many a process: every tunnel takes two of httpd's.
make_run_dir() {
  ulimit -n "$(ulimit -Hn)"
  [[ $(ulimit -n) == unlimited ]] || (($(ulimit -n) >= $1)) ||
    die "a process may open $(ulimit -n) files only, $1 are needed (ulimit -Hn, LimitNOFILE)"
  run_dir=$(mktemp -d -t wsbalance.XXXXXX)
  trap end_everything EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  chmod 755 "$run_dir"
  mkdir "$run_dir/www"
}

# start_helper <log> <command>...: with the rights of httpd's children. Ends with this script even
# if that is killed.
start_helper() {
  local log=$run_dir/$1 as=()
  shift
  if ((EUID == 0)); then
    as=(--reuid "$(child_user)" --regid "$(id -gn "$(child_user)")" --clear-groups)
  fi
  setpriv "${as[@]}" --pdeathsig KILL "$@" </dev/null >"$log" 2>&1 &
  helper_pids+=($!)
}

httpd_program() { echo "$("$apxs" -q SBINDIR)/$("$apxs" -q PROGNAME)"; }

# start_httpd <port>: with $run_dir/httpd.conf.
start_httpd() {
  local server
  server=$(httpd_program)
  if ! "$server" -t -f "$run_dir/httpd.conf" >"$run_dir/httpd.out" 2>&1; then
    cat "$run_dir/httpd.out" >&2
    die "httpd does not accept its configuration"
  fi
  # In a process group of its own: under prefork it ends by a signal to its whole group.
  setsid setpriv --pdeathsig TERM "$server" -DFOREGROUND -f "$run_dir/httpd.conf" \
    </dev/null >"$run_dir/httpd.out" 2>&1 &
  httpd_pid=$!
  if ! wait_for_port "$1" "$httpd_pid"; then
    cat "$run_dir/httpd.out" "$run_dir/error.log" >&2 2>/dev/null || true
    die "httpd did not start"
  fi
}

stop_httpd() {
  [[ $httpd_pid ]] || return 0
  kill "$httpd_pid" 2>/dev/null || true
  wait "$httpd_pid" 2>/dev/null || true
  httpd_pid=
}

stop_helpers() {
  ((${#helper_pids[@]})) || return 0
  kill "${helper_pids[@]}" 2>/dev/null || true
  wait "${helper_pids[@]}" 2>/dev/null || true
  helper_pids=()
}

end_everything() {
  trap '' HUP INT TERM
  stop_httpd
  stop_helpers
  if [[ $run_dir ]]; then rm -rf "$run_dir"; fi
}

# The part of a configuration that every private server has: modules by name from the arguments,
# the first one being the MPM. What is compiled into the server need not be loaded; that may be
# another MPM.
# conf_head <port> <module>...
conf_head() {
  local port=$1 modules name compiled_in
  shift
  modules=$("$apxs" -q LIBEXECDIR)
  compiled_in=$("$(httpd_program)" -l)
  [[ ! $compiled_in =~ (event|worker|prefork)\.c ]] || shift
  echo "ServerRoot $run_dir"
  echo "DefaultRuntimeDir $run_dir"
  echo "PidFile $run_dir/httpd.pid"
  echo "ErrorLog $run_dir/error.log"
  echo "ServerName 127.0.0.1"
  echo "Listen 127.0.0.1:$port"
  for name in unixd "$@"; do
    [[ $compiled_in != *mod_$name.c* ]] || continue
    echo "LoadModule ${name}_module $modules/mod_$name.so"
  done
  if ((EUID == 0)); then
    echo "User $(child_user)"
    echo "Group $(id -gn "$(child_user)")"
  fi
  cat <<CONF
DocumentRoot $run_dir/www
<Directory $run_dir/www>
  Require all granted
</Directory>
<Location /server-status>
  SetHandler server-status
  Require local
</Location>
CONF
}
