"""Tool calls as providers stream them, put in order: which call a piece belongs to, what of it is told when. Pure."""

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from tertulia.types import DeltaCall, DeltaFunction


class _Call(Struct):
    """A call: the id that the provider gave it, its name, and its arguments so far. It has a ``place`` among the
    choice's calls once its first piece, with its name, has been told, and an id of its own."""

    given: str
    name: str = ""
    pieces: list[str] = field(default_factory=list[str])
    place: int = -1
    id: str = ""

    @property
    def complete(self) -> bool:
        """Whether its arguments are all there."""
        try:
            msgspec.json.decode("".join(self.pieces))
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return False
        return True


class Calls:
    """The calls of one choice. ``stem`` makes ids of its own unlike those of other answers."""

    def __init__(self, stem: str) -> None:
        self._stem = stem
        self._calls: list[_Call] = []
        self._ids: list[str] = []
        self._places: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        """Whether any was told."""
        return bool(self._ids)

    def settle(self, given: list[DeltaCall]) -> tuple[list[DeltaCall], bool]:
        """What of ``given`` is told now, in OpenAI's shape, and whether that differs from what was given."""
        told: list[DeltaCall] = []
        changed = False
        for piece in given:
            call = self._find(piece)
            touched = _go_on(call, piece) if call.place >= 0 else self._begin(call, piece)
            changed = changed or touched
            if call.place >= 0:
                told.append(piece)
        return told, changed

    def _find(self, piece: DeltaCall) -> _Call:
        """The call that ``piece`` belongs to. Some providers leave out the index, or give all calls the same."""
        name = piece.function.name if piece.function else None
        if piece.index >= 0:
            known = self._places.get(piece.index)
            if known is not None and piece.id and known.given and piece.id != known.given:
                known = next((call for call in self._calls if call.given == piece.id), None)
        elif piece.id:
            known = next((call for call in self._calls if call.given == piece.id), None)
            if known is None and not name and self._calls:
                known = self._calls[-1]
        else:
            known = self._calls[-1] if self._calls else None
        if known is None or _begins(known, piece, name):
            known = _Call(piece.id or "")
            self._calls.append(known)
        if piece.index >= 0:
            self._places[piece.index] = known
        return known

    def _begin(self, call: _Call, piece: DeltaCall) -> bool:
        """Make ``piece`` the first of ``call``, which waits for the name. Whether anything was changed."""
        name, said = _words(piece)
        call.name, call.given = name or "", call.given or piece.id or ""
        before = (piece.index, piece.id, piece.type, name, said)
        arguments = "".join([*call.pieces, said or ""])
        if said:
            call.pieces.append(said)
        if not call.name:
            return True
        call.place = len(self._ids)
        call.id = call.given if call.given and call.given not in self._ids else f"call_{self._stem}_{call.place}"
        self._ids.append(call.id)
        piece.index, piece.id, piece.type = call.place, call.id, "function"
        piece.function = DeltaFunction(name=call.name, arguments=arguments)
        return before != (call.place, call.id, "function", call.name, arguments)


def _begins(known: _Call, piece: DeltaCall, name: str | UnsetType | None) -> bool:
    """Whether ``piece`` is another call's first and not ``known``'s next, whose place or id it has."""
    if not name or not known.name:
        return False
    if name != known.name:
        return True
    arguments = piece.function.arguments if piece.function else None
    return not (piece.id and piece.id == known.given) and bool(arguments) and bool(known.pieces) and known.complete


def _go_on(call: _Call, piece: DeltaCall) -> bool:
    """Make ``piece`` the next of ``call``: arguments alone. Whether anything was changed."""
    name, said = _words(piece)
    before = (piece.index, piece.id, piece.type, name, said)
    if said:
        call.pieces.append(said)
    piece.index, piece.id, piece.type = call.place, UNSET, UNSET
    piece.function = DeltaFunction(arguments=said or "")
    return before != (call.place, UNSET, UNSET, UNSET, said or "")


def _words(piece: DeltaCall) -> tuple[str | UnsetType | None, str | UnsetType | None]:
    """The name and the arguments in a piece."""
    return (piece.function.name, piece.function.arguments) if piece.function else (UNSET, UNSET)
