"""Keys: what is told of them, and whose they are."""

import pytest

from pinwheel.access import Scope, new_key, owner, read_keys


def test_a_new_key_is_its_owners_and_nobody_elses() -> None:
    made = {name: new_key(name, scope) for name, scope in (("alice", Scope.TRAIN), ("bob", Scope.READ))}
    keys = read_keys(", ".join(str(key) for _, key in made.values()))
    for name, (secret, key) in made.items():
        assert owner(keys, secret) == key
        assert key.name == name
        assert secret not in str(key)
    assert owner(keys, "pw_guessed") is None
    assert owner(keys, "") is None
    assert made["alice"][0] != made["bob"][0]


def test_scopes_are_one_above_the_other() -> None:
    assert Scope.READ < Scope.ENCODE < Scope.TRAIN < Scope.ADMIN
    with pytest.raises(ValueError, match="read, encode, train, admin"):
        Scope.named("root")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("pw_a-secret-by-mistake", "entry 0"),
        ("alice:train:12", "entry 0"),
        (f"alice:owner:{'0' * 64}", "owner"),
        (f"alice:read:{'0' * 64} alice:train:{'1' * 64}", "two keys"),
        (f"a b:read:{'0' * 64}", "entry 0"),
    ],
)
def test_entries_that_are_none_are_refused_without_repeating_them(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refused:
        read_keys(text)
    assert "secret" not in str(refused.value)


def test_no_entries_are_no_keys() -> None:
    assert read_keys("") == read_keys(" \n") == ()
