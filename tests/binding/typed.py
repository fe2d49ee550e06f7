"""A user's program for mypy --strict; nobody runs it.

The environments of tests/binding hold pseud without its sources, as its users have it.
"""

from pseud import (
    Client,
    Limits,
    NotSentError,
    PseudError,
    RemoteError,
    Server,
    SyncClient,
    TimeoutError,
    UnauthorizedError,
)
from pseud.utils import create_local_registry, register_rpc


def hello(name: str) -> str:
    return f'Hello {name}'


class Application:
    def __init__(self, endpoint: str) -> None:
        self.server: Server = Server('service', security_plugin='trusted_peer')
        self.address: str = self.server.bind(endpoint)
        self.server.register_rpc(hello)
        self.client: Client | None = None

    def run(self) -> None:
        self.server.serve_forever()


@register_rpc
def everywhere(number: int) -> int:
    return number + 1


async def on_asyncio(server: Server) -> str:
    async with Client(
        'service',
        security_plugin='plain',
        user_id='alice',
        password='',
        timeout=2,
        limits=Limits(),
        registry=create_local_registry('service'),
    ) as client:
        client.connect('tcp://127.0.0.1:5555')
        client.register_rpc(hello, name='draw.me.a.sheep')
        sheep: str = await server.send_to('alice').draw.me.a.sheep()
        answer: str = await client.with_options(timeout=1).hello(sheep)
        try:
            await client.call('start', 1, 2)
        except (NotSentError, TimeoutError, UnauthorizedError):
            pass
        return answer


def on_gevent(server: Server) -> list[int]:
    client = Client('service')
    client.connect('tcp://127.0.0.1:5555')
    results = [client.everywhere(number) for number in range(3)]
    server.send_to('alice').hello('Charly').get(timeout=1)
    client.stop(grace=1)
    return [result.get() for result in results]


def blocking() -> str | None:
    with SyncClient('service', user_id='alice', timeout=None) as client:
        client.connect('tcp://127.0.0.1:5555')
        try:
            answer: str = client.hello('Charly')
        except RemoteError:
            return None
        except PseudError as error:
            raise SystemExit(str(error)) from error
        return client.with_options(timeout=1).call('hello', answer) or answer


def decorated(server: Server, client: Client) -> None:
    @server.register_rpc
    def plain() -> None: ...

    @client.register_rpc(name='draw.me.a.sheep')
    def sheep() -> str:
        return 'beeeh'

    text: str = sheep()
    print(text)
