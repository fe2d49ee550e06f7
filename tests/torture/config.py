"""Who is who in a torture run: servers and users, and how they prove it."""

import json
import pathlib
import time

import zmq

__all__ = [
    'GATEWAYS',
    'STRANGER',
    'STRANGERS',
    'SYNC',
    'client_settings',
    'make',
    'read',
    'server_settings',
]

# Processes that have no loop: SyncClients in threads, and those who mean harm.
SYNC, STRANGERS = 'sync', 'strangers'
# Their user; it has a password and a key.
STRANGER = 'mallory'

# What both sides allow; low enough to be met.
LIMITS = {'max_message': 4 << 20, 'max_calls_per_peer': 60, 'max_queue': 12 << 20}
HEARTBEAT = 0.5  # seconds; silent peers are lost after four times as many

# (service, security_plugin) of the servers; the first two are for the same clients.
SERVERS = [
    ('plain', 'plain'),
    ('plain', 'plain'),
    ('curve', 'trusted_curve'),
    ('login', 'untrusted_curve'),
]
# Gateways, and what they pass calls on to; the second makes a chain with the first.
GATEWAYS = {'g0': ['s0', 's1'], 'g1': ['g0']}


def make(directory, *, backend, seed, rate, servers, processes, clients, threads):
    """What all processes know, as a dict that goes into JSON.

    Args:
        directory: where files go.
        backend: of servers and clients.
        seed: of everything that happens by chance.
        rate: calls a second that are aimed at, nested ones apart.
        servers: indexes of `SERVERS`.
        processes: how many there are for clients.
        clients: of each.
        threads: with a SyncClient.
    """
    config = {
        'backend': backend,
        'seed': seed,
        'rate': rate,
        'epoch': time.monotonic(),
        'journals': str(pathlib.Path(directory, 'journals')),
        'servers': {},
        'users': {},
    }
    for at in servers:
        service, plugin = SERVERS[at]
        config['servers'][f's{at}'] = {'service': service, 'plugin': plugin, **_keys()}
    real = list(config['servers'])
    for name in GATEWAYS:
        config['servers'][name] = {'service': 'plain', 'plugin': 'plain', **_keys()}
    services = sorted({server['service'] for server in config['servers'].values()})
    places = [f'c{number}' for number in range(processes) for _ in range(clients)]
    for number, place in enumerate([*places, *[SYNC] * threads]):
        name = f'u{number}'
        service = services[number % len(services)]
        config['users'][name] = {
            'place': place,
            'service': service,
            'password': f'secret of {name}',
            'protocol': 1 if service == 'plain' and number % 5 == 0 else 2,
            **_keys(),
        }
    for place, behind in GATEWAYS.items():
        config['users'][f'u-{place}'] = {
            'place': place,
            'service': 'plain',
            'password': f'secret of {place}',
            'protocol': 2,
            'servers': [name for name in behind if name in config['servers']],
        }
    config['places'] = sorted(set(places))
    config['narrow'] = [*real, *config['places']][1::2]
    config['stranger'] = {'password': f'secret of {STRANGER}', **_keys()}
    return config


def _keys():
    public, secret = zmq.curve_keypair()
    return {'public': public.decode(), 'secret': secret.decode()}


def read(path):
    """The config that was written to a file."""
    return json.loads(pathlib.Path(path).read_text())


def server_settings(config, name):
    """The arguments of a `Server`, as names and JSON-like values."""
    server = config['servers'][name]
    plugin = server['plugin']
    settings = _settings(plugin)
    users = {
        user: settings
        for user, settings in config['users'].items()
        if settings['service'] == server['service']
    }
    users[STRANGER] = config['stranger']
    if plugin == 'trusted_curve':
        keys = {user: settings['public'] for user, settings in users.items()}
        settings['authorized_keys'] = keys
    else:
        passwords = {user: settings['password'] for user, settings in users.items()}
        settings['passwords'] = passwords
    settings['trusted_proxies'] = [
        user for user, its in users.items() if its.get('place') in config['servers']
    ]
    if plugin != 'plain':
        settings['secret_key'] = server['secret']
    return server['service'], settings


def client_settings(config, name, *, wrong=False):
    """The arguments of a `Client` or `SyncClient`.

    Args:
        wrong: take a password, or a key, that the server does not know.
    """
    user = config['users'][name]
    servers = config['servers'].values()
    (server, *_) = [each for each in servers if each['service'] == user['service']]
    plugin = server['plugin']
    settings = _settings(plugin)
    settings['protocol'] = user['protocol']
    if plugin == 'trusted_curve':
        settings['secret_key'] = _keys()['secret'] if wrong else user['secret']
    else:
        settings['user_id'] = name
        settings['password'] = 'a guess' if wrong else user['password']
    if plugin != 'plain':
        # servers of one service would have one key
        settings['peer_public_key'] = server['public']
    return user['service'], settings


def _settings(plugin):
    from pseud import Limits

    return {
        'security_plugin': plugin,
        'limits': Limits(**LIMITS),
        'heartbeat_interval': HEARTBEAT,
    }
