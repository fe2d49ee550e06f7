"""A user's program for mypy --strict; nobody runs it.

The environments of tests/binding hold pseud without its sources, as its users have it.
"""

from pseud import (
    Client,
    CurrentCall,
    Limits,
    NotSentError,
    PseudError,
    RemoteError,
    RemotePeer,
    Server,
    SyncClient,
    TimeoutError,
    UnauthorizedError,
    current_call,
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


async def peers(server: Server, client: Client) -> None:
    known: dict[RemotePeer, str] = {}

    @server.on_join
    async def join(peer: RemotePeer) -> None:
        known[peer] = await server.send_to(peer).name()

    @server.on_leave
    def leave(peer: RemotePeer, reason: str) -> None:
        print(known.pop(peer), peer.user_id or peer.address, reason.upper())

    client.on_join(join)
    await join(server.peers[0])
    seconds: float = server.peers[0].connected_for
    names = [peer.user_id for peer in server.peers if peer.in_flight < seconds]
    some = server.send_to_many(name for name in names if name is not None)
    outcomes: dict[str, int] = await some.with_options(timeout=1).number()
    count: int = server.expel('alice', reason='enough') + server.expel(server.peers[0])
    print(outcomes, count)


async def handler() -> str:
    call: CurrentCall | None = current_call()
    if call is None or call.remaining is None:
        return 'nobody waits'
    answer: str = await call.caller.with_options(timeout=call.remaining).hello(
        call.name
    )
    return answer
