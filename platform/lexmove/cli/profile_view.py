"""What `--profile` prints: where the time of a study went."""

from collections.abc import Mapping

from lexmove.cli.console import write, write_table
from lexmove.cli.wording import NOTHING, say_duration
from lexmove.results.profile import Profile


def write_profiles(parts: Mapping[str, Profile]) -> None:
    """A column per part of the study: shares of the slots' time, then the rest in words."""
    write()
    write("Where the slots' time went", style="bold")
    names = list(dict.fromkeys(name for profile in parts.values() for name in profile.phases_s))
    rows = [
        [name, *(_cell(profile, profile.phases_s.get(name, 0.0)) for profile in parts.values())]
        for name in names
    ]
    rows.append(["handover", *(_cell(item, item.handover_s) for item in parts.values())])
    rows.append(["idle", *(_cell(item, item.idle_s) for item in parts.values())])
    write_table(("", *parts), rows, right=tuple(parts))
    for name, profile in parts.items():
        write(
            f"{name}: {profile.utilisation:.0%} of {profile.slots} x"
            f" {say_duration(profile.wall_s)} at work; deciding took"
            f" {say_duration(profile.decide_s)}"
        )


def _cell(profile: Profile, seconds: float) -> str:
    total_s = profile.slots * profile.wall_s
    return f"{seconds:.1f} s {seconds / total_s:5.1%}" if total_s else NOTHING
