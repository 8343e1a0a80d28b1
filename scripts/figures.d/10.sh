# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # Sourced by scripts/figures, which has these variables.
# shellcheck source=scripts/figures.d/crowd.sh
. "$root/scripts/figures.d/crowd.sh"

figure_10() {
  local seconds=${1:-300} mpm workers limit time spare certificate conditions
  make_certificate
  echo
  echo "Figure 10: 2,000 tunnels (half TLS), 2 messages a second each, 50 of them leave and 50 come" \
    "each second; every child ends after 100 connections; a GET each 100 ms; $seconds s"
  start_control
  crowd_head
  for mpm in event prefork; do
    # Of prefork's children each gets few connections.
    workers=150 first_children=3
    spare="MinSpareThreads 50"
    [[ $mpm == event ]] || workers=10 first_children='' spare="MinSpareServers 5"
    for limit in 0 100; do
      time=$seconds
      ((limit > 0 || seconds < 30)) || time=30
      start_tls "$mpm" "$workers" "ws://127.0.0.1:$member_port/" \
        "ProxyPass /ws/ ws://127.0.0.1:$member_port/" "WSBalanceMaxCarriers 1000" \
        "$spare" "MaxConnectionsPerChild $limit"
      join_crowd "$port" 1000 --turnover 25
      join_crowd "$tls_port" 1000 --turnover 25 --tls
      wait_for_crowd || true
      sleep 2
      start_looking
      mark
      start_gets
      sleep "$time"
      mark
      stop_gets
      stop_looking
      mapfile -t conditions < <(all_is_well)
      crowd_row "$mpm" "a child: ${limit/#0/all}" "${conditions[@]}"
      dismiss_crowd
      mapfile -t conditions < <(all_is_well)
      ((limit == 0)) || say_carriers "${conditions[@]}"
      forget_crowd
    done
  done
  first_children=''
  stop_control
}
