#!/usr/bin/env python3
"""Moves every open board from one release to another, and stops the old servers once they are empty.

It starts the drain (the same --id may be started again: the gateway goes on with the one it has), prints how many boards
Prometheus sees on each server, and believes the old servers empty only when both the gateway and Prometheus say so.

    release.py --from r1 --to r2 --id release-42 --stop "systemctl stop {server}"

Where the admin API asks for a token, HANDOVER_TOKEN_FILE names the file that has it; HANDOVER_ADMIN is the API's address.

Exit status, as of `handover drain start`: 0 the old servers are empty (and stopped), 1 the drain ended otherwise, or
Prometheus does not show what it should, 2 wrong usage, 4 time is up, 5 refused by the gateway, 6 somebody does not answer,
7 the drain has paused by itself (its deadline, a target that is down) and waits for somebody to decide.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time

import requests

OPEN_BOARDS = 'max by (instance) (rtb_spaces_count{instance=~"board.*"})'
OVER = {"done", "failed", "aborted", "undoing", "undone"}
FAILED, TIME_IS_UP, REFUSED, UNREACHABLE, PAUSED = 1, 4, 5, 6, 7


def give_up(code, why):
    print(why, file=sys.stderr, flush=True)
    sys.exit(code)


def call(arguments, method, path, body=None):
    """Asks the admin API; ends the script where it refuses."""
    headers = {}
    if token_file := os.environ.get("HANDOVER_TOKEN_FILE"):
        with open(token_file, encoding="utf-8") as file:
            headers["Authorization"] = f"Bearer {file.read().strip()}"
    answer = requests.request(method, arguments.gateway + path, json=body, headers=headers, timeout=30)
    if answer.ok:
        return answer.json()
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        problem = answer.json()  # type, title, detail; sometimes field, drain
        give_up(REFUSED, f"{method} {path}: {problem['type']}: {problem['detail']}")
    give_up(REFUSED, f"{method} {path}: {answer.status_code} {answer.reason}")


def open_boards(prometheus):
    """Returns what Prometheus last saw: open boards by server."""
    answer = requests.get(f"{prometheus}/api/v1/query", params={"query": OPEN_BOARDS}, timeout=10)
    answer.raise_for_status()
    series = answer.json()["data"]["result"]
    return {one["metric"]["instance"]: int(one["value"][1]) for one in series}


def say(what, boards):
    print(what, *(f"{server}={count}" for server, count in sorted(boards.items())), flush=True)


def start(arguments):
    body = {"id": arguments.id, "from": {"release": arguments.source}, "to": {"release": arguments.target}}
    if arguments.boards_per_second is not None:
        body["pace"] = {"boards_per_second": arguments.boards_per_second}
    call(arguments, "POST", "/v1/drains", body)


def watch(arguments, deadline):
    """Prints how far the drain is until it is over."""
    while True:
        drain = call(arguments, "GET", f"/v1/drains/{arguments.id}")
        say(drain["state"], open_boards(arguments.prometheus))
        if drain["state"] in OVER:
            return drain
        # A pause that somebody asked for is waited for: they are at it.
        if drain["state"] == "paused" and drain.get("paused_by", "operator") != "operator":
            give_up(PAUSED, f"the drain has paused: {why(drain)}")
        if time.monotonic() > deadline:
            give_up(TIME_IS_UP, f"the drain still is {drain['state']}: {why(drain)}")
        time.sleep(arguments.interval)


def why(drain):
    """Says what is in a drain's way, reason by reason with the way out."""
    waits = [f"  {wait['reason']} ({wait['boards']} boards): {wait['detail']}" for wait in drain["waits_for"]]
    return "\n".join([drain["progress"], *waits])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    gateway = os.environ.get("HANDOVER_ADMIN", "http://127.0.0.1:8081")
    parser.add_argument("--gateway", default=gateway, help="its admin address")
    parser.add_argument("--from", dest="source", required=True, metavar="RELEASE")
    parser.add_argument("--to", dest="target", required=True, metavar="RELEASE")
    parser.add_argument("--id", required=True, help="a name for this drain; safe to repeat")
    parser.add_argument("--boards-per-second", type=float)
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="how often it looks")
    parser.add_argument("--deadline", type=float, default=3600.0, metavar="SECONDS")
    parser.add_argument("--stop", metavar="COMMAND", help="stops one old server; {server} stands for its name")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.deadline

    servers = call(arguments, "GET", "/v1/servers")["servers"]
    old = [server["name"] for server in servers if server["release"] == arguments.source]
    say("before", open_boards(arguments.prometheus))
    start(arguments)
    drain = watch(arguments, deadline)
    if drain["state"] != "done":
        give_up(FAILED, f"the drain did not get to its end: {why(drain)}")

    # Prometheus looks every few seconds: an old server is stopped when it has seen zero, too.
    while True:
        boards = open_boards(arguments.prometheus)
        unseen = [server for server in old if server not in boards]
        if unseen:
            give_up(FAILED, f"Prometheus has no rtb_spaces_count of {', '.join(unseen)}: is the gateway scraped as intended?")
        if not any(boards[server] for server in old):
            break
        if time.monotonic() > deadline:
            give_up(TIME_IS_UP, "the drain is done, and Prometheus still sees boards on the old servers")
        time.sleep(arguments.interval)
    say("after", boards)
    for server in old:
        if arguments.stop:
            subprocess.run(shlex.split(arguments.stop.replace("{server}", server)), check=True)
            print(f"stopped {server}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except requests.RequestException as error:
        give_up(UNREACHABLE, error)
