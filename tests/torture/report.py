"""What a torture run tells people: now and then, and in the end."""

__all__ = ['judge_memory', 'progress', 'say']

import time

# Kilobytes that a process may have more than after the warm-up: allocators keep some.
SLACK = 48 << 10
# Objects that Python's garbage collector tracks, likewise.
OBJECTS = 20000


def progress(world, faults):
    """One line."""
    accounts = world.accounts
    seconds = time.monotonic() - world.epoch
    made = accounts.made.total()
    return (
        f'{seconds:5.0f} s: {made} calls, {made / seconds:.0f}/s, {accounts.runs} runs, '
        f'{len(accounts.calls)} in the books; {_counts(accounts.outcomes)}; '
        f'faults: {_counts(faults.counts) or "none yet"}'
    )


def _counts(counter):
    return ' '.join(f'{name}:{count}' for name, count in counter.most_common())


def say(world, faults):
    """The last words: tables, findings, and the verdict."""
    accounts = world.accounts
    lines = ['']
    lines += _table('calls', accounts.made)
    lines += _table('outcomes', accounts.outcomes)
    lines.append(f'{accounts.runs:10} runs of functions')
    lines.append(f'{accounts.cut_short:10} calls without outcome, by processes killed')
    lines += _table('ends of calls', accounts.late)
    lines += _table('faults', faults.counts)
    lines += _table('warnings', world.warned)
    lines += _processes(world)
    findings = [*world.findings, *accounts.findings]
    lines += ['', *findings]
    verdict = (
        f'{len(findings)} FINDINGS' if findings else 'clean: every call accounted for'
    )
    return '\n'.join([*lines, '', verdict])


def _table(title, counter):
    lines = ['', f'{counter.total():10} {title}']
    for name, count in counter.most_common():
        lines.append(f'{count:10}     {name:.90}')
    return lines


def _processes(world):
    lines = [
        '',
        'process    starts  descriptors  threads  tasks    objects           '
        'MB: warm  quarter  half  end  in silence',
    ]
    for member in world.members.values():
        census = member.reports.get('census')
        if census is None:
            continue
        first, now = census['first'], census['now']
        if first == now:
            first = dict.fromkeys(now, '-')
        spans = [f'{first[key]}→{now[key]}' for key in ('descriptors', 'threads')]
        spans += [f'{first[key]}→{now[key]}' for key in ('tasks', 'objects')]
        memory = [kb for _, kb in member.memory]
        at = [int(part * (len(memory) - 1)) for part in (0.25, 0.5, 1)]
        sampled = [memory[number] for number in at] if memory else []
        megabytes = (
            [first['memory'], *sampled, now['memory']] if len(memory) > 3 else []
        )
        lines.append(
            f'{member.name:10} {member.generation + 1:6}  {spans[0]:11}  {spans[1]:7}  '
            f'{spans[2]:7}  {spans[3]:16}  '
            + '  '.join(kb if kb == '-' else f'{kb / 1024:.0f}' for kb in megabytes)
        )
    return lines


def judge_memory(first, now):
    """What there is too much of since the first census, as texts."""
    found = []
    for what, slack in (('memory', SLACK), ('objects', OBJECTS)):
        if now[what] > first[what] * 1.25 + slack:
            found.append(f'{what} grew from {first[what]} to {now[what]}')
    return found
