from collections.abc import Iterator
from pathlib import Path

import pytest

import hub
from tertulia.catalog.store import Store


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub.Hub]:
    """A Hub on loopback. A connection that is lost is tried again at once."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    with hub.serve() as served:
        yield served


@pytest.fixture
def store(tmp_path: Path, there: hub.Hub) -> Store:
    return Store(tmp_path / "models", there.url)
