"""One process of a measurement; started by peers.py, or by hand:

runner.py describe FILE                        what FILE holds, as JSON
runner.py measure FILE NAME --loads seq,pipe   client: starts its server, prints JSON
runner.py serve FILE NAME ENDPOINT             server: started by measure
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import threading
import traceback

import harness


def load(path):
    # by path, under a name of its own: peers/zerorpc.py must not hide zerorpc
    name = 'peer_' + os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return {cls.name: cls for cls in module.PEERS}


def describe(path):
    described = []
    for name, cls in load(path).items():
        versions = {}
        missing = []
        for package in cls.packages:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                missing.append(package)
        described.append(
            {
                'name': name,
                'missing': missing,
                'style': cls.style,
                'note': cls.note,
                'transports': cls.transports,
                'default': cls.default,
                'loads': cls.loads,
                'ceiling': cls.ceiling,
                'versions': versions,
            }
        )
    return described


def serve(path, name, endpoint, out):
    peer = load(path)[name]()

    def control():
        with os.fdopen(0, 'rb', buffering=0) as orders:
            while orders.readline():
                os.write(out, json.dumps(peer.usage()).encode() + b'\n')
        peer.cleanup()
        os._exit(0)

    def ready():
        threading.Thread(target=control, daemon=True).start()
        os.write(out, b'READY\n')

    peer.serve(harness.Endpoint.loads(endpoint), ready)


def measure(path, name, transport, loads, seconds, warmup, out):
    endpoint = harness.Endpoint.fresh(transport)
    argv = [sys.executable, __file__, 'serve', path, name, endpoint.dumps()]
    server = harness.ServerProcess(argv)
    bench = harness.Bench(server, endpoint, seconds, warmup)
    error = None
    try:
        load(path)[name]().run(bench, loads)
    except BaseException as exc:
        traceback.print_exc()
        error = f'{type(exc).__name__}: {exc}'
    os.write(out, json.dumps({'loads': bench.results, 'error': error}).encode())
    server.stop()
    sys.stderr.flush()
    os._exit(0)  # some peers wait for their threads otherwise


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('role', choices=['describe', 'measure', 'serve'])
    parser.add_argument('file')
    parser.add_argument('name', nargs='?')
    parser.add_argument('endpoint', nargs='?')
    parser.add_argument('--transport', default='tcp')
    parser.add_argument('--loads', default='seq')
    parser.add_argument('--seconds', type=float, default=0.7)
    parser.add_argument('--warmup', type=float, default=0.15)
    args = parser.parse_args()

    # results go to a private copy of stdout; whatever a library prints goes to stderr
    out = os.dup(1)
    os.dup2(2, 1)
    if args.role == 'describe':
        os.write(out, json.dumps(describe(args.file)).encode())
    elif args.role == 'serve':
        serve(args.file, args.name, args.endpoint, out)
    else:
        loads = args.loads.split(',')
        measure(
            args.file, args.name, args.transport, loads, args.seconds, args.warmup, out
        )


if __name__ == '__main__':
    main()
