from pathlib import Path

import pytest

from tertulia import config
from tertulia.errors import ConfigError


def load(home: Path, flags: dict[str, object] | None = None, **environ: str) -> config.Config:
    return config.load(None, flags, {"HOME": str(home), **environ})


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert (found.server.host, found.server.port, found.server.open) == ("127.0.0.1", 8080, False)
    assert (found.engine.kv, found.engine.fold_messages) == (1 << 30, True)
    assert found.server.body_limit == 64 << 20
    assert found.store.path == tmp_path / ".local/share/tertulia/models"
    assert (found.store.hub, found.store.hub_token) == ("https://huggingface.co", "")


def test_homes_and_the_hubs_own_variables(tmp_path: Path) -> None:
    found = load(tmp_path, XDG_DATA_HOME="/data", HF_ENDPOINT="http://mirror", HF_TOKEN="hf_x")
    assert found.store.path == Path("/data/tertulia/models")
    assert (found.store.hub, found.store.hub_token) == ("http://mirror", "hf_x")


def test_the_file_is_found_where_xdg_says(tmp_path: Path) -> None:
    (tmp_path / "tertulia").mkdir()
    write(tmp_path / "tertulia", "[server]\nport = 8081\n")
    assert load(tmp_path, XDG_CONFIG_HOME=str(tmp_path)).server.port == 8081


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[server]\nport = 1\nhost = "a"\n[engine]\nthreads = 3\n')
    environ = {"TERTULIA_SERVER_PORT": "2", "TERTULIA_SERVER_HOST": "b"}
    found = config.load(file, {"server.port": "3", "server.host": None}, environ)
    assert (found.server.port, found.server.host, found.engine.threads) == (3, "b", 3)


@pytest.mark.parametrize(
    ("flag", "said", "read"),
    [
        ("engine.kv", "512M", 512 << 20),
        ("engine.kv", "1.5g", 3 << 29),
        ("server.body_limit", "64k", 64 << 10),
        ("engine.queue", 7, 7),
        ("engine.queue_timeout", "2.5", 2.5),
        ("server.open", "true", True),
        ("server.open", "0", False),
        ("engine.fold_messages", "false", False),
        ("server.cors", "http://a, http://b", ["http://a", "http://b"]),
        ("engine.model", ["x", "y"], ["x", "y"]),
        ("server.tokens_file", "/t", Path("/t")),
    ],
)
def test_values_as_people_write_them(tmp_path: Path, flag: str, said: object, read: object) -> None:
    table, name = flag.split(".")
    assert getattr(getattr(load(tmp_path, {flag: said}), table), name) == read


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[servr]\n", "unknown table [servr]; did you mean server?"),
        ("[server]\nprot = 1\n", "unknown name prot in [server]; did you mean port?"),
        ("[server]\nzzz = 1\n", "unknown name zzz in [server]; known are host, port"),
        ("server = 1\n", "[server] is a table, not a value"),
        ('[server]\nport = "x"\n', "port in [server]: 'x' is not a whole number"),
        ("[server]\nport = true\n", "port in [server]: True is not a whole number"),
        ("[server]\nport = 1.5\n", "port in [server]: 1.5 is not a whole number"),
        ('[server]\nopen = "maybe"\n', "open in [server]: 'maybe' is not true or false"),
        ("[server]\nhost = 1\n", "host in [server]: 1 is not a word"),
        ("[server\n", "config.toml: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text), environ={})
    assert told in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_what_is_wrong_elsewhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TERTULIA_SERVER_PORT: 'x' is not a whole number"):
        load(tmp_path, TERTULIA_SERVER_PORT="x")
    with pytest.raises(ConfigError, match="--first-token-timeout: 'x' is not a number"):
        load(tmp_path, {"server.first_token_timeout": "x"})


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such configuration file"):
        config.load(tmp_path / "none.toml", environ={})


def test_tokens_and_what_a_child_may_know(tmp_path: Path) -> None:
    assert load(tmp_path, TERTULIA_TOKENS="a, b,").server.tokens == ["a", "b"]
    ours = {"TERTULIA_TOKENS": "a", "HF_TOKEN": "b", "PATH": "/bin"}
    assert config.child_environment(environ=ours) == {"PATH": "/bin"}


def test_a_child_is_configured_as_we_are(tmp_path: Path) -> None:
    ours = config.load(flags={"engine.kv": "2G", "engine.exact": True, "engine.queue_timeout": 1.5}, environ={})
    ours.store.path = tmp_path
    its = config.load(environ=config.child_environment(ours, {"TERTULIA_TOKENS": "a"}))
    assert (its.engine, its.store.path, its.server.tokens) == (ours.engine, tmp_path, [])


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("server.port", 99_999),
        ("server.port", -1),
        ("engine.batch", 0),
        ("engine.queue", -1),
        ("engine.context", -5),
        ("engine.threads", -1),
        ("engine.kv", "10K"),
        ("engine.kv", "infG"),
        ("engine.weights", "zzz"),
        ("engine.fold_messages", "sometimes"),
        ("server.idle_timeout", -1),
    ],
)
def test_a_value_out_of_bounds_is_refused(tmp_path: Path, flag: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"--{flag.partition('.')[2].replace('_', '-')}"):
        load(tmp_path, {flag: value})


def test_tokens_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no token"):
        load(tmp_path, TERTULIA_TOKENS=" , ")


def test_a_child_reads_no_file_and_leaves_the_time_to_us(tmp_path: Path) -> None:
    (tmp_path / ".config" / "tertulia").mkdir(parents=True)
    (tmp_path / ".config" / "tertulia" / "config.toml").write_text("[engine]\nkv = 'broken'")
    ours = config.load(flags={"server.body_limit": "128M"}, environ={})
    its = config.load(environ=config.child_environment(ours, {"HOME": str(tmp_path)}))
    assert its.server.first_token_timeout == its.server.idle_timeout == 0
    assert its.server.body_limit >= ours.server.body_limit


def test_a_models_format_is_named_for_that_model_alone() -> None:
    chosen = config.load(flags={"engine.formats": ["a/b=hermes", "c=llama-3"]}, environ={}).engine
    assert (chosen.format_of("a/b"), chosen.format_of("c"), chosen.format_of("d")) == ("hermes", "llama-3", "")


def test_a_child_is_told_of_the_formats() -> None:
    told = config.child_environment(config.load(flags={"engine.formats": ["a/b=hermes", "c=llama-3"]}, environ={}), {})
    assert config.load(environ=told).engine.formats == ["a/b=hermes", "c=llama-3"]


def test_pictures_are_bounded_and_a_child_knows_the_bounds(tmp_path: Path) -> None:
    text = """
    [images]
    hosts = ["intranet.example", "[::1]"]
    timeout = 2.5
    pixels = "1M"
    [images.mirror]
    "https://cdn.example/a=b,c/" = "/srv/pictures/"
    "https://other.example/" = "http://10.0.0.1/copy/"
    """
    ours = config.load(write(tmp_path, text), environ={"TERTULIA_IMAGES_SIZE": "5M"})
    assert (ours.images.hosts, ours.images.size, ours.images.pixels) == (
        ["intranet.example", "[::1]"],
        5 << 20,
        1 << 20,
    )
    assert ours.images.mirror["https://cdn.example/a=b,c/"] == "/srv/pictures/"
    assert config.load(environ=config.child_environment(ours, {})).images == ours.images
    usual = config.load(environ={}).images
    assert config.load(environ=config.child_environment(config.Config(), {})).images == usual
    assert (usual.timeout, usual.redirects, usual.count, usual.proxy) == (10, 3, 20, "")
    assert (usual.seen, usual.queue, usual.tokens) == (64 << 20, 256, 1280)
    with pytest.raises(ConfigError, match="at least 200"):
        config.load(environ={"TERTULIA_IMAGES_TOKENS": "199"})


def test_what_is_kept_of_pictures_is_said_in_the_same_word_everywhere(tmp_path: Path) -> None:
    file, variable = write(tmp_path, '[images]\nseen = "1M"'), {"TERTULIA_IMAGES_SEEN": "2M"}
    assert config.load(file, environ={}).images.seen == 1 << 20
    assert config.load(file, environ=variable).images.seen == 2 << 20
    assert config.load(file, {"images.seen": "3M"}, variable).images.seen == 3 << 20


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ('[images.mirror]\n"cdn.example" = "/srv"', "'cdn.example' is not the beginning of a URL"),
        ('[images.mirror]\n"https://cdn.example/" = "srv"', "'srv' is neither a whole path"),
        ('[images]\nproxy = "socks5://x"', "'socks5://x' is not an address"),
        ("[images]\nredirects = 99", "between 0 and 20"),
        ('[images]\nmirror = "{"', "not a list of words"),
    ],
)
def test_what_could_never_be_fetched_is_refused_at_the_start(tmp_path: Path, entries: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config.load(write(tmp_path, entries), environ={})
