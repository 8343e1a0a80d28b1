# shellcheck shell=bash
# shellcheck disable=SC2154,SC2059  # Sourced by scripts/figures, which has these variables.

# count <messages> <word>...: the instructions of RelayLoop::turn() and all that it calls.
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null \
    --toggle-collect='wsbalance::relay::RelayLoop::turn*' "$relay_cost" "$@" 2>&1 |
    sed -n 's/.*Collected : //p'
}

# per_message <word>...: of twice as many less of so many, so that no start or end is in it.
per_message() {
  local once twice
  once=$(count 2000 "$@")
  twice=$(count 4000 "$@")
  echo $(((twice - once + 1000) / 2000))
}

# cpu_ns <word>...: the median of what runs without callgrind took, in the kernel too.
cpu_ns() {
  local run
  for ((run = 0; run < 9; run++)); do "$relay_cost" 10000 "$@"; done |
    sed 's/.*ns_per_message=//' | sort -n | sed -n 5p
}

# added <number> <the number with nothing on>
added() { awk -v all="$1" -v base="$2" 'BEGIN {printf "%+.1f %%", 100 * (all - base) / base}'; }

# The log of tunnels is not in it: it does nothing before a tunnel's end.
figure_6() {
  local relay_cost name words plain tls ns plain_base='' tls_base='' ns_base=''
  local form='%-28s %8s %9s %12s %9s %12s %9s\n'
  "$root/scripts/setup" cost
  "$root/scripts/build" release relay_cost >/dev/null
  relay_cost=$(dirname "$module")/relay_cost
  echo
  echo "Figure 6: a message of 125 bytes from the client, one at a time: instructions in user space" \
    "(callgrind), and ns of CPU with the kernel's"
  printf "$form" "on" tcp "" "client tls" "" "ns (tcp)" ""
  for name in off lenient strict "strict pings timers" "strict rates" "strict pings timers rates"; do
    read -ra words <<<"$name"
    plain=$(per_message "${words[@]}")
    tls=$(per_message "${words[@]}" tls)
    ns=$(cpu_ns "${words[@]}")
    : "${plain_base:=$plain}" "${tls_base:=$tls}" "${ns_base:=$ns}"
    printf "$form" "$name" "$plain" "$(added "$plain" "$plain_base")" "$tls" \
      "$(added "$tls" "$tls_base")" "$ns" "$(added "$ns" "$ns_base")"
  done
}
