# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034,SC2059  # Sourced by scripts/figures, which has these variables.
# shellcheck source=scripts/figures.d/crowd.sh
. "$root/scripts/figures.d/crowd.sh"

# group <method> <port:loadfactor>...: the lines of a balancer of these members at /ws/.
group() {
  local modules member
  modules=$(apxs -q LIBEXECDIR)
  for member in slotmem_shm proxy_balancer lbmethod_byrequests headers; do
    echo "LoadModule ${member}_module $modules/mod_$member.so"
  done
  printf '%s\n' "WSBalanceMaxHandshakes 0" 'Header always set X-Member "%{BALANCER_WORKER_NAME}e"' \
    "<Proxy balancer://app>"
  for member in "${@:2}"; do
    echo "BalancerMember ws://127.0.0.1:${member%:*} loadfactor=${member#*:}"
  done
  printf '%s\n' "ProxySet lbmethod=$1" "WSBalanceHashKey %{HTTP:X-Key}" "</Proxy>" \
    "ProxyPass /ws/ balancer://app/"
}

# tunnels_of <port>: open ones of that member, in all processes.
tunnels_of() {
  curl -s --max-time 10 "http://127.0.0.1:$port/server-status?auto" | tr -d '\r' |
    awk -F': ' -v name="ws://127.0.0.1:$1" '
      /^WSBalanceMember\[[0-9]+\]Name: / && $2 == name {sub("Name", "Tunnels", $1); key = $1; next}
      key && $1 == key {print $2}'
}
has_tunnels() { (($(status WSBalanceTunnels) >= $1)); }

# start_members <how many>: sets member_ports.
start_members() {
  local own_port=$member_port i
  member_ports=()
  for ((i = 0; i < $1; i++)); do
    start_member
    member_ports+=("$member_port")
  done
  member_port=$own_port
}

# even <method> <allowed thousandths> <loadfactor>...: 10,000 tunnels, a reload when half of them are
# there.
even() {
  local factors=("${@:3}") i members=() sum=0 count found=() worst=0 off_by tunnels=10000 conf
  for i in "${!factors[@]}"; do
    members+=("${member_ports[i]}:${factors[i]}")
    sum=$((sum + factors[i]))
  done
  mapfile -t conf < <(group "$1" "${members[@]}")
  start event 100 "${conf[@]}"
  join_crowd "$port" "$tunnels" --talking 0 --at-once 64
  wait_until has_tunnels $((tunnels / 2)) || true
  kill -USR1 "$httpd_pid"
  wait_for_crowd || true
  wait_until has_tunnels "$tunnels" || true
  for i in "${!factors[@]}"; do
    count=$(tunnels_of "${member_ports[i]}")
    found+=("${count:-0}")
    # In thousandths of its part.
    off_by=$(((${count:-0} * sum - tunnels * factors[i]) * 1000 / (tunnels * factors[i])))
    ((${off_by#-} <= worst)) || worst=${off_by#-}
  done
  row "$even_form" "$1" "${factors[*]}" "$(status WSBalanceTunnels)" "$(carriers_now)" "${found[*]}" \
    "$(awk -v w="$worst" 'BEGIN {printf "%.1f %%", w / 10}')" "$(crashes)" \
    "$(verdict "$(status WSBalanceTunnels) == tunnels" "$(carriers_now) > 0" "worst < $2" \
      "$(sum dropped) == 0" "$(crashes) == 0")"
  dismiss_crowd
  forget_crowd
  wait_until no_tunnels || true
}

figure_12() {
  local even_form='%-10s %-12s %8s %9s  %-24s %9s %8s  %s' member_ports keys=$run_dir/keys conf members
  start_members 4
  echo
  echo "Figure 12: 10,000 tunnels, event, 4 children of 25 workers, 64 handshakes at a time, a" \
    "graceful restart when half of them are there; how far a member is off its part at most"
  printf "$even_form\n" lbmethod loadfactors open carriers "of each member" off crashes ""
  even bytunnels 10 1 1 1 1
  even bytunnels 10 1 2 3
  even byp2c 50 1 1 1 1

  start_members 10
  echo
  echo "10,000 keys, lbmethod=byhash, 10 members: two servers, with the members in another order; then" \
    "one without one of the members"
  members=("${member_ports[@]/%/:1}")
  mapfile -t conf < <(group byhash "${members[@]}")
  start_other event 100 "${conf[@]}"
  /usr/bin/python3 "$root/scripts/figures.d/keys.py" "$other_port" >"$keys.two"
  mapfile -t conf < <(group byhash "${members[@]:5}" "${members[@]:0:5}")
  start event 100 "${conf[@]}"
  /usr/bin/python3 "$root/scripts/figures.d/keys.py" "$port" >"$keys.one"
  mapfile -t conf < <(group byhash "${members[@]:1}")
  start event 100 "${conf[@]}"
  /usr/bin/python3 "$root/scripts/figures.d/keys.py" "$port" >"$keys.less"
  local first=ws://127.0.0.1:${member_ports[0]} differ moved foreign least most
  differ=$(paste "$keys.one" "$keys.two" | awk '$2 != $4' | wc -l)
  moved=$(paste "$keys.one" "$keys.less" | awk '$2 != $4' | wc -l)
  foreign=$(paste "$keys.one" "$keys.less" | awk -v gone="$first" '$2 != $4 && $2 != gone || $4 == gone' | wc -l)
  read -r least most < <(awk '{n[$2]++} END {for (m in n) print n[m]}' "$keys.one" | sort -n |
    awk 'NR == 1 {l = $1} {m = $1} END {print l, m}')
  row "  keys %s, servers differ in %s; of a member: %s to %s; moved when one left: %s (%s %%), of others' keys: %s  %s" \
    "$(wc -l <"$keys.one")" "$differ" "$least" "$most" "$moved" "$((moved / 100))" "$foreign" \
    "$(verdict "$(wc -l <"$keys.one") == 10000" "$(grep -c ws:// "$keys.two") == 10000" "differ == 0" \
      "moved <= 1200" "foreign == 0" "$(crashes) == 0")"
}
