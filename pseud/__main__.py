"""``python -m pseud``: make keys and passwords, and ask servers.

Exit status: 0, 1 if something failed, 2 if the command line is wrong.
"""

import argparse
import getpass
import pathlib
import sys
from typing import NoReturn

from ._version import __version__
from .commands import add_commands, first_line
from .errors import PseudError
from .keys import make_keys, read_key
from .passwords import remove_user, set_password

__all__ = ['main']

UNCHANGED = 'nothing was changed'


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: {message} (see {self.prog} --help)\n')


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog='python -m pseud',
        description='Make keys and passwords for pseud, and call servers.',
    )
    parser.add_argument('--version', action='version', version=f'pseud {__version__}')
    commands = parser.add_subparsers(title='commands', metavar='COMMAND')

    keygen = commands.add_parser(
        'keygen',
        help='make a pair of CURVE keys',
        description='Make a pair of CURVE keys: NAME.key, to give away, and '
        'NAME.key_secret, to keep. Files that are there already are left alone.',
    )
    keygen.add_argument('name', metavar='NAME', help='of a server, or a user id')
    keygen.add_argument(
        '--directory', metavar='DIR', default='.', help='where to put them (default: .)'
    )
    keygen.set_defaults(run=_keygen, interrupted=UNCHANGED)

    passwd = commands.add_parser(
        'passwd',
        help='write a file of hashed passwords',
        description='Give a user a password; the file is made if there is none. It is '
        'asked for twice, or read from the first line of stdin if that is no terminal.',
    )
    passwd.add_argument('--remove', action='store_true', help='take the user out')
    passwd.add_argument('file', metavar='FILE', help='for Server(passwords=...)')
    passwd.add_argument('user', metavar='USER', help='user id')
    passwd.set_defaults(run=_passwd, interrupted=UNCHANGED)

    add_commands(commands)
    return parser


def _keygen(arguments: argparse.Namespace) -> None:
    public, secret = make_keys(arguments.directory, arguments.name)
    key = read_key(pathlib.Path(public), 'public key', secret=False)
    print(f'public key:  {key.decode()}')
    print(f'public file: {public}')
    print(f'secret file: {secret}')
    print('Give the public file or key to the other side, which knows you by it.')
    print(
        'Keep the secret file where only your program can read it, and never send it.'
    )


def _passwd(arguments: argparse.Namespace) -> None:
    if arguments.remove:
        remove_user(arguments.file, arguments.user)
    else:
        set_password(arguments.file, arguments.user, _ask())


def _ask() -> str:
    """A password, from whoever sits at the terminal, or from what is piped in."""
    if not sys.stdin.isatty():
        return first_line(sys.stdin.buffer)
    password = getpass.getpass('Password: ')
    if getpass.getpass('Once more: ') != password:
        raise ValueError(f'these are two passwords: {UNCHANGED}')
    return password


def main(arguments: list[str] | None = None) -> int:
    """Do what a command line says.

    Args:
        arguments: what comes after the name of the program; those of this process by
            default.

    Returns:
        The exit status.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if not hasattr(parsed, 'run'):
        parser.print_help()
        return 0
    try:
        parsed.run(parsed)
    except OSError as error:
        return _fail(f'{error.filename}: {error.strerror}' if error.filename else error)
    except (LookupError, ValueError, PseudError) as error:
        return _fail(error)
    except EOFError:
        return _fail('no password was given')
    except KeyboardInterrupt:
        return _fail(f'interrupted: {parsed.interrupted}')
    return 0


def _fail(reason: object) -> int:
    # one line, whatever stands in a file name
    text = ' '.join(str(reason).split())
    print(f'python -m pseud: {text}', file=sys.stderr)
    return 1


if __name__ == '__main__':
    sys.exit(main())
