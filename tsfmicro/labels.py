"""Class protocols: which labels of which data set become which classes, in the order of the logits.

A result means something only next to the protocol it was measured under, so every bundle and every result names
one. The counts are those of the public annotation sheets; an audit compares a lab's own copy with them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tsfmicro.errors import ContractError, UsageError


@dataclass(frozen=True, slots=True)
class ClassProtocol:
    """One way of turning the labels of a data set into the classes of a recogniser.

    Raises:
        ContractError: when built with counts, classes and mapping that do not fit together.
    """

    id: str
    """Name used on the command line, in bundles and in results."""
    dataset: str
    """Data set the rows come from: ``casme2``, ``samm``, ``casme3a``, ``casme3c``, ``cas_me2``, ``smic_hs`` or
    ``megc2019``."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    mapping: Mapping[str, str]
    """Data-set label, lower case, to class. Rows with any other label are dropped."""
    expected_samples: int
    """Clips that remain."""
    expected_subjects: int | None
    """Subjects that remain, one leave-one-subject-out fold each; None where nobody has published it."""
    expected_counts: Mapping[str, int]
    """Clips by class, in the order of ``classes``."""
    note: str
    """Where the rows come from and what to keep in mind when comparing results."""
    drops_unannotated_apex: bool = False
    """Whether rows without an annotated apex are left out; elsewhere a repair puts one in."""

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) < 2:
            raise ContractError(f"protocol {self.id} has classes {self.classes}; expected two or more different ones")
        if set(self.mapping.values()) != set(self.classes):
            raise ContractError(
                f"protocol {self.id} maps to {sorted(set(self.mapping.values()))}; "
                f"expected every one of {sorted(self.classes)} and nothing else"
            )
        wrong = [label for label in self.mapping if label != label.strip().lower()]
        if wrong:
            raise ContractError(f"protocol {self.id} maps {wrong}; expected labels in lower case, without outer spaces")
        if tuple(self.expected_counts) != self.classes:
            raise ContractError(
                f"protocol {self.id} counts {tuple(self.expected_counts)}; expected its classes {self.classes}"
            )
        total = sum(self.expected_counts.values())
        if total != self.expected_samples:
            raise ContractError(
                f"protocol {self.id} has counts that sum to {total}; expected_samples is {self.expected_samples}"
            )

    def class_of(self, dataset_label: str) -> str | None:
        """Class of a label as the annotation sheet spells it (any case, outer spaces ignored); None drops the row."""
        return self.mapping.get(dataset_label.strip().lower())


_NEGATIVE, _POSITIVE, _SURPRISE, _OTHERS = "negative", "positive", "surprise", "others"

_CASME2_5C = {label: label for label in ("happiness", "disgust", "repression", _SURPRISE, _OTHERS)}
_SAMM_5C = {
    "anger": "anger", "contempt": "contempt", "happiness": "happiness", "surprise": _SURPRISE, "other": _OTHERS,
}  # fmt: skip
_SAMM_3C = {
    "anger": _NEGATIVE, "contempt": _NEGATIVE, "disgust": _NEGATIVE, "fear": _NEGATIVE, "sadness": _NEGATIVE,
    "happiness": _POSITIVE, "surprise": _SURPRISE,
}  # fmt: skip
_CASME3_7C = {
    "anger": "anger", "disgust": "disgust", "fear": "fear", "happy": "happiness", "sad": "sadness",
    "surprise": _SURPRISE, "others": _OTHERS,
}  # fmt: skip
_CASME3_4C = {
    "anger": _NEGATIVE, "disgust": _NEGATIVE, "fear": _NEGATIVE, "sad": _NEGATIVE, "happy": _POSITIVE,
    "surprise": _SURPRISE, "others": _OTHERS,
}  # fmt: skip
_MEGC_CODES = {"0": _NEGATIVE, "1": _POSITIVE, "2": _SURPRISE}
"""The official MEGC2019 list writes its labels as digits."""
_MEGC_NAMES = {label: label for label in (_NEGATIVE, _POSITIVE, _SURPRISE)}
"""SMIC names its folders so."""
_NAMES_4C = {
    **_MEGC_NAMES, "neg": _NEGATIVE, "pos": _POSITIVE, "sur": _SURPRISE, _OTHERS: _OTHERS, "oth": _OTHERS,
    "other": _OTHERS,
}  # fmt: skip
"""The four names of CAS(ME)^2 and of CAS(ME)^3 part C, in full or cut to three letters."""


def _protocol(
    identity: str,
    dataset: str,
    mapping: Mapping[str, str],
    subjects: int | None,
    counts: Mapping[str, int],
    note: str,
    *,
    drops_unannotated_apex: bool = False,
) -> ClassProtocol:
    """Build a protocol whose class order is that of ``counts``."""
    return ClassProtocol(
        id=identity,
        dataset=dataset,
        classes=tuple(counts),
        mapping=MappingProxyType(dict(mapping)),
        expected_samples=sum(counts.values()),
        expected_subjects=subjects,
        expected_counts=MappingProxyType(dict(counts)),
        note=note,
        drops_unannotated_apex=drops_unannotated_apex,
    )


def _counts_5c(disgust: int, surprise: int) -> dict[str, int]:
    """CASME II; between its sheets only disgust and surprise differ."""
    return {"happiness": 32, "disgust": disgust, "repression": 27, _SURPRISE: surprise, _OTHERS: 99}


def _counts_7c(surprise: int, others: int) -> dict[str, int]:
    """CAS(ME)^3 part A; between its versions only surprise and others differ."""
    return {
        "anger": 64, "disgust": 250, "fear": 86, "happiness": 55, "sadness": 57, _SURPRISE: surprise, _OTHERS: others,
    }  # fmt: skip


def _counts_3c(negative: int, positive: int, surprise: int) -> dict[str, int]:
    """Negative, positive, surprise: the order of the digits in the MEGC2019 list."""
    return {_NEGATIVE: negative, _POSITIVE: positive, _SURPRISE: surprise}


_TSF_855 = (
    "The 855 clips of the TSFmicro paper: the official 860 less 3 surprise and 2 others. Which five is unpublished, "
    "so an audit matches only with the authors' exclusion list."
)

_ALL = (
    _protocol(
        "casme2_5c_tsf", "casme2", _CASME2_5C, 26, _counts_5c(62, 28),
        "CASME2-coding-20190701 without the row whose apex is '/' (sub04 EP12_01f).",
        drops_unannotated_apex=True,
    ),
    _protocol(
        "casme2_5c_2019_all", "casme2", _CASME2_5C, 26, _counts_5c(63, 28),
        "CASME2-coding-20190701, every row; the one with apex '/' needs an apex from elsewhere.",
    ),
    _protocol(
        "casme2_5c_2014", "casme2", _CASME2_5C, 26, _counts_5c(63, 25),
        "CASME2-coding-20140508, the classic 246 clips; 245 without the row whose apex is '/'.",
    ),
    _protocol(
        "casme2_3c_tsf", "casme2",
        {"disgust": _NEGATIVE, "repression": _NEGATIVE, "fear": _NEGATIVE, "sadness": _NEGATIVE,
         "happiness": _POSITIVE, "surprise": _SURPRISE},
        25, _counts_3c(95, 32, 28),
        "CASME2-coding-20190701 without the '/' row, fear and sadness counted as negative. The TSFmicro paper calls "
        "it MEGC2019; it is not, so do not compare it with megc2019_casme2.",
        drops_unannotated_apex=True,
    ),
    _protocol(
        "megc2019_casme2", "casme2",
        {"disgust": _NEGATIVE, "repression": _NEGATIVE, "happiness": _POSITIVE, "surprise": _SURPRISE, **_MEGC_CODES},
        24, _counts_3c(88, 32, 25),
        "Rows of the official MEGC2019 list, which no rule on the sheet reproduces; labels of 2014.",
    ),
    _protocol(
        "samm_5c_tsf", "samm", _SAMM_5C, 27,
        {"anger": 57, "contempt": 12, "happiness": 26, _SURPRISE: 15, _OTHERS: 26},
        "SAMM_Micro_FACS_Codes_v2, every row of these five labels; subjects 024 and 036 vanish.",
    ),
    _protocol(
        "samm_3c_tsf", "samm", _SAMM_3C, 28, _counts_3c(92, 26, 15),
        "SAMM_Micro_FACS_Codes_v2 without 'other'; subject 025 vanishes. The same rows as megc2019_samm.",
    ),
    _protocol(
        "megc2019_samm", "samm", {**_SAMM_3C, **_MEGC_CODES}, 28, _counts_3c(92, 26, 15),
        "SAMM part of the official MEGC2019 list; the same rows as samm_3c_tsf.",
    ),
    _protocol(
        "casme3a_7c_official", "casme3a", _CASME3_7C, 94, _counts_7c(187, 161),
        "cas(me)3_part_A_ME_label_JpgIndex_v2, every row; 'Others' and 'others' are one class.",
    ),
    _protocol(
        "casme3a_4c_official", "casme3a", _CASME3_4C, 94, {**_counts_3c(457, 55, 187), _OTHERS: 161},
        "cas(me)3_part_A_ME_label_JpgIndex_v2, every row; anger, disgust, fear and sad are negative.",
    ),
    _protocol("casme3a_7c_tsf", "casme3a", _CASME3_7C, None, _counts_7c(184, 159), _TSF_855),
    _protocol("casme3a_4c_tsf", "casme3a", _CASME3_4C, None, {**_counts_3c(457, 55, 184), _OTHERS: 159}, _TSF_855),
    _protocol(
        "casme3c_4c_official", "casme3c", _NAMES_4C, 30, {**_counts_3c(99, 16, 30), _OTHERS: 20},
        "CAS(ME)3_part_C_ME.xlsx, every row; no apex is annotated, so the middle frame stands in for it.",
    ),
    _protocol(
        "cas_me2_4c", "cas_me2", _NAMES_4C, None, {**_counts_3c(21, 8, 9), _OTHERS: 19},
        "CAS(ME)^2code_final, the micro-expressions; the macro-expressions are dropped.",
    ),
    _protocol(
        "cas_me2_3c", "cas_me2", {k: v for k, v in _NAMES_4C.items() if v != _OTHERS}, None, _counts_3c(21, 8, 9),
        "CAS(ME)^2code_final, the micro-expressions without 'others', as the three classes of MEGC 2019.",
    ),
    _protocol(
        "megc2019_full", "megc2019", {**_MEGC_CODES, **_MEGC_NAMES}, 68, _counts_3c(250, 109, 83),
        "The official MEGC2019 list, combined_3class_gt.csv: SMIC, CASME II and SAMM, 16 + 24 + 28 subjects.",
    ),
    _protocol(
        "megc2019_smic", "smic_hs", {**_MEGC_CODES, **_MEGC_NAMES}, 16, _counts_3c(70, 51, 43),
        "SMIC-HS part of the official MEGC2019 list; labels are those of the folders.",
    ),
)  # fmt: skip

PROTOCOLS: Mapping[str, ClassProtocol] = MappingProxyType({entry.id: entry for entry in _ALL})
"""Every protocol by id."""


def protocol(protocol_id: str) -> ClassProtocol:
    """Look a protocol up by its id.

    Raises:
        UsageError: naming the nearest ids, or all of them where none is near.
    """
    found = PROTOCOLS.get(protocol_id)
    if found is not None:
        return found
    near = difflib.get_close_matches(protocol_id.lower(), PROTOCOLS, n=3, cutoff=0.6)
    if near:
        raise UsageError(f"protocol {protocol_id!r} is not known; did you mean {' or '.join(near)}?")
    raise UsageError(f"protocol {protocol_id!r} is not known; type one of {', '.join(PROTOCOLS)}")
