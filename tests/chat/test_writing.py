"""Messages that wait together are written together, and none suffers from another."""

import asyncio

from tests.chat.world import World

from volok.chat.views import ChatError, Message


async def test_messages_sent_at_once_keep_their_order_and_each_hears_of_its_own_fate(
    world: World,
) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    to = await ana.to("Bo")
    sends = [ana.chat.send(to, f"message {n}") for n in range(300)]
    sends[100:100] = [ana.chat.send(to, " "), ana.chat.send("nobody", "hello")]
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert [str(result) for result in results[100:102]] == [
        "There is nothing to send yet.",
        "There is no contact of this name. `contacts` lists those you have.",
    ]
    del results[100:102]
    sent = [result for result in results if isinstance(result, Message)]
    assert len(sent) == 300
    orders = [message.order for message in sent]
    assert orders == sorted(set(orders))
    assert [await ana.chat.message(message.id) for message in sent[:3]] == sent[:3]
    await world.run()
    assert await bo.texts("Ana") == [f"message {n}" for n in range(300)]


async def test_by_name_or_by_id_is_one_conversation(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    both = await asyncio.gather(
        ana.chat.send_to("Bo", "by name"), ana.chat.send_to(await ana.to("Bo"), "by id")
    )
    assert [name for _, name in both] == ["Bo", "Bo"]
    assert len({message.contact for message, _ in both}) == 1
    await world.run()
    assert await bo.texts("Ana") == ["by name", "by id"]


async def test_whoever_gives_up_before_writing_has_sent_nothing(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    to = await ana.to("Bo")
    first, second = (asyncio.create_task(ana.chat.send(to, text)) for text in ("one", "two"))
    await asyncio.sleep(0)
    second.cancel()
    await first
    assert second.cancelled() or await asyncio.wait({second})
    assert await ana.texts("Bo") == ["one"]


async def test_a_locked_vault_is_told_to_everybody_who_waits(world: World) -> None:
    ana, bo = await world.person("Ana"), await world.person("Bo")
    await world.meet(ana, bo)
    to = await ana.to("Bo")
    await ana.vault.close()
    results = await asyncio.gather(
        *(ana.chat.send(to, str(n)) for n in range(3)), return_exceptions=True
    )
    assert {type(result).__name__ for result in results} == {"VaultLocked"}
    assert not any(isinstance(result, ChatError) for result in results)
