# shellcheck shell=bash
# shellcheck disable=SC2154,SC2059  # Sourced by scripts/figures, which has these variables.

# Seconds of CPU that all children have used.
cpu_seconds() {
  local pid
  for pid in $(children); do sed 's/.*) //' "/proc/$pid/stat"; done |
    awk -v hz="$(getconf CLK_TCK)" '{s += $12 + $13} END {print s / hz}'
}

figure_7() {
  local count=10000 ping client cpu pings ended out=$run_dir/out log=$run_dir/tunnels.log
  local form='%-12s %7s %7s %6s %12s %10s %12s  %s'
  echo
  echo "Figure 7: 10,000 tunnels that say nothing for a minute, event, 2 children"
  printf "$form\n" WSBalancePing opened closed lost "other ends" "pings/s" "CPU seconds" ""
  for ping in off "1s 10s"; do
    rm -f "$log"
    start event 50 "ProxyPass /ws/ ws://127.0.0.1:$member_port/" "WSBalancePing $ping" \
      "WSBalanceLog $log \"%{reason}x %{pings_to_client}x %{pings_to_member}x\""
    "$wsload" tunnels --port "$port" --count "$count" --hold 64 >"$out" &
    client=$!
    wait_until_open "$client" "$out"
    sleep 2  # The handshakes are over for httpd too.
    cpu=$(cpu_seconds)
    sleep 60
    cpu=$(awk -v before="$cpu" -v after="$(cpu_seconds)" 'BEGIN {printf "%.1f", after - before}')
    wait "$client" || true
    wait_until no_tunnels || true
    # The pings of all of a tunnel's life, which has begun up to some seconds before it was counted.
    ended=$(grep -vc '^client-close ' "$log" || true)
    pings=$(awk '{s += $2 + $3} END {print s}' "$log")
    row "$form" "$ping" "$(value opened "$out")" "$(value closed "$out")" "$(value lost "$out")" \
      "$ended" "$((pings / 66))" "$cpu" \
      "$(verdict "$(value opened "$out") == count" "$(value closed "$out") == count" \
        "$(value lost "$out") == 0" "$ended == 0" "$(wc -l <"$log") == count" "$(crashes) == 0")"
  done
}
