# SPDX-License-Identifier: Apache-2.0
"""What a step is made of: from a trace of `vmae bench --trace` (or of PyTorch's own profiler) the time and the number of its kernels, each with the operator that started it.
Without kernels (on a CPU) the operators themselves, each without those that it calls.

usage: kernel_table.py TRACE [--rows N]
"""
import argparse
import collections
import json


def operator_of(event, operators, starts):
    """By the number that the profiler gives what an operator starts."""
    arguments = event.get("args", {})
    number = arguments.get("External id", starts.get(arguments.get("correlation")))
    return operators.get(number, "")


def own_times(events):
    """(event, its time without the events inside it), of one thread each."""
    by_thread = collections.defaultdict(list)
    for event in events:
        by_thread[event.get("tid")].append(event)
    for own in by_thread.values():
        own.sort(key=lambda event: (event["ts"], -event["dur"]))
        open_events = []  # [event, time of what is inside]
        for event in own:
            while open_events and open_events[-1][0]["ts"] + open_events[-1][0]["dur"] <= event["ts"]:
                done, inside = open_events.pop()
                yield done, done["dur"] - inside
            if open_events:
                open_events[-1][1] += event["dur"]
            open_events.append([event, 0.0])
        for done, inside in open_events:
            yield done, done["dur"] - inside


def kernel_table(trace):
    """-> rows {name, operator, count, us, share}, the longest first"""
    events = [event for event in trace["traceEvents"] if event.get("ph") == "X"]
    of_kind = collections.defaultdict(list)
    for event in events:
        of_kind[event.get("cat")].append(event)
    kernels = of_kind["kernel"] + of_kind["gpu_memcpy"] + of_kind["gpu_memset"]
    rows = collections.defaultdict(lambda: [0, 0.0])
    if kernels:
        operators = {event["args"]["External id"]: event["name"] for event in of_kind["cpu_op"] if "External id" in event.get("args", {})}
        starts = {event["args"]["correlation"]: event["args"].get("External id") for event in of_kind["cuda_runtime"] + of_kind["cuda_driver"] if "correlation" in event.get("args", {})}
        measured = (((event["name"], operator_of(event, operators, starts)), event["dur"]) for event in kernels)
    else:
        measured = (((event["name"], ""), us) for event, us in own_times(of_kind["cpu_op"]))
    for key, us in measured:
        rows[key][0] += 1
        rows[key][1] += us
    total = sum(us for _, us in rows.values()) or 1.0
    table = [{"name": name, "operator": operator, "count": count, "us": us, "share": us / total} for (name, operator), (count, us) in rows.items()]
    return sorted(table, key=lambda row: -row["us"])


def as_markdown(table, rows):
    has_operators = any(row["operator"] for row in table)
    heads = ["time, ms", "share", "count", *(["operator", "kernel"] if has_operators else ["kernel or operator"])]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]

    def add(rows_of_line, operator, name):
        us, share, count = (sum(row[key] for row in rows_of_line) for key in ("us", "share", "count"))
        lines.append(f"| {us / 1000:.3f} | {share:.1%} | {count} | {f'{operator} | ' if has_operators else ''}{name} |")

    for row in table[:rows]:
        name = row["name"].replace("|", "\\|").replace("void ", "")
        add([row], row["operator"], f"`{name[:90]}`")
    if table[rows:]:
        add(table[rows:], "", f"{len(table[rows:])} others")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("--rows", type=int, default=30)
    options = parser.parse_args()
    with open(options.trace, encoding="utf-8", errors="replace") as file:
        print(as_markdown(kernel_table(json.load(file)), options.rows))


if __name__ == "__main__":
    main()
