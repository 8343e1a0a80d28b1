"""Medians of what scripts/bench wrote, as Markdown; exits 1 if anything failed."""
import json
import statistics
import sys

PEERS = ["module", "upgrade", "wstunnel", "nginx", "nginx64k", "haproxy"]
UNITS = {"100": "CPU µs / message, 125 B, 100 tunnels", "1000": "the same, 1000 tunnels",
         "paced": "the same, 1000 tunnels, 5000 round trips/s", "64k": "CPU µs / MB, 64 KiB messages",
         "handshakes": "CPU µs / handshake", "idle": "KB / idle tunnel"}


def short(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def table(rows, head):
    print("\n| " + " | ".join(head) + " |")
    print("| --- |" + " --: |" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def main():
    with open(sys.argv[1]) as lines:
        results = [json.loads(line) for line in lines]
    cells = list(dict.fromkeys(result["cell"] for result in results))
    peers = [peer for peer in PEERS if any(result["peer"] == peer for result in results)]

    def found(cell, peer, key="cost"):
        return [result[key] for result in results
                if result["cell"] == cell and result["peer"] == peer and key in result]

    costs, ratios, spread = [], [], []
    for cell in cells:
        name = f"{cell.split('-')[0]}: {UNITS[cell.split('-')[1]]}"
        all_costs = {peer: found(cell, peer) for peer in peers}
        costs.append([name] + [short(statistics.median(c)) if c else "" for c in all_costs.values()])
        spread.append([cell] + [f"{short(min(c))}..{short(max(c))}" if c else ""
                                for c in all_costs.values()])
        base = all_costs.get("module")
        ratios.append([cell] + [f"{statistics.median(c) / statistics.median(base):.2f}"
                                if c and base else "" for c in all_costs.values()])
    table(costs, ["median"] + peers)
    table(ratios, ["ratio to the module"] + peers)
    table(spread, ["least..most of the rounds"] + peers)
    others = [result["others"] for result in results if "others" in result]
    if others:
        print(f"\nothers on this machine: {100 * statistics.median(others):.0f} % of all cores"
              f" (median of the cells), {100 * max(others):.0f} % at most")
    bad = [result for result in results if result["failed"]]
    for result in bad:
        print(f"BAD: {result['cell']} {result['peer']} round {result['round']}:"
              f" {result['failed']:.0f} failed")
    return 1 if bad else 0


sys.exit(main())
