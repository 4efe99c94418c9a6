"""Reads a cluster's studies: a verb runs there, and what it says is said here."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from lexmove.app import asking
from lexmove.cli.console import SCHEMA_VERSION, say, write_json


def read_remotely(
    words: Sequence[str], *, address: str, store: str | None, study: str | None
) -> NoReturn:
    """Has a cluster run a reading verb, says what it said, and exits as it did."""
    told = _asked(words, address=address, store=store, study=study)
    sys.stdout.write(told.out)
    sys.stderr.write(told.err)
    raise typer.Exit(told.status)


def list_remotely(*, address: str, store: str | None, as_json: bool) -> None:
    """The studies of all stores that a cluster's jobs write, each under its store.

    Exits as the first store does that cannot be read, after the others.
    """
    jobs = asking.connected_jobs(address)
    told = {
        url: asking.ask(jobs, ["ls", "--store", url, *(["--json"] if as_json else [])])
        for url in asking.stores_there(jobs, store)
    }
    failed = [answer for answer in told.values() if answer.status]
    for answer in failed:
        sys.stderr.write(answer.err)
    if as_json:
        lists = [json.loads(answer.out) for answer in told.values() if not answer.status]
        studies = [study for found in lists for study in found["studies"]]
        write_json({"schema_version": SCHEMA_VERSION, "studies": studies})
    else:
        _write_lists({url: answer.out for url, answer in told.items() if not answer.status})
    if failed:
        raise typer.Exit(failed[0].status)


def _write_lists(told: Mapping[str, str]) -> None:
    filled = {url: out for url, out in told.items() if out.strip()}
    if not filled:
        say(f"no study yet in {' or '.join(told)}")
    for url, out in filled.items():
        say(f"{url}:", style="dim")
        sys.stdout.write(out)
        sys.stdout.flush()


def ask_there(
    words: Sequence[str], *, address: str, store: str | None, study: str
) -> asking.Answer:
    """What a verb says on a cluster; where it did not go well, says so and exits as it did."""
    told = _asked(words, address=address, store=store, study=study)
    if told.status:
        sys.stderr.write(told.err)
        raise typer.Exit(told.status)
    return told


def _asked(
    words: Sequence[str], *, address: str, store: str | None, study: str | None
) -> asking.Answer:
    jobs = asking.connected_jobs(address)
    url = asking.store_there(jobs, study, store)
    return asking.ask(jobs, [*words, "--store", url])


def fetch_remotely(
    words: Sequence[str], *, address: str, store: str | None, study: str, target: Path
) -> None:
    """Has a cluster run a verb that makes a file or folder, brings it here, says what it said.

    Exits as it did, unless that went well.
    """
    from lexmove.app.fetching import fetch

    jobs = asking.connected_jobs(address)
    url = asking.store_there(jobs, study, store)
    say(f"asking the cluster at {jobs.url}…")
    told = fetch(jobs, [*words, "--store", url], target=target)
    sys.stdout.write(told.out)
    sys.stderr.write(told.err)
    if told.status:
        raise typer.Exit(told.status)
