# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034,SC2059  # Sourced by scripts/figures, which has these variables.
# shellcheck source=scripts/figures.d/crowd.sh
. "$root/scripts/figures.d/crowd.sh"

# PSS in KiB of all processes of this httpd, its carriers too; what they share counts once.
all_pss() {
  local pid
  { grep -ls "$run_dir/mod_wsbalance.so" /proc/[0-9]*/maps || true; } | cut -d/ -f3 | while read -r pid; do
    awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null || true
  done | awk '{s += $1} END {print s + 0}'
}

# Seconds of CPU of all children.
children_cpu() {
  local pid
  for pid in $(children); do sed 's/.*) //' "/proc/$pid/stat"; done |
    awk -v hz="$(getconf CLK_TCK)" '{s += $12 + $13} END {print s / hz}'
}

get_ms() { curl -s -o /dev/null -w '%{time_total}' --max-time 10 "http://127.0.0.1:$port/" | awk '{printf "%.1f", $1 * 1000}'; }

# A process of the crowd and a member have 20,000 descriptors at most, a port 28,000 connections.
figure_11() {
  local tunnels=${1:-50000} parts=3 part members=() own_port=$member_port count kb_before kb_open cpu get
  local cpu_idle busy lines ports
  local form='%8s %8s %7s %9s %5s %9s %9s %12s %7s %5s %8s %7s  %s'
  for ((part = 0; part < parts; part++)); do
    start_member
    members+=("$member_port")
  done
  member_port=$own_port
  echo
  echo "Figure 11: $tunnels tunnels, event, 10 children with 15 workers each, 1,000 tunnels talk (2" \
    "messages a second); beside it 1,000 tunnels that talk"
  printf "$form\n" tunnels open silent "KB each" busy "GET ms" "CPU idle" "CPU talking" echoed lost \
    "p99.9 ms" "max ms" ""
  for count in 1000 "$tunnels"; do
    lines=()
    ports=()
    for ((part = 0; part < parts; part++)); do
      lines+=("ProxyPass /ws$part/ ws://127.0.0.1:${members[part]}/")
      ((part == 0)) || { ports[part]=$(free_port); lines+=("Listen 127.0.0.1:${ports[part]}"); }
    done
    threads=15
    start event 150 "${lines[@]}" "WSBalanceMaxCarriers 100"
    threads=25
    ports[0]=$port
    "$wsload" tunnels --port "$port" --path /ws0/ --count 300 >"$run_dir/out"  # All have begun to work.
    wait_until no_tunnels || true
    sleep 1
    kb_before=$(all_pss)
    for ((part = 0; part < parts; part++)); do
      # The first ones have what the division leaves over.
      join_crowd "${ports[part]}" $((count / parts + (part < count % parts))) --path "/ws$part/" \
        --talking $((1000 / parts + (part < 1000 % parts))) --quiet 15
    done
    wait_for_crowd || true
    sleep 2
    get=$(get_ms) busy=$(status BusyWorkers) kb_open=$(all_pss)
    cpu=$(children_cpu)
    sleep 5
    cpu_idle=$(awk -v a="$cpu" -v b="$(children_cpu)" 'BEGIN {printf "%.1f %%", (b - a) * 20}')
    sleep 12  # They talk now.
    mark
    cpu=$(children_cpu)
    sleep 10
    mark
    row "$form" "$count" "$(sum open)" "$(($(sum dropped) + $(sum refused)))" \
      "$(awk -v kb=$((kb_open - kb_before)) -v n="$count" 'BEGIN {printf "%.2f", kb / n}')" \
      "$busy" "$get" "$cpu_idle" \
      "$(awk -v a="$cpu" -v b="$(children_cpu)" 'BEGIN {printf "%.1f %%", (b - a) * 10}')" \
      "$(sum echoed)" "$(sum lost)" "$(most p999_ms)" "$(most max_ms)" \
      "$(verdict "$(sum open) == count" "$(sum dropped) == 0" "$(sum lost) + $(sum wrong) == 0" \
        "$(sum echoed) > 15000" "$busy == 1" "$(crashes) == 0")"
    restart_with_all "$count"
    forget_crowd
  done
}

# restart_with_all <tunnels>: all go to carriers, while the talkers talk.
restart_with_all() {
  local kb_open kb_after carriers
  kb_open=$(all_pss)
  mark
  start_looking
  start_gets
  sleep 1
  kill -USR1 "$httpd_pid"
  sleep 10
  mark
  stop_gets
  stop_looking
  kb_after=$(all_pss) carriers=$(carriers_now)
  row "  restarted: open %s, dropped %s, echoed %s, lost %s, late by %s ms at most; %s carriers; a slot of an old generation: %s s; GET %s ms at most; memory in MB (PSS): %s before, %s after  %s" \
    "$(sum open)" "$(($(sum dropped) + $(sum sent_away)))" "$(sum echoed)" "$(sum lost)" \
    "$(most max_ms)" "$carriers" "$(value old_slot_s "$run_dir/slots")" \
    "$(value max_ms "$run_dir/gets")" "$(mb "$kb_open")" "$(mb "$kb_after")" \
    "$(verdict "$(sum open) == $1" "$(sum dropped) + $(sum sent_away) == 0" \
      "$(sum lost) + $(sum wrong) == 0" "$(value failed "$run_dir/gets") == 0" "$(crashes) == 0")"
  dismiss_crowd
  wait_until no_carriers || true
  row "  all have left: closed %s, lost %s; left: %s carriers, %s tunnels; memory in MB: %s  %s" \
    "$(sum closed)" "$(sum lost)" "$(carriers_now)" "$(status WSBalanceTunnels)" \
    "$(mb "$(all_pss)")" "$(verdict "$(sum closed) == $1" "$(sum lost) == 0" "$(carriers_now) == 0" "$(crashes) == 0")"
}
