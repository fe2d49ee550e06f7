"""``python -m pseud ping`` and ``call``: ask a server from a shell, or as a probe.

Both take a `SyncClient`, so that no event loop has to be installed.
"""

import argparse
import json
import pathlib
import pprint
import sys
import warnings
from collections.abc import Callable
from getpass import getpass
from typing import Any, BinaryIO

from .errors import PseudError, RemoteError, RemoteTraceback
from .keys import read_key
from .settings import DEFAULT_TIMEOUT, check_timeout
from .sync import SyncClient

__all__ = ['add_commands', 'first_line']


def add_commands(commands: Any) -> None:
    """Add both to the commands of a parser."""
    ping = commands.add_parser(
        'ping',
        help='see whether a server answers',
        description='See whether a server is there, lets us in, takes calls, and its '
        'event loop answers: then the exit status is 0, else 1.',
    )
    _add_options(ping, _ping, interrupted='no answer yet')

    call = commands.add_parser(
        'call',
        help='call a function of a server',
        description='Call a function and print what it returns. What the function raises '
        'goes to stderr, and the exit status is 1.',
        epilog='An ARG or VALUE that is JSON is what it stands for (3, null, [1, 2], "3"), '
        'all else is text. After -- an ARG may begin with a dash.',
    )
    _add_options(call, _call, interrupted='the function may have run')
    call.add_argument('function', metavar='FUNCTION', help='its dotted name')
    call.add_argument(
        'args', metavar='ARG', nargs='*', default=[], type=_value, help='arguments'
    )
    call.add_argument(
        '--kwarg',
        metavar='NAME=VALUE',
        action='append',
        default=[],
        type=_named_value,
        help='a keyword argument; may be given several times',
    )
    call.add_argument('--json', action='store_true', help='print the result as JSON')


def _add_options(
    parser: argparse.ArgumentParser, run: Callable[..., None], interrupted: str
) -> None:
    parser.set_defaults(run=run, misused=parser.error, interrupted=interrupted)
    parser.add_argument('endpoint', metavar='ENDPOINT', help='tcp://host:port')
    parser.add_argument('--name', default='', help='of the service (default: any)')
    parser.add_argument(
        '--timeout',
        metavar='SECONDS',
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        help=f'for all of it, connecting too (default: {DEFAULT_TIMEOUT:g})',
    )
    login = parser.add_argument_group('logging in')
    login.add_argument('--user-id', metavar='USER', help='who we are')
    login.add_argument(
        '--password-file',
        metavar='FILE',
        help='its first line is the password; - asks for it, or reads it from stdin',
    )
    login.add_argument(
        '--server-key',
        metavar='KEY',
        help="the server's public key, for encryption: a certificate or Z85",
    )
    login.add_argument('--key', metavar='FILE', help='certificate with our secret key')


# ---------------------------------------------------------------- the commands


def _ping(arguments: argparse.Namespace) -> None:
    with _client(arguments) as client:
        server, seconds = client._engine.ping(arguments.timeout)
    hello = server.hello or {}
    name, agent = hello.get('name'), hello.get('agent')
    who = f'service {name!r}' if name else 'a service without name'
    print(f'{arguments.endpoint}: {who}, {agent!s:.80}, {seconds * 1000:.1f} ms')


def _call(arguments: argparse.Namespace) -> None:
    function = arguments.function
    with _client(arguments) as client:
        try:
            result = client.call(function, *arguments.args, **dict(arguments.kwarg))
        except Exception as error:
            _show_remote_traceback(error)
            if isinstance(error, PseudError) and not isinstance(error, RemoteError):
                raise
            name = getattr(error, 'type_name', type(error).__name__)
            raise PseudError(f'{function}() raised {name}: {error}') from None
    if not arguments.json:
        pprint.pprint(result)
        return
    try:
        print(json.dumps(result, default=str))
    except (TypeError, ValueError) as error:  # a key that is no text
        raise ValueError(f'{function}() ran, but its result: {error}') from None


def _show_remote_traceback(error: BaseException | None) -> None:
    while error is not None:
        if isinstance(error, RemoteTraceback):
            print(error.text.rstrip(), file=sys.stderr)
        error = error.__cause__ or error.__context__


# ---------------------------------------------------------------- who is asked, by whom


def _client(arguments: argparse.Namespace) -> SyncClient:
    client = SyncClient(arguments.name, timeout=arguments.timeout, **_login(arguments))
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        client.connect(arguments.endpoint)
    return client


def _login(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings for logging in: what is given says which plugin is meant."""
    user_id, server_key, key = arguments.user_id, arguments.server_key, arguments.key
    if key is not None and server_key is None:
        arguments.misused('--key needs --server-key')
    if server_key is not None and user_id is None and key is None:
        arguments.misused('--server-key needs --key, or --user-id and --password-file')
    if arguments.password_file is not None and user_id is None:
        arguments.misused('--password-file needs --user-id')
    settings: dict[str, Any] = {}
    if server_key is not None:
        encryption = 'trusted_curve' if user_id is None else 'untrusted_curve'
        settings['security_plugin'] = encryption
        settings['peer_public_key'] = _public_key(server_key)
        if key is not None:
            settings['secret_key'] = read_key(pathlib.Path(key), '--key', True)
    elif user_id is not None:
        settings['security_plugin'] = 'plain'
    if user_id is not None:
        settings['user_id'] = user_id
        settings['password'] = _password(arguments.password_file)
    return settings


def _public_key(text: str) -> bytes:
    path = pathlib.Path(text)
    is_key = len(text) == 40 and not path.exists()
    return read_key(text if is_key else path, '--server-key', False)


def _password(file: str | None) -> str:
    if file is None:
        return ''
    if file != '-':
        with open(file, 'rb') as opened:
            password = first_line(opened)
    elif sys.stdin.isatty():
        password = getpass('Password: ')
    else:
        password = first_line(sys.stdin.buffer)
    if not password:
        raise EOFError
    return password


def first_line(file: BinaryIO) -> str:
    """A password that is the first line of a file.

    Raises:
        ValueError: it is no text.
    """
    try:
        return file.readline().decode().rstrip('\r\n')
    except UnicodeDecodeError:  # which would show it
        raise ValueError('the password is not UTF-8') from None


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    print(f'python -m pseud: {message}', file=sys.stderr)


# ---------------------------------------------------------------- arguments


def _seconds(text: str) -> float | None:
    try:
        return check_timeout(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of seconds') from None


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(constant: str) -> Any:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _named_value(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition('=')
    if not name or not equals:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return name, _value(value)
