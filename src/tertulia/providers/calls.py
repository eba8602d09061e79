"""Tool calls as providers stream them, put in order: which call a piece belongs to, what of it is told when. Pure."""

import msgspec
from msgspec import UNSET, Struct, field

from tertulia.types import DeltaCall, DeltaFunction


class _Call(Struct):
    """A call: its place among the choice's calls, its id and the one that the provider gave it, its name, and its
    arguments so far. It is ``told`` once its first piece, with its name, has gone out."""

    place: int
    id: str
    given: str
    name: str = ""
    pieces: list[str] = field(default_factory=list[str])
    told: bool = False

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
        self._places: dict[int, _Call] = {}

    def __bool__(self) -> bool:
        return any(call.told for call in self._calls)

    def settle(self, given: list[DeltaCall]) -> tuple[list[DeltaCall], bool]:
        """What of ``given`` is told now, in OpenAI's shape, and whether that differs from what was given."""
        told: list[DeltaCall] = []
        changed = False
        for piece in given:
            call = self._find(piece)
            touched = _tell(call, piece)
            changed = changed or touched
            if call.told:
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
            known = self._new(piece.id or "")
        if piece.index >= 0:
            self._places[piece.index] = known
        return known

    def _new(self, given: str) -> _Call:
        place = len(self._calls)
        taken = {call.id for call in self._calls}
        call = _Call(place, given if given and given not in taken else f"call_{self._stem}_{place}", given)
        self._calls.append(call)
        return call


def _begins(known: _Call, piece: DeltaCall, name: str | msgspec.UnsetType | None) -> bool:
    """Whether ``piece`` is another call's first and not ``known``'s next, whose place or id it has."""
    if not name or not known.name:
        return False
    if name != known.name:
        return True
    arguments = piece.function.arguments if piece.function else None
    return not (piece.id and piece.id == known.given) and bool(arguments) and bool(known.pieces) and known.complete


def _tell(call: _Call, piece: DeltaCall) -> bool:
    """Make ``piece`` the next of ``call``: id, type and name in the first alone, which waits for the name. Whether
    anything was changed."""
    before = (piece.index, piece.id, piece.type)
    function = piece.function or DeltaFunction()
    said = function.arguments if isinstance(function.arguments, str) else ""
    piece.index = call.place
    if call.told:
        piece.id = piece.type = UNSET
        changed = function.name is not UNSET or function.arguments is not said
        piece.function = DeltaFunction(arguments=said)
    else:
        call.name = call.name or function.name or ""
        call.told = bool(call.name)
        piece.id, piece.type = call.id, "function"
        changed = not call.told or bool(call.pieces) or function.name != call.name or function.arguments is not said
        piece.function = DeltaFunction(name=call.name, arguments="".join([*call.pieces, said]))
    if said:
        call.pieces.append(said)
    return changed or before != (piece.index, piece.id, piece.type)
