"""Class protocols: the counts of the public sheets, and messages that help."""

from __future__ import annotations

import dataclasses

import pytest

from tsfmicro.errors import ContractError, UsageError
from tsfmicro.labels import PROTOCOLS, protocol

# id: (samples, subjects, counts in the order of the classes), from the annotation sheets.
EXPECTED: dict[str, tuple[int, int | None, tuple[int, ...]]] = {
    "casme2_5c_tsf": (248, 26, (32, 62, 27, 28, 99)),
    "casme2_5c_2019_all": (249, 26, (32, 63, 27, 28, 99)),
    "casme2_5c_2014": (246, 26, (32, 63, 27, 25, 99)),
    "casme2_3c_tsf": (155, 25, (95, 32, 28)),
    "megc2019_casme2": (145, 24, (88, 32, 25)),
    "samm_5c_tsf": (136, 27, (57, 12, 26, 15, 26)),
    "samm_3c_tsf": (133, 28, (92, 26, 15)),
    "megc2019_samm": (133, 28, (92, 26, 15)),
    "casme3a_7c_official": (860, 94, (64, 250, 86, 55, 57, 187, 161)),
    "casme3a_4c_official": (860, 94, (457, 55, 187, 161)),
    "casme3a_7c_tsf": (855, None, (64, 250, 86, 55, 57, 184, 159)),
    "casme3a_4c_tsf": (855, None, (457, 55, 184, 159)),
    "casme3c_4c_official": (165, 30, (99, 16, 30, 20)),
    "cas_me2_4c": (57, None, (21, 8, 9, 19)),
    "cas_me2_3c": (38, None, (21, 8, 9)),
    "megc2019_full": (442, 68, (250, 109, 83)),
    "megc2019_smic": (164, 16, (70, 51, 43)),
}


def test_every_protocol_is_there_and_no_other() -> None:
    assert set(PROTOCOLS) == set(EXPECTED)


@pytest.mark.parametrize("identity", EXPECTED)
def test_counts_are_those_of_the_sheets(identity: str) -> None:
    entry = protocol(identity)
    samples, subjects, counts = EXPECTED[identity]
    assert entry.id == identity
    assert (entry.expected_samples, entry.expected_subjects) == (samples, subjects)
    assert tuple(entry.expected_counts[name] for name in entry.classes) == counts
    assert sum(counts) == samples
    assert set(entry.mapping.values()) == set(entry.classes)
    assert entry.note.endswith(".")


def test_parts_of_megc2019_add_up() -> None:
    parts = [protocol(identity) for identity in ("megc2019_smic", "megc2019_casme2", "megc2019_samm")]
    full = protocol("megc2019_full")
    for name in full.classes:
        assert sum(part.expected_counts[name] for part in parts) == full.expected_counts[name]
    assert sum(part.expected_subjects or 0 for part in parts) == full.expected_subjects


def test_order_of_the_five_casme2_logits() -> None:
    assert protocol("casme2_5c_tsf").classes == ("happiness", "disgust", "repression", "surprise", "others")


@pytest.mark.parametrize(
    ("identity", "label", "wanted"),
    [
        ("casme2_5c_tsf", "happiness", "happiness"),
        ("casme2_5c_tsf", "fear", None),
        ("casme2_3c_tsf", "fear", "negative"),
        ("megc2019_casme2", "fear", None),
        ("megc2019_casme2", "1", "positive"),
        ("megc2019_full", "0", "negative"),
        ("megc2019_smic", "surprise", "surprise"),
        ("samm_5c_tsf", " Other ", "others"),
        ("samm_5c_tsf", "Disgust", None),
        ("samm_3c_tsf", "Contempt", "negative"),
        ("casme3a_7c_official", "Others", "others"),
        ("casme3a_4c_official", "sad", "negative"),
        ("casme3a_4c_official", "happy", "positive"),
    ],
)
def test_dataset_labels_become_classes(identity: str, label: str, wanted: str | None) -> None:
    assert protocol(identity).class_of(label) == wanted


def test_near_miss_names_the_right_protocol() -> None:
    with pytest.raises(UsageError, match=r"casme2_5c_tfs.*did you mean.*casme2_5c_tsf") as caught:
        protocol("casme2_5c_tfs")
    assert caught.value.exit_code == 2


def test_far_miss_lists_all() -> None:
    with pytest.raises(UsageError) as caught:
        protocol("?")
    assert all(identity in str(caught.value) for identity in EXPECTED)


@pytest.mark.parametrize(
    "change",
    [
        {"expected_samples": 247},
        {"classes": ("happiness", "disgust", "repression", "others", "surprise")},
        {"classes": ("happiness", "happiness", "repression", "surprise", "others")},
        {"mapping": {"happiness": "happiness"}},
        {"mapping": {"happiness": "joy", "disgust": "disgust"}},
        {"expected_counts": {"happiness": 248}},
    ],
)
def test_a_protocol_that_contradicts_itself_cannot_be_built(change: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="casme2_5c_tsf"):
        dataclasses.replace(protocol("casme2_5c_tsf"), **change)  # type: ignore[arg-type]


def test_labels_to_map_are_lower_case() -> None:
    entry = protocol("casme2_5c_tsf")
    with pytest.raises(ContractError, match="lower case"):
        dataclasses.replace(entry, mapping={**entry.mapping, "Happiness": "happiness"})


def test_protocols_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PROTOCOLS["new"] = protocol("casme2_5c_tsf")  # type: ignore[index]
    with pytest.raises(TypeError):
        protocol("casme2_5c_tsf").mapping["fear"] = "others"  # type: ignore[index]
