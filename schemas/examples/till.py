import asyncio
import json

from aiokafka import AIOKafkaProducer


async def sold(member_id: str, time: str, order: dict[str, object]) -> None:
    event: dict[str, object] = {"specversion": "1.0", "type": "purchase.completed.v1"}
    event |= {"source": "/till/7", "id": order["order_id"], "time": time}
    event |= {"subject": member_id, "data": order}
    async with AIOKafkaProducer(bootstrap_servers="localhost:9092", acks="all") as kafka:
        value = json.dumps(event).encode()
        await kafka.send_and_wait("purchases", value, key=member_id.encode())


line = {"line_id": "1", "sku": "4600000000017", "category": "PRODUCE", "amount": 1299}
order = {"order_id": "7-000900", "store_id": "7", "channel": "store", "currency": "USD"}
asyncio.run(sold("m-1001", "2017-03-01T17:45:00+03:00", order | {"lines": [line]}))
