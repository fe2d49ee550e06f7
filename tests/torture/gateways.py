"""A gateway of the torture run: a server without functions, in front of others."""

from clients import User
from loops import left_by
from servers import GRACE, TorturedServer

__all__ = ['TorturedGateway']


class TorturedGateway(TorturedServer):
    """Passes calls on, as a client of other servers, and calls its own clients."""

    def __init__(self, process):
        super().__init__(process)
        (name,) = [
            name
            for name, user in process.config['users'].items()
            if user['place'] == process.name
        ]
        self.user = User(process, self.context, name)

    def open(self):
        self.user.open()
        self.settings['proxy_to'] = self.user.client
        yield from super().open()

    def register(self):
        """Nothing is called here."""

    def unsettled(self):
        return super().unsettled() + self.user.unsettled()

    def close_all(self):
        yield self.server.stop(grace=GRACE)
        yield self.user.client.stop(grace=0)

    def remains(self):
        return super().remains() + left_by(self.user.client)
