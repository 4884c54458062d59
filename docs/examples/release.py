#!/usr/bin/env python3
"""Moves every open board from one release to another, and stops the old servers once they are empty.

It starts the drain (the same --id may be started again: the gateway goes on with the one it has), prints how many boards
Prometheus sees on each server, and believes the old servers empty only when both the gateway and Prometheus say so.

    release.py --from r1 --to r2 --id release-42 --stop "systemctl stop {server}"

Exit status: 0 the old servers are empty (and stopped), 1 the drain ended otherwise or the numbers did not come down,
2 wrong usage.
"""

import argparse
import shlex
import subprocess
import sys
import time

import requests

OPEN_BOARDS = 'max by (instance) (rtb_spaces_count{instance=~"board.*"})'
OVER = {"done", "failed", "aborted", "undone"}


def open_boards(prometheus):
    """Returns what Prometheus last saw: open boards by server."""
    answer = requests.get(f"{prometheus}/api/v1/query", params={"query": OPEN_BOARDS}, timeout=10)
    answer.raise_for_status()
    series = answer.json()["data"]["result"]
    return {one["metric"]["instance"]: int(one["value"][1]) for one in series}


def say(what, boards):
    print(what, *(f"{server}={count}" for server, count in sorted(boards.items())), flush=True)


def start(gateway, arguments):
    body = {"id": arguments.id, "from": {"release": arguments.source}, "to": {"release": arguments.target}}
    if arguments.boards_per_second is not None:
        body["pace"] = {"boards_per_second": arguments.boards_per_second}
    answer = requests.post(f"{gateway}/v1/drains", json=body, timeout=10)
    if not answer.ok:
        sys.exit(f"the drain was refused: {answer.json().get('detail', answer.text)}")


def watch(arguments, deadline):
    """Prints how far the drain is until it is over."""
    while True:
        status = requests.get(f"{arguments.gateway}/v1/drains/{arguments.id}", timeout=10)
        status.raise_for_status()
        drain = status.json()
        say(drain["state"], open_boards(arguments.prometheus))
        if drain["state"] in OVER:
            return drain
        if time.monotonic() > deadline:
            sys.exit(f"the drain still is {drain['state']}, {drain['boards']['left']} boards are left: {drain['failures']}")
        time.sleep(arguments.interval)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--gateway", default="http://127.0.0.1:8081", help="its admin address")
    parser.add_argument("--from", dest="source", required=True, metavar="RELEASE")
    parser.add_argument("--to", dest="target", required=True, metavar="RELEASE")
    parser.add_argument("--id", required=True, help="a name for this drain; safe to repeat")
    parser.add_argument("--boards-per-second", type=float)
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="how often it looks")
    parser.add_argument("--deadline", type=float, default=3600.0, metavar="SECONDS")
    parser.add_argument("--stop", metavar="COMMAND", help="stops one old server; {server} stands for its name")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.deadline

    servers = requests.get(f"{arguments.gateway}/v1/servers", timeout=10).json()["servers"]
    old = [server["name"] for server in servers if server["release"] == arguments.source]
    say("before", open_boards(arguments.prometheus))
    start(arguments.gateway, arguments)
    drain = watch(arguments, deadline)
    if drain["state"] != "done":
        sys.exit(f"the drain {drain['state']}, {drain['boards']['left']} boards are left: {drain['failures']}")

    # Prometheus looks every few seconds: an old server is stopped when it has seen zero, too.
    while True:
        boards = open_boards(arguments.prometheus)
        unseen = [server for server in old if server not in boards]
        if unseen:
            sys.exit(f"Prometheus has no rtb_spaces_count of {', '.join(unseen)}: is the gateway scraped as intended?")
        if not any(boards[server] for server in old):
            break
        if time.monotonic() > deadline:
            sys.exit("the drain is done, and Prometheus still sees boards on the old servers")
        time.sleep(arguments.interval)
    say("after", boards)
    for server in old:
        if arguments.stop:
            subprocess.run(shlex.split(arguments.stop.replace("{server}", server)), check=True)
            print(f"stopped {server}", flush=True)


if __name__ == "__main__":
    main()
