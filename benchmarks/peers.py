#!/usr/bin/env python3
"""Peer systems side by side.

peers.py list                        what is there, and what can't run here
peers.py run [--peers a,b@ipc,zmq-*] [--loads seq,pipe] [--json FILE]
peers.py show FILE                   the tables of an earlier run
"""

import argparse
import datetime
import fnmatch
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LOADS = ('seq', 'pipe', 'fan', 'bulk1', 'bulk16', 'idle')
SIZES = {'bulk1': 1 << 20, 'bulk16': 16 << 20}


# ------------------------------------------------------------------ running


def interpreter(file):
    """BENCH_PYTHON_<FILE> names another Python for a peer that needs its own venv."""
    stem = os.path.splitext(os.path.basename(file))[0]
    return os.environ.get('BENCH_PYTHON_' + stem.upper(), sys.executable)


def runner(file, *args, timeout=90):
    """Run runner.py in a session of its own; returns (parsed stdout, error)."""
    role, *rest = args
    process = subprocess.Popen(
        [interpreter(file), 'runner.py', role, file, *rest],
        cwd=HERE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, f'took longer than {timeout} s'
    try:
        return json.loads(out), None
    except ValueError:
        lines = err.decode(errors='replace').strip().splitlines() or ['no output']
        return None, lines[-1]


def discover():
    known, broken = {}, {}
    for entry in sorted(os.listdir(os.path.join(HERE, 'peers'))):
        if not entry.endswith('.py'):
            continue
        file = 'peers/' + entry
        described, error = runner(file, 'describe')
        if error:
            broken[file] = error
            continue
        for peer in described:
            if peer['missing']:
                broken[peer['name']] = 'needs ' + ', '.join(peer['missing'])
            else:
                known[peer['name']] = {**peer, 'file': file}
    return known, broken


def wanted(broken, known, patterns):
    """What can't run here and may have been asked for."""
    names = [pattern.partition('@')[0] for pattern in patterns]
    if not all(fnmatch.filter(known, name) for name in names):
        return broken

    def asked(which):  # a peer, or a file of peers that is named much like them
        stem = os.path.splitext(os.path.basename(which))[0].replace('_', '-')
        return any(fnmatch.fnmatch(stem, name) for name in names)

    return {which: error for which, error in broken.items() if asked(which)}


def select(known, patterns):
    chosen = []
    for pattern in patterns or ['*']:
        name, _, transport = pattern.partition('@')
        for peer in known.values():
            if not fnmatch.fnmatch(peer['name'], name):
                continue
            if transport:
                transports = fnmatch.filter(peer['transports'], transport)
            else:
                transports = peer['default'] if not patterns else peer['transports'][:1]
            for each in transports:
                if (peer['name'], each) not in chosen:
                    chosen.append((peer['name'], each))
    # the raw ones first, then the rest by name
    return sorted(
        chosen, key=lambda c: (not known[c[0]]['ceiling'], c[0][:4] != 'zmq-', c[1:])
    )


def run(args):
    began = time.time()
    known, broken = discover()
    patterns = args.peers and args.peers.split(',')
    if patterns:
        broken = wanted(broken, known, patterns)
    for which, error in broken.items():
        print(f'{which}: left out: {error}', file=sys.stderr)
    chosen = select(known, patterns)
    loads = args.loads.split(',')
    reps = {f'{name}@{transport}': {} for name, transport in chosen}
    errors = {}

    def measure(name, transport, loads):
        peer = known[name]
        key = f'{name}@{transport}'
        loads = [load for load in loads if load in peer['loads']]
        if not loads or key in errors:
            return
        argv = ['measure', name, '--transport', transport, '--loads', ','.join(loads)]
        argv += ['--seconds', str(args.seconds), '--warmup', str(args.seconds / 4)]
        got, error = runner(peer['file'], *argv)
        if got:
            for load, result in got['loads'].items():
                reps[key].setdefault(load, []).append(result)
            error = got['error']
        if error:
            errors[key] = error
            print(f'{key}: {error}', file=sys.stderr)

    # bulk in processes of its own: what the allocator did before decides its speed
    groups = [[load for load in loads if load in ('seq', 'pipe', 'fan')]]
    groups.append([load for load in loads if load in SIZES])
    for rep in range(args.reps):  # A B C, A B C: noise hits all alike
        for name, transport in chosen:
            for group in groups:
                measure(name, transport, group)
        print(f'repetition {rep + 1}: {time.time() - began:.0f} s', file=sys.stderr)
    if 'idle' in loads:  # in a server of its own; memory hardly varies, so once
        for name, transport in chosen:
            if transport == known[name]['transports'][0]:
                measure(name, transport, ['idle'])

    report = {
        'when': datetime.datetime.now(datetime.UTC).isoformat('T', 'minutes'),
        'machine': machine(),
        'seconds': args.seconds,
        'reps': args.reps,
        'took': round(time.time() - began),
        'peers': {
            key: {
                'note': known[key.split('@')[0]]['note'],
                'style': known[key.split('@')[0]]['style'],
                'ceiling': known[key.split('@')[0]]['ceiling'],
                'versions': known[key.split('@')[0]]['versions'],
                'loads': {load: summarise(load, r) for load, r in results.items()},
            }
            for key, results in reps.items()
        },
        'errors': {**errors, **broken},
    }
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(report, file, indent=1)
            file.write('\n')
    show(report)


def summarise(load, results):
    """The median of each figure, and how far apart the repetitions were."""
    summary = {
        field: round(statistics.median(result[field] for result in results), 2)
        for field in results[0]
    }
    if load in SIZES:
        summary['mb_per_s'] = round(summary['rate'] * SIZES[load] / 1e6, 1)
    if 'rate' in summary:
        rates = [result['rate'] for result in results]
        summary['rates'] = [round(rate, 1) for rate in rates]
        summary['spread'] = round((max(rates) - min(rates)) / summary['rate'], 3)
    return summary


def machine():
    model = platform.processor()
    try:
        with open('/proc/cpuinfo') as file:
            for line in file:
                if line.startswith('model name'):
                    model = line.split(':')[1].strip()
                    break
    except OSError:
        pass
    return {
        'python': platform.python_version(),
        'kernel': platform.release().split('-')[0],
        'cpu': model,
        'cores': os.cpu_count(),
        'load': [round(load, 2) for load in os.getloadavg()],
    }


# ------------------------------------------------------------------ showing


def speed(load, result):
    """Higher is better, so that two of them divide to a ratio."""
    return 1e6 / result['p50_us'] if load == 'seq' else result['rate']


def ceilings(report):
    best = {}
    for key, peer in report['peers'].items():
        if not peer['ceiling']:
            continue
        transport = key.split('@')[1]
        for load, result in peer['loads'].items():
            if load != 'idle':
                at = (transport, load)
                best[at] = max(best.get(at, 0), speed(load, result))
    return best


def show(report):
    best = ceilings(report)
    rows = [['', 'seq p50', '', 'p99', 'pipe', '', 'fan', '']]
    rows[0] += ['bulk1', '', 'bulk16', '', 'idle']
    rows.append(['', 'us', 'x raw', 'us', 'calls/s', 'x raw', 'calls/s', 'x raw'])
    rows[1] += ['MB/s', 'x raw', 'MB/s', 'x raw', 'KiB/cl.']
    costs = [['', 'seq', '', 'pipe', '', 'fan', '', 'bulk1', '', 'bulk16', '', 'idle']]
    costs.append(['', *['client', 'server'] * 5, 'ms/s'])
    for key, peer in report['peers'].items():
        transport = key.split('@')[1]
        row, cost = [key], [key]
        for load in LOADS:
            result = peer['loads'].get(load)
            if load == 'idle':
                row.append(
                    f'{result["bytes_per_client"] / 1024:.1f}' if result else '-'
                )
                cost.append(f'{result["server_cpu_ms_per_s"]:.1f}' if result else '-')
                continue
            if not result:
                row += ['-'] * (3 if load == 'seq' else 2)
                cost += ['-'] * 2
                continue
            raw = best.get((transport, load))
            ratio = f'{speed(load, result) / raw:.2f}' if raw else '-'
            if load == 'seq':
                row += [f'{result["p50_us"]:.0f}', ratio, f'{result["p99_us"]:.0f}']
            elif load in SIZES:
                row += [f'{result["mb_per_s"]:.0f}', ratio]
            else:
                row += [f'{result["rate"]:.0f}', ratio]
            unit, digits = (1e3, 1) if load in SIZES else (1, 1)
            for side in ('client_cpu_us', 'server_cpu_us'):
                cost.append(f'{result[side] / unit:.{digits}f}')
        rows.append(row)
        costs.append(cost)
    print(
        '\nspeed; x raw: of the best blocking pyzmq on that transport, 1.00 is as fast'
    )
    table(rows)
    print('\nCPU per call: us (seq, pipe, fan), ms (bulk); idle: server ms per second')
    table(costs)
    for load in LOADS[:-1]:
        spreads = [
            peer['loads'][load]['spread']
            for peer in report['peers'].values()
            if load in peer['loads']
        ]
        if spreads:
            median, worst = statistics.median(spreads), max(spreads)
            print(
                f'{load}: repetitions differ by {median:.0%} (median), '
                f'{worst:.0%} (worst)'
            )
    print(report['machine'], f'{report["reps"]} repetitions, took {report["took"]} s')
    for key, error in report['errors'].items():
        print(f'FAILED {key}: {error}')


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [
            cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        ]
        print('  '.join(cells).rstrip())


def listing():
    known, broken = discover()
    for peer in known.values():
        versions = ' '.join(f'{k} {v}' for k, v in peer['versions'].items())
        transports = ','.join(peer['transports'])
        loads = ','.join(peer['loads'])
        print(f'{peer["name"]:20} {peer["style"]:8} {transports:8} {loads}')
        print(f'{"":20} {peer["note"]} [{versions}]')
    for which, error in broken.items():
        print(f'{which}: cannot run here: {error}')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('list')
    command = commands.add_parser('run')
    command.add_argument('--peers', help='names or patterns, each with @tcp or @ipc')
    command.add_argument('--loads', default=','.join(LOADS))
    command.add_argument('--reps', type=int, default=3)
    command.add_argument('--seconds', type=float, default=0.5, help='per load')
    command.add_argument('--json')
    command = commands.add_parser('show')
    command.add_argument('file')
    args = parser.parse_args()
    if args.command == 'list':
        listing()
    elif args.command == 'run':
        run(args)
    else:
        with open(args.file) as file:
            show(json.load(file))


if __name__ == '__main__':
    main()
