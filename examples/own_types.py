"""Classes of one's own as arguments and results.

Run it: python own_types.py
"""

import asyncio
import dataclasses
import enum
from typing import NamedTuple

import attrs
import numpy

from pseud import Client, SerializationError, Server, UnknownValue, register_type


# Both sides import these from one module, or give the same name.
@register_type(name='shop.Color')
class Color(enum.Enum):
    RED = 'r'
    GREEN = 'g'


@register_type(name='shop.Place')
class Place(NamedTuple):
    row: int
    shelf: int


@register_type(name='shop.Article')
@dataclasses.dataclass(frozen=True)
class Article:
    title: str
    price: int
    color: Color = Color.RED

    def __post_init__(self):  # runs where an Article arrives, too
        if type(self.price) is not int or self.price < 0:
            raise ValueError(f'no price: {self.price!r}')


@register_type(name='shop.Order')
@attrs.define
class Order:
    articles: list
    place: Place = attrs.field(validator=attrs.validators.instance_of(Place))


@register_type(name='shop.Labels')
class Labels(list):  # a subclass of a builtin: its __init__ takes the builtin value
    pass


@register_type(name='shop.Customer')
class Customer:  # attributes travel, __init__ does not run where they arrive
    def __init__(self, name):
        self.name = name


class Temperature:
    """What travels is up to pack; unpack checks it, as it may come from anyone."""

    def __init__(self, kelvin):
        self.kelvin = kelvin

    @classmethod
    def unpack(cls, state):
        if type(state) is not float or not 0 <= state < 1e9:
            raise ValueError(f'no temperature: {state!r}')
        return cls(state)


register_type(
    Temperature,
    name='shop.Temperature',
    pack=lambda temperature: float(temperature.kelvin),
    unpack=Temperature.unpack,
)


class Table:
    """Columns of the same length; numpy's arrays travel uncopied when they are large."""

    def __init__(self, columns):
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError('the columns of a table have one length')
        self.columns = columns


register_type(Table, name='shop.Table', pack=lambda table: table.columns, unpack=Table)


class Point:
    """Travels by the translation table: as bytes, under a number."""

    def __init__(self, x, y):
        self.x, self.y = x, y


TRANSLATION = {7: (Point, lambda p: bytes([p.x, p.y]), lambda data: Point(*data))}


def same(value):
    return value


async def main():
    async with (
        Server('shop', translation_table=TRANSLATION) as server,
        Client('shop', translation_table=TRANSLATION) as client,
    ):
        server.register_rpc(same)
        client.connect(server.bind('tcp://127.0.0.1:*'))

        apple = Article('apple', 3, Color.GREEN)
        print(await client.same(apple))
        print(await client.same({Place(1, 2): Order([apple], Place(1, 2))}))
        labels, customer = await client.same([Labels(['new']), Customer('Alice')])
        print(type(labels).__name__, labels, customer.name)
        print((await client.same(Temperature(273.15))).kelvin)
        print((await client.same(Point(3, 4))).y)

        rows = 100_000
        table = Table({'id': numpy.arange(rows), 'price': numpy.ones(rows)})
        table = await client.same(table)
        print(table.columns['price'].sum())

        # Nobody has registered this name here: the value is kept, and may be sent on.
        print(await client.same(UnknownValue('warehouse.Pallet', {'weight': 12})))

        # What a class refuses fails the one call.
        object.__setattr__(apple, 'price', -3)
        try:
            await client.same(apple)
        except SerializationError as error:
            print(error)


if __name__ == '__main__':
    asyncio.run(main())
