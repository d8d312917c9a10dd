"""Trust policies (C2SP tlog-policy): which logs, and how many of which witnesses.

What belongs here: the text form of a policy, and opening a signed checkpoint under one. What does
not: how witnesses are asked (``witness``) and notes themselves (``note``). A reader that has only
a log's key has the policy "that log, no witnesses".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ledger_anchor.errors import (
    CheckpointError,
    ClockError,
    KeyFormatError,
    PolicyError,
    QuorumError,
    SignatureError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, VerifierKey
from ledger_anchor.notes.note import Note

NONE = "none"
CLOCK_TOLERANCE_SECONDS = 300
# C2SP asks for at least 32 of each; a bound keeps a hostile file from costing more than a moment.
MAX_DEFINITIONS = 256
_MAX_BYTES = 1_000_000
_BLANKS = re.compile("[ \t]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_HEX_KEY = re.compile("[0-9a-fA-F]{64}")
# An Ed25519 cosigner's signature says "I saw", not "I am the log"; the other kinds serve both.
_LOG_KINDS = frozenset(KeyKind) - {KeyKind.ED25519_COSIGNATURE}


@dataclass(frozen=True)
class Log:
    """A log that is accepted: its key, named like the log's origin, and where it may be reached."""

    key: VerifierKey
    url: str | None = None

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.key.name


@dataclass(frozen=True)
class Witness:
    """A witness: its name inside the policy, its cosigner's key, and where it may be reached."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True)
class Group:
    """A group of witnesses and earlier groups; ``rule`` is "any", "all" or a number."""

    name: str
    rule: str
    members: tuple[str, ...]

    @property
    def threshold(self) -> int:
        """How many members must have cosigned."""
        words = {"any": 1, "all": len(self.members)}
        return words[self.rule] if self.rule in words else int(self.rule)


@dataclass(frozen=True)
class Cosigned:
    """A verified cosignature: the witness's name in the policy, its key, and its time."""

    name: str
    key: VerifierKey
    timestamp: int


@dataclass(frozen=True)
class Verified:
    """A checkpoint that a policy accepts, the key of its log, and who has cosigned it."""

    checkpoint: Checkpoint
    log_key: VerifierKey
    cosigners: tuple[Cosigned, ...]


@dataclass(frozen=True)
class Policy:
    """Logs, witnesses, groups in the order of their definition, and the name of the quorum."""

    log_keys: tuple[Log, ...]
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str = NONE

    @classmethod
    def parse(cls, data: str | bytes) -> Policy:
        """Read a policy file.

        Args:
            data: the file; a last line without its end is read too. Names are opaque octets.

        Raises:
            PolicyError: naming the line and what was expected there.
        """
        text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
        if len(text) > _MAX_BYTES:
            raise PolicyError(f"a policy of more than {_MAX_BYTES} characters is not read")
        reader = _Reader()
        lines = text.removesuffix("\n").split("\n")
        for number, line in enumerate(lines, 1):
            reader.read(line, number)
        return reader.finish(len(lines))

    @classmethod
    def of_key(cls, key: VerifierKey, url: str | None = None) -> Policy:
        """That log, without witnesses.

        Raises:
            PolicyError: if the key is a witness's.
        """
        _check_log_kind(key, None)
        return cls((Log(key, url),))

    def format(self) -> str:
        """The policy as the text of a file; comments of a file it was read from are gone."""
        lines = [_line("log", log.key.format(), log.url) for log in self.log_keys]
        lines += [_line("witness", w.name, w.key.format(), w.url) for w in self.witnesses]
        lines += [_line("group", g.name, g.rule, *g.members) for g in self.groups]
        return "".join([*lines, _line("quorum", self.quorum)])

    def open(self, note: bytes | str | Note, *, now: int | None = None) -> Verified:
        """Read a signed checkpoint and check it against this policy.

        Args:
            note: the signed checkpoint.
            now: seconds since 1970; if given, cosignatures more than five minutes ahead of it are
                refused.

        Returns:
            The checkpoint, the key of the log that signed it, and the witnesses that cosigned it
            in the policy's order.

        Raises:
            NoteError: if the note is malformed.
            CheckpointError: if its text is no checkpoint, or of a log the policy does not list.
            SignatureError: if the log has not signed it, or a known key's signature fails.
            QuorumError: if too few witnesses have cosigned it.
            ClockError: if a cosignature lies ahead of ``now``.
        """
        parsed = note if isinstance(note, Note) else Note.parse(note)
        checkpoint = Checkpoint.parse(parsed.text)
        keys = [log.key for log in self.log_keys if log.key.name == checkpoint.origin]
        if not keys:
            raise CheckpointError(self._unknown_origin(checkpoint.origin))
        opened = parsed.verified([*keys, *(witness.key for witness in self.witnesses)])
        made = {line.identity: line.signature for line in opened.signatures}
        signed = [key for key in keys if (key.name, key.id) in made]
        if not signed:
            raise SignatureError(
                f"the log {checkpoint.origin} has not signed this checkpoint with a key the policy "
                "lists: only witnesses have"
            )
        cosigners = tuple(_cosigners(self.witnesses, made))
        if now is not None:
            _check_clock(cosigners, now)
        self.check_quorum({cosigner.name for cosigner in cosigners}, checkpoint)
        return Verified(checkpoint, signed[0], cosigners)

    def _unknown_origin(self, origin: str) -> str:
        known = ", ".join(sorted({repr(log.key.name) for log in self.log_keys})) or "none"
        return f"a checkpoint of another log: expected origin {known}, found {origin!r}"

    def is_met_by(self, names: Iterable[str]) -> bool:
        """Whether these witnesses, by their names in the policy, are enough."""
        return self.quorum == NONE or self.quorum in self._satisfied(names)

    def check_quorum(self, names: Iterable[str], checkpoint: Checkpoint) -> None:
        """Refuse a checkpoint that too few witnesses have cosigned.

        Raises:
            QuorumError: naming each group that is not satisfied and whom it lacks.
        """
        satisfied = self._satisfied(names)
        if self.quorum == NONE or self.quorum in satisfied:
            return
        size = checkpoint.size
        raise QuorumError(
            f"the checkpoint of {checkpoint.origin!r} at size {size} lacks cosignatures: "
            + "; ".join(self._lacking(self.quorum, satisfied))
        )

    def _satisfied(self, names: Iterable[str]) -> set[str]:
        satisfied = set(names)
        for group in self.groups:  # members are defined earlier, so one pass is enough
            if len(satisfied.intersection(group.members)) >= group.threshold:
                satisfied.add(group.name)
        return satisfied

    def _lacking(self, name: str, satisfied: set[str]) -> list[str]:
        """One sentence for each group below ``name`` that is not satisfied, the top first."""
        groups = {group.name: group for group in self.groups}
        if name not in groups:
            return [f"witness {_shown(name)} has not cosigned"]
        sentences = []
        waiting = [name]
        while waiting:
            group = groups[waiting.pop(0)]
            missing = [member for member in group.members if member not in satisfied]
            there = len(group.members) - len(missing)
            sentences.append(
                f"group {_shown(group.name)} has {there} and needs {group.threshold} of "
                f"{len(group.members)}, lacking {', '.join(map(_shown, missing))}"
            )
            waiting += [member for member in missing if member in groups]
        return sentences


Trust: TypeAlias = VerifierKey | Policy | str


def as_policy(trust: Trust) -> Policy:
    """The policy of whatever a reader is given to trust.

    Args:
        trust: a log's key, a policy, or the text of a verifier key or of a policy file.

    Raises:
        KeyFormatError: if it is the text of one word and no verifier key.
        PolicyError: if it is no policy, or a key that is a witness's.
    """
    if isinstance(trust, Policy):
        return trust
    if isinstance(trust, VerifierKey):
        return Policy.of_key(trust)
    is_one_word = len(trust.split()) == 1
    return Policy.of_key(VerifierKey.parse(trust.strip())) if is_one_word else Policy.parse(trust)


def _cosigners(
    witnesses: Sequence[Witness], made: dict[tuple[str, bytes], bytes]
) -> Iterable[Cosigned]:
    for witness in witnesses:
        signature = made.get((witness.key.name, witness.key.id))
        timestamp = None if signature is None else witness.key.timestamp(signature)
        if timestamp is not None:
            yield Cosigned(witness.name, witness.key, timestamp)


def _check_clock(cosigners: Sequence[Cosigned], now: int) -> None:
    for cosigner in cosigners:
        ahead = cosigner.timestamp - now
        if ahead > CLOCK_TOLERANCE_SECONDS:
            raise ClockError(
                f"the cosignature of {_shown(cosigner.name)} lies {ahead} seconds ahead of this "
                f"clock; at most {CLOCK_TOLERANCE_SECONDS} are accepted. Check this machine's "
                "clock first, then ask the witness"
            )


def _check_log_kind(key: VerifierKey, line: int | None) -> None:
    if key.kind not in _LOG_KINDS:
        raise PolicyError(
            f"the key of {key.name} is a witness's ({key.kind.title}); expected the key of a log",
            line,
        )


def _line(*items: str | None) -> str:
    return " ".join(item for item in items if item is not None) + "\n"


def _shown(name: str) -> str:
    """A name as messages show it: octets that are no text are escaped."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Reader:
    """Takes the lines of a policy file one by one; each method refuses with the line's number."""

    def __init__(self) -> None:
        self._logs: dict[bytes, Log] = {}
        self._witnesses: dict[bytes, Witness] = {}
        self._groups: dict[str, Group] = {}
        self._defined_on: dict[str, int] = {}
        self._member_of: dict[str, str] = {}
        self._quorum: str | None = None

    def read(self, line: str, number: int) -> None:
        if _CONTROL.search(line):
            raise PolicyError("a control character; only tabs and line ends are allowed", number)
        items = [item for item in _BLANKS.split(line) if item]
        if not items or items[0].startswith("#"):
            return
        keyword, *rest = items
        readers = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._set_quorum,
        }
        if keyword not in readers:
            expected = ", ".join(readers)
            raise PolicyError(f"expected one of {expected}; found {_shown(keyword)!r}", number)
        readers[keyword](rest, number)
        if max(len(self._logs), len(self._witnesses), len(self._groups)) > MAX_DEFINITIONS:
            raise PolicyError(f"more than {MAX_DEFINITIONS} of a kind are not read", number)

    def finish(self, lines: int) -> Policy:
        if self._quorum is None:
            raise PolicyError("the file ends without a quorum line ('quorum <name>|none')", lines)
        definitions = self._logs.values(), self._witnesses.values(), self._groups.values()
        logs, witnesses, groups = definitions
        return Policy(tuple(logs), tuple(witnesses), tuple(groups), self._quorum)

    def _log(self, items: list[str], number: int) -> None:
        if len(items) not in {1, 2}:
            raise PolicyError("expected 'log <vkey> [<url>]'", number)
        key = _parse_key(items[0], number)
        _check_log_kind(key, number)
        if key.public_key in self._logs:
            raise PolicyError(f"the public key of log {key.name} stands here twice", number)
        if key.public_key in self._witnesses:
            raise PolicyError(f"the public key of log {key.name} is a witness's", number)
        self._logs[key.public_key] = Log(key, *items[1:])

    def _witness(self, items: list[str], number: int) -> None:
        if len(items) not in {2, 3}:
            raise PolicyError("expected 'witness <name> <vkey> [<url>]'", number)
        name, encoded, *url = items
        self._define(name, number)
        key = _parse_key(encoded, number)
        if not key.kind.is_cosignature:
            raise PolicyError(
                f"the key of witness {_shown(name)} is of kind {key.kind.title}; a witness's is an "
                "Ed25519 cosignature (04) or ML-DSA-44 cosignature (06) key",
                number,
            )
        if key.public_key in self._witnesses:
            other = _shown(self._witnesses[key.public_key].name)
            raise PolicyError(
                f"witness {_shown(name)} has the public key of witness {other}: one key would "
                "count twice",
                number,
            )
        if key.public_key in self._logs:
            raise PolicyError(
                f"witness {_shown(name)} has the public key of a log: a log is no witness of "
                "itself",
                number,
            )
        self._witnesses[key.public_key] = Witness(name, key, *url)

    def _group(self, items: list[str], number: int) -> None:
        if len(items) < 3:
            raise PolicyError("expected 'group <name> all|any|<k> <name>...'", number)
        name, rule, *members = items
        for member in members:
            self._check_defined(member, number)
            if member in self._member_of:
                group = _shown(self._member_of[member])
                raise PolicyError(
                    f"{_shown(member)} is already a member of group {group}: one witness would "
                    "count twice",
                    number,
                )
            self._member_of[member] = name
        self._define(name, number)
        is_number = re.fullmatch("[1-9][0-9]{0,8}", rule) and int(rule) <= len(members)
        if rule not in {"any", "all"} and not is_number:
            raise PolicyError(
                f"expected all, any or a number from 1 to {len(members)}; found {_shown(rule)!r}",
                number,
            )
        self._groups[name] = Group(name, rule, tuple(members))

    def _set_quorum(self, items: list[str], number: int) -> None:
        if self._quorum is not None:
            raise PolicyError("a second quorum line; a policy has one", number)
        if len(items) != 1:
            raise PolicyError("expected 'quorum <name>|none'", number)
        if items[0] != NONE:
            self._check_defined(items[0], number)
        self._quorum = items[0]

    def _define(self, name: str, number: int) -> None:
        if name == NONE:
            raise PolicyError("the name none is taken: it means that nobody need cosign", number)
        before = self._defined_on.setdefault(name, number)
        if before != number:
            raise PolicyError(f"{_shown(name)} is already defined, on line {before}", number)

    def _check_defined(self, name: str, number: int) -> None:
        if name not in self._defined_on:
            raise PolicyError(
                f"{_shown(name)!r} is not the name of a witness or group on a line above", number
            )


def _parse_key(text: str, number: int) -> VerifierKey:
    if _HEX_KEY.fullmatch(text):
        raise PolicyError(
            "a bare hex key, as Sigsum's own policies have them; expected a verifier key "
            "'<name>+<id>+<base64>' (C2SP tlog-policy): ask the operator for its vkey",
            number,
        )
    try:
        return VerifierKey.parse(text)
    except KeyFormatError as error:
        raise PolicyError(str(error), number) from error
