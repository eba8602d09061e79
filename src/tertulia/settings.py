"""What can be configured: the tables of the configuration file, with what holds where nothing is said. config.py reads
them."""

from dataclasses import dataclass, field
from pathlib import Path

MEBI = 1 << 20


@dataclass(slots=True)
class Server:
    """``[server]``: the address, who may use it, and the bounds of a connection. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8080
    open: bool = False
    tokens: list[str] = field(default_factory=list[str])
    tokens_file: Path | None = None
    cors: list[str] = field(default_factory=list[str])
    hosts: list[str] = field(default_factory=list[str])
    body_limit: int = 64 * MEBI
    connections: int = 1024
    header_timeout: float = 15
    first_token_timeout: float = 60
    idle_timeout: float = 30
    total_timeout: float = 0
    grace: float = 20


@dataclass(slots=True)
class Engine:
    """``[engine]``: the local engine. ``kv`` is the KV pool in bytes; ``context`` and ``threads`` 0 mean the model's
    own and all cores; ``weights`` is how safetensors are loaded; ``fold_messages`` is whether messages that a model's
    template refuses are folded and merged until it takes them; ``formats`` says how a model writes its calls
    (``ID=FORMAT``), where its template doesn't show it."""

    model: list[str] = field(default_factory=list[str])
    context: int = 0
    threads: int = 0
    kv: int = 1024 * MEBI
    batch: int = 64
    queue: int = 256
    queue_timeout: float = 30
    weights: str = "int8"
    exact: bool = False
    fold_messages: bool = True
    formats: list[str] = field(default_factory=list[str])
    load_timeout: float = 300

    def format_of(self, model: str) -> str:
        """The format that ``formats`` name for a model, or nothing."""
        return next((form for name, _, form in (one.rpartition("=") for one in self.formats) if name == model), "")


@dataclass(slots=True)
class Store:
    """``[store]``: where models are kept and where they come from."""

    path: Path = Path()
    hub: str = "https://huggingface.co"
    hub_token: str = ""


@dataclass(slots=True)
class Router:
    """``[router]``: who is tried, in which order, and for how long. Times are in seconds.

    ``policy`` is what a model without a suffix gets; ``order`` are providers as the user prefers them. Of all requests
    of the last minute the share ``retry_budget`` may be tried again elsewhere. ``continue_`` (``continue``) lets a
    stream that broke go on from another candidate; ``fallback`` is a model here for when nobody else can answer,
    ``stand_in`` lets it answer for models that nobody here has. ``probe`` switches the background check on, which may
    spend ``probe_budget`` US dollars a day; ``probe_price`` is what it takes for a million tokens whose price it
    doesn't know (0: it doesn't ask for such), ``probe_image`` a public image and a word that tells what it shows,
    ``probes`` the file that keeps what was found. ``forward_hf_token`` sends a caller's own ``hf_...`` token to Hugging
    Face."""

    policy: str = "fastest"
    order: list[str] = field(default_factory=list[str])
    attempts: int = 4
    retry_budget: float = 0.2
    first_timeout: float = 30
    idle_timeout: float = 30
    whole_timeout: float = 300
    breaker_failures: int = 3
    breaker_pause: float = 15
    continue_: bool = False
    fallback: str = ""
    stand_in: bool = False
    probe: bool = False
    probe_budget: float = 0.1
    probe_price: float = 0
    probe_image: list[str] = field(default_factory=list[str])
    probes: Path = Path()
    forward_hf_token: bool = False


@dataclass(slots=True)
class Provider:
    """``[providers.NAME]``: a provider of the user's own, or what is said anew about one that is known.

    ``base_url`` and ``route`` make its address; ``key`` is its key, ``key_env`` the variable that holds it,
    ``key_file`` a file that nobody else can read. ``models`` maps ids here to ids there (a list: the same ones).
    ``response_format`` names how it wants forms said, ``quirks`` what is odd about it, ``refuses`` the fields of a
    request that it can't honour. With a ``command`` it is a process that is started here, when it is first asked for or
    (``eager``) with the server; it has ``load_timeout`` seconds until ``health``, a path, says that it is ready."""

    base_url: str = ""
    route: str = ""
    key: str = ""
    key_env: str = ""
    key_file: Path | None = None
    models: dict[str, str] = field(default_factory=dict[str, str])
    response_format: str = ""
    quirks: list[str] = field(default_factory=list[str])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    refuses: list[str] = field(default_factory=list[str])
    command: list[str] = field(default_factory=list[str])
    health: str = ""
    eager: bool = False
    load_timeout: float = 600
    price: list[float] = field(default_factory=list[float])
    context: int = 0
    enabled: bool = True


@dataclass(slots=True)
class Ledger:
    """``[ledger]``: the database of callers' tokens and of what was spent."""

    path: Path = Path()


@dataclass(slots=True)
class Images:
    """``[images]``: the pictures that a request names. Whatever isn't a public address is refused, but for ``hosts``,
    allowed by name. ``mirror`` maps the beginning of a URL to a folder, or to the beginning of another URL. All of one
    picture may take ``timeout`` seconds, ``redirects``, ``size`` bytes and ``pixels``; a request may have ``count``,
    and ``queue`` of all requests may be read or wait for it. ``seen`` bytes of what a model saw in pictures are kept
    for later questions. Where a model takes pictures of any size, one is scaled down to ``tokens`` of a prompt.
    ``proxy`` is an ``http://`` address; none of the environment's is heeded."""

    hosts: list[str] = field(default_factory=list[str])
    mirror: dict[str, str] = field(default_factory=dict[str, str])
    timeout: float = 10
    redirects: int = 3
    size: int = 20 * MEBI
    pixels: int = 40_000_000
    count: int = 20
    queue: int = 256
    seen: int = 64 * MEBI
    tokens: int = 1280
    proxy: str = ""


@dataclass(slots=True)
class Config:
    server: Server = field(default_factory=Server)
    engine: Engine = field(default_factory=Engine)
    images: Images = field(default_factory=Images)
    store: Store = field(default_factory=Store)
    router: Router = field(default_factory=Router)
    ledger: Ledger = field(default_factory=Ledger)
    providers: dict[str, Provider] = field(default_factory=dict[str, Provider])
