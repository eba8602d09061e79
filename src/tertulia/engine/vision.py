"""How a model sees, in numbers, whatever its family.

Each family has a module for its numbers and one for its tower. Its numbers tell what the tower is given of a picture
(``cut``), what a picture comes to (``layout``: rows and columns), and how it stands in a prompt (``token``,
``prompt``, ``spots``).
"""

from typing import Any

from tertulia.engine import idefics, qwen
from tertulia.engine.idefics import Idefics
from tertulia.engine.qwen import Qwen

Vision = Idefics | Qwen


def read_vision(config: dict[str, Any], images: dict[str, Any]) -> Vision:
    """What a model's config.json and its image processor's settings say. Raises StoreError for what is not built
    here."""
    return (qwen if config["model_type"] == "qwen2_5_vl" else idefics).read(config, images)
