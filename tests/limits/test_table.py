from gateway.limits.table import Table

Slot = list[int]


def table(most: int) -> Table[Slot]:
    """Slots are busy until the time that is in them."""
    return Table(lambda _, shared: list(shared or [0]), lambda slot, now: slot[0] <= now, most)


def use(keys: Table[Slot], key: str, now: int, until: int) -> Slot:
    slot = keys.slot(key, now)
    slot[0] = max(slot[0], until)
    return slot


def test_the_number_of_keys_is_bounded() -> None:
    """However many keys come, no more are kept than may be."""
    keys = table(100)
    for number in range(10_000):
        use(keys, str(number), now=number, until=number + 1000)
    assert len(keys) <= 100


def test_a_limited_client_stays_limited() -> None:
    """A key that is not idle is never removed, however many others arrive."""
    keys = table(100)
    limited = use(keys, "limited", now=0, until=10**9)
    for number in range(10_000):
        use(keys, str(number), now=number, until=number + 1000)
    assert keys.slot("limited", 10_000) is limited


def test_idle_keys_make_room() -> None:
    """Keys in which nothing is owed go, as fast as others come: then everybody has a slot of its own."""
    keys = table(100)
    for number in range(10_000):
        use(keys, str(number), now=number, until=number + 20)
    assert keys.overflows == 0


def test_as_many_keys_as_there_may_be_are_kept_while_they_come_in_turn() -> None:
    """Slots that are idle stay until their room is needed: to make one anew costs more than to find it."""
    keys = table(100)
    slots = [use(keys, str(number), now=number, until=number) for number in range(100)]
    assert all(keys.slot(str(number), 1000 + number) is slots[number] for number in range(100))


def test_newcomers_share_one_entry_when_there_is_no_room() -> None:
    """In a full table new keys count together, and begin with what they owe together when there is room again."""
    keys = table(2)
    use(keys, "a", now=0, until=50)
    use(keys, "b", now=0, until=50)
    shared = use(keys, "c", now=0, until=90)
    assert keys.slot("d", 0) is shared
    own = keys.slot("c", 60)
    assert own is not shared
    assert own == [90]
    assert keys.slot("e", 100) == [0]


def test_some_idle_keys_go_last() -> None:
    """Only where there are no others, and then they do: newcomers need not share a slot for them."""
    keys: Table[Slot] = Table(lambda _, shared: [0], lambda slot, now: True, 100, last=lambda slot: slot[0] > 0)
    kept = [use(keys, f"kept {number}", now=0, until=1) for number in range(50)]
    for number in range(1000):
        keys.slot(f"other {number}", 0)
    assert [keys.slot(f"kept {number}", 0) for number in range(50)] == kept
    for number in range(1000):
        use(keys, f"new {number}", now=0, until=1)
    assert (keys.overflows, len(keys)) == (0, 100)
