# shellcheck shell=bash
# Sourced beside scripts/private-httpd.sh by the tests of packages.

# one_echo <file>: starts the private httpd with the directives of the file, which load the module,
# sends one message through it to a member and back, and stops it. Nothing but this module can
# carry that: mod_proxy_wstunnel and mod_proxy_http are not loaded.
one_echo() {
  local here port member_port tries
  here=$(dirname "${BASH_SOURCE[0]}")
  install -m 644 "$here/debian/tests/echo.py" "$run_dir/"
  start_helper member.log /usr/bin/python3 "$run_dir/echo.py" member
  for ((tries = 0; tries < 400; tries++)); do
    [[ ! -s $run_dir/member.log ]] || break
    sleep 0.05
  done
  member_port=$(cat "$run_dir/member.log")
  [[ $member_port =~ ^[0-9]+$ ]] || die "the member did not start: $member_port"

  port=$(free_port)
  {
    conf_head "$port" mpm_event authz_core authz_host status proxy
    cat "$1"
    echo 'LogLevel warn proxy:info wsbalance:info'
    echo "ProxyPass \"/echo\" \"ws://127.0.0.1:$member_port/\""
  } >"$run_dir/httpd.conf"
  start_httpd "$port"
  if ! /usr/bin/python3 "$run_dir/echo.py" client "$port" /echo; then
    tail -n 20 "$run_dir/error.log" >&2
    die "the WebSocket did not get through"
  fi
  stop_httpd
  stop_helpers
  if grep -E ':(warn|error|crit|alert|emerg)\]|exit signal' "$run_dir/error.log" >&2; then
    die "httpd's log has the lines above"
  fi
  grep -q 'WSB0301: tunnel ended' "$run_dir/error.log" || die "httpd's log does not tell of the tunnel"
}
