"""What looks at pictures: the tower of whichever family, compiled. ``pieces`` tells in how many pieces a picture is
done, ``see`` does them."""

from collections.abc import Callable

from tertulia.engine.qwen import Qwen
from tertulia.engine.tower import Tower
from tertulia.engine.vision import Vision
from tertulia.engine.weights import Weight
from tertulia.engine.windows import Windows

Eye = Tower | Windows


def open_eye(vision: Vision, weight: Callable[[str], Weight | None], threads: int = 0) -> Eye:
    """Compile the tower of a model that sees. Raises StoreError where its weights are not all there."""
    return Windows(vision, weight, threads) if isinstance(vision, Qwen) else Tower(vision, weight, threads)
