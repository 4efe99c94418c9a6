"""Adopting: records of ours outlive a change of the sources that changes no decision.

A record expires with the files that decide. Where some of the studies, played again, give exactly
what was recorded, the others would, too, and are marked as those of the version that is here now.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from benchmarks.search.arm import Arm
from benchmarks.search.comparison import Comparison
from benchmarks.search.playing import play_one
from benchmarks.search.results import Journal, Record
from benchmarks.search.schedule import Planned
from benchmarks.search.setting import Setting

_OURS = ("ours", "ablation")


def adopt(
    comparison: Comparison,
    records: Iterable[Record],
    journal: Journal,
    *,
    num: int,
    say: Callable[[str], None],
) -> bool:
    """Plays `num` expired records of ours again; adopts those of their arms if none differs.

    Returns whether that is so; nothing is written where it is not.
    """
    old = expired(comparison, records)
    again = chosen(old, num)
    differing = 0
    for index, record in enumerate(again):
        difference = _difference(comparison, record)
        differing += difference is not None
        count = f"{index + 1:{len(str(len(again)))}}/{len(again)}"
        what = f"{record.arm} · {record.setting} · {record.task} · seed {record.seed}"
        say(f"{count}  {what}: {difference or 'the same'}")
    if differing:
        say(f"{differing} of {len(again)} differ: nothing was adopted")
        return False
    kinds = {_kind(record) for record in again}
    adopted = [record for record in old if _kind(record) in kinds]
    for record in adopted:
        journal.append(replace(record, arm_version=_arm(comparison, record).version))
    say(f"{len(adopted)} records adopted: all of {len(again)} played again were the same")
    return True


def expired(comparison: Comparison, records: Iterable[Record]) -> list[Record]:
    """Records of ours, of tasks that are still the same, under another version of their arm."""
    return [record for record in records if _is_expired(comparison, record)]


def _is_expired(comparison: Comparison, record: Record) -> bool:
    if record.task not in comparison.families:
        return False
    arm = comparison.arm(Setting.parse(record.setting).axis, record.arm)
    if arm is None or arm.group not in _OURS or arm.version == record.arm_version:
        return False
    return record.task_version == comparison.task_version(record.task)


def chosen(records: Collection[Record], num: int) -> list[Record]:
    """At most `num`, the cheap ones first: arms and settings take turns, within each the tasks."""
    by_kind = _grouped(records, lambda record: (*_kind(record), record.setting))
    return _in_turns([_spread_over_tasks(group) for group in by_kind.values()])[:num]


def _spread_over_tasks(records: Sequence[Record]) -> list[Record]:
    by_task = _grouped(sorted(records, key=lambda record: record.cpu_s), lambda r: (r.task,))
    return _in_turns(list(by_task.values()))


def _grouped(
    records: Iterable[Record], key: Callable[[Record], tuple[str, ...]]
) -> Mapping[tuple[str, ...], list[Record]]:
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return groups


def _in_turns(groups: Sequence[Sequence[Record]]) -> list[Record]:
    """The first of every group, then the second of every group, and so on."""
    return [record for record in chain.from_iterable(zip_longest(*groups)) if record is not None]


def _kind(record: Record) -> tuple[str, str]:
    return record.arm, record.arm_version


def _arm(comparison: Comparison, record: Record) -> Arm:
    arm = comparison.arm(Setting.parse(record.setting).axis, record.arm)
    assert arm is not None, "an expired record has its arm"
    return arm


def _difference(comparison: Comparison, record: Record) -> str | None:
    """What a study gives now that it did not give then; None where it is the same."""
    found = play_one(
        comparison,
        Planned(
            arm=_arm(comparison, record),
            setting=Setting.parse(record.setting),
            task=record.task,
            seed=record.seed,
        ),
    )
    for name in ("regrets", "num_crashed", "surprises"):
        then, now = getattr(record, name), getattr(found, name)
        if then != now:
            return f"{name} {then} then, {now} now"
    return None
