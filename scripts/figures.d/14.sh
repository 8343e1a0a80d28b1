# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034,SC2059  # Sourced by scripts/figures, which has these variables.

# failing_row <what> <handshakes in a second> <seconds>: one of three members fails.
failing_row() {
  local what=$1 rate=$2 seconds=$3 modules lines bad=/ out=$run_dir/out client doomed
  local form='%-10s %10s %8s %8s %9s %8s %8s %8s %9s  %s'
  modules=$(apxs -q LIBEXECDIR)
  [[ $what == killed ]] || bad=/$what
  start_member
  doomed=$member_port
  start event 150 "LoadModule slotmem_shm_module $modules/mod_slotmem_shm.so" \
    "LoadModule proxy_balancer_module $modules/mod_proxy_balancer.so" \
    "LoadModule lbmethod_byrequests_module $modules/mod_lbmethod_byrequests.so" \
    "WSBalanceHandshakeTimeout 100ms" \
    "<Proxy balancer://three>" "BalancerMember ws://127.0.0.1:$doomed${bad%/}" \
    "BalancerMember ws://127.0.0.1:$steady_port/one" \
    "BalancerMember ws://127.0.0.1:$steady_port/two" "</Proxy>" \
    "ProxyPass /ws/ balancer://three/"
  "$wsload" rate --port "$port" --path /ws/ --per-second "$rate" --seconds "$seconds" >"$out" &
  client=$!
  if [[ $what == killed ]]; then
    sleep $((seconds / 3))
    { kill -9 "${helper_pids[-1]}" && wait "${helper_pids[-1]}"; } 2>/dev/null || true
  fi
  wait "$client" || true
  wait_until no_tunnels || true
  row "$form" "$what" "$(value handshakes "$out")" "$(value status_101 "$out")" \
    "$(value others "$out")" "$(value no_answer "$out")" "$(value p50_ms "$out")" \
    "$(value p99_ms "$out")" "$(value max_ms "$out")" "$(failed_at "$doomed")" \
    "$(verdict "$(value status_101 "$out") == $(value handshakes "$out")" \
      "$(value handshakes "$out") >= rate * seconds * 9 / 10" "$(failed_at "$doomed") > 0" \
      "$(crashes) == 0" "$(status WSBalanceTunnels) == 0" "$(status WSBalanceHandshakes) == 0")"
}

# Handshakes that failed at the member with this port.
failed_at() {
  local number
  number=$(curl -s "http://127.0.0.1:$port/server-status?auto" |
    sed -n "s,^WSBalanceMember\[\([0-9]*\)\]Name: ws://127.0.0.1:$1.*,\1,p")
  status "WSBalanceMember\[$number\]HandshakesFailed"
}

figure_14() {
  local seconds=${1:-12} rate=500 what steady_port
  echo
  echo "Figure 14: $rate handshakes a second for $seconds s over three members, of which one is" \
    "killed after a third of that, or hangs, says 503 or sends a bad 101 all the time; event"
  printf '%-10s %10s %8s %8s %9s %8s %8s %8s %9s\n' member handshakes 101 others "no answer" \
    "p50 ms" "p99 ms" "max ms" "failed"
  start_member
  steady_port=$member_port
  for what in killed hang say-503 bad-101; do failing_row "$what" "$rate" "$seconds"; done
}
