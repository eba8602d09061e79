"""The network, with the names and the arithmetic of transformers' Idefics3ForConditionalGeneration, so that its
tensors are saved as they are; and the aids that only training has.

transformers' own classes would do, but cost a third more time: here one pass over a picture serves all its
questions, the logits are only taken where an answer is learnt, and everything can be compiled.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from . import data, draw, tokens

VISION = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 6}
TEXT = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
FACTOR = 2
ROWS = 704
"""Rows of the vocabulary: the tokenizer's, up to a multiple of 32."""
THETA = 10000.0
EPS = 1e-5
AIDS = (len(draw.GLYPHS) + 1, 6, len(data.SHAPES) + 1, len(data.COLOURS) + 1)


def config() -> dict[str, object]:
    """config.json."""
    text = {
        **TEXT,
        "model_type": "llama",
        "num_key_value_heads": TEXT["num_attention_heads"],
        "head_dim": TEXT["hidden_size"] // TEXT["num_attention_heads"],
        "vocab_size": ROWS,
        "max_position_embeddings": 2048,
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": tokens.START,
        "eos_token_id": tokens.END,
        "pad_token_id": tokens.PAD,
    }
    vision = {
        **VISION,
        "model_type": "idefics3_vision",
        "image_size": data.SIDE,
        "patch_size": draw.PATCH,
        "num_channels": 3,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "attention_dropout": 0.0,
    }
    return {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "image_token_id": tokens.IMAGE,
        "scale_factor": FACTOR,
        "tie_word_embeddings": True,
        "bos_token_id": tokens.START,
        "eos_token_id": tokens.END,
        "pad_token_id": tokens.PAD,
        "text_config": text,
        "vision_config": vision,
    }


class Attention(nn.Module):
    """Attention of either half: with biases and no rope in the vision tower, the other way round in the text part."""

    def __init__(self, size: int, heads: int, bias: bool, out: str) -> None:
        super().__init__()
        self.heads, self.out = heads, out
        for name in ("q_proj", "k_proj", "v_proj", out):
            self.add_module(name, nn.Linear(size, size, bias=bias))

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None = None, mask: Tensor | None = None) -> Tensor:
        batch, length, size = x.shape
        q, k, v = (
            getattr(self, name)(x).view(batch, length, self.heads, -1).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        if rope is not None:
            q, k = turn(q, *rope), turn(k, *rope)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return getattr(self, self.out)(mixed.transpose(1, 2).reshape(batch, length, size))


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rope, halves rotated."""
    one, other = x.chunk(2, -1)
    return x * cos + torch.cat((-other, one), -1) * sin


def angles(positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
    speed = THETA ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    turned = positions[:, None, :, None].float() * speed
    turned = torch.cat((turned, turned), -1)
    return turned.cos(), turned.sin()


class VisionMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(VISION["hidden_size"], VISION["intermediate_size"])
        self.fc2 = nn.Linear(VISION["intermediate_size"], VISION["hidden_size"])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class VisionLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        size = VISION["hidden_size"]
        self.self_attn = Attention(size, VISION["num_attention_heads"], True, "out_proj")
        self.layer_norm1 = nn.LayerNorm(size, 1e-6)
        self.mlp = VisionMlp()
        self.layer_norm2 = nn.LayerNorm(size, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Vision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        size = VISION["hidden_size"]
        self.embeddings = nn.Module()
        self.embeddings.patch_embedding = nn.Conv2d(3, size, draw.PATCH, draw.PATCH)
        self.embeddings.position_embedding = nn.Embedding(draw.GRID**2, size)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VisionLayer() for _ in range(VISION["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(size, 1e-6)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        x = x + self.embeddings.position_embedding.weight
        for layer in self.encoder.layers:
            x = layer(x)
        return self.post_layernorm(x)


class Connector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.modality_projection = nn.Module()
        size = VISION["hidden_size"] * FACTOR**2
        self.modality_projection.proj = nn.Linear(size, TEXT["hidden_size"], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, size = x.shape
        part = draw.GRID // FACTOR
        x = x.view(batch, part, FACTOR, part, FACTOR, size).permute(0, 1, 3, 2, 4, 5)
        return self.modality_projection.proj(x.reshape(batch, part * part, -1))


class TextMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        size, wide = TEXT["hidden_size"], TEXT["intermediate_size"]
        self.gate_proj = nn.Linear(size, wide, bias=False)
        self.up_proj = nn.Linear(size, wide, bias=False)
        self.down_proj = nn.Linear(wide, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class TextLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        size = TEXT["hidden_size"]
        self.self_attn = Attention(size, TEXT["num_attention_heads"], False, "o_proj")
        self.mlp = TextMlp()
        self.input_layernorm = nn.RMSNorm(size, EPS)
        self.post_attention_layernorm = nn.RMSNorm(size, EPS)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rope, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(ROWS, TEXT["hidden_size"])
        self.layers = nn.ModuleList(TextLayer() for _ in range(TEXT["num_hidden_layers"]))
        self.norm = nn.RMSNorm(TEXT["hidden_size"], EPS)


class Sight(nn.Module):
    """`model` is what is exported; `aids` read glyph, place, shape and colour off each patch, and are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.vision_model = Vision()
        self.model.connector = Connector()
        self.model.text_model = Text()
        self.aids = nn.ModuleList(nn.Linear(VISION["hidden_size"], size) for size in AIDS)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02 if "embed" in name else weight[0].numel() ** -0.5)
            if name.endswith(("o_proj.weight", "out_proj.weight", "fc2.weight", "down_proj.weight")):
                nn.init.zeros_(weight)

    def see(self, pixels: Tensor) -> Tensor:
        """uint8 [n, SIDE, SIDE, 3] -> what the tower makes of each patch."""
        return self.model.vision_model(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1)

    def read(self, seen: Tensor, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Patches, put in as image tokens where ids say IMAGE -> hidden states after the last norm."""
        text = self.model.text_model
        images = self.model.connector(seen)
        x = text.embed_tokens(ids)
        x = x.masked_scatter((ids == tokens.IMAGE)[..., None], images.reshape(-1, images.shape[-1]))
        rope = angles(positions, TEXT["hidden_size"] // TEXT["num_attention_heads"])
        for layer in text.layers:
            x = layer(x, rope, mask)
        return text.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.model.text_model.embed_tokens.weight)


def visible(block: Tensor) -> Tensor:
    """[n, length] -> bool [n, 1, length, length]: before it, and of the head or of its own block."""
    length = block.shape[1]
    mine = (block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None])
    return (mine & torch.ones(length, length, dtype=torch.bool).tril())[:, None]


def answers(model: Sight, seen: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The logits of each token that is learnt, the tokens themselves, and the rows they stand in."""
    hidden = model.read(seen, batch["ids"], batch["positions"], visible(batch["block"]))
    where = batch["learn"][:, :-1] == 1
    rows = where.nonzero()[:, 0]
    return model.logits(hidden[:, :-1][where]), batch["ids"][:, 1:][where], rows


def aid(model: Sight, seen: Tensor, truth: Tensor) -> Tensor:
    """The summed losses of the aids; nothing at all counts a tenth, as most patches show nothing."""
    total = torch.zeros(())
    for row, head in enumerate(model.aids):
        weight = torch.ones(head.out_features)
        weight[0] = 0.1
        total = total + F.cross_entropy(head(seen).flatten(0, 1), truth[:, row].flatten(), weight)
    return total


@torch.no_grad()
def aided(model: Sight, batch: dict[str, Tensor]) -> list[float]:
    """The share of patches that show something of which each aid says what."""
    seen = model.see(batch["pixels"])
    shares = []
    for row, head in enumerate(model.aids):
        truth = batch["truth"][:, row].flatten(1)
        good = (head(seen).argmax(-1) == truth)[truth > 0]
        shares.append(round(float(good.float().mean()), 3))
    return shares


@torch.no_grad()
def right(model: Sight, batch: dict[str, Tensor]) -> Tensor:
    """[n] bool: the rows whose answer tokens are all the likeliest."""
    said, wanted, rows = answers(model, model.see(batch["pixels"]), batch)
    good = torch.ones(len(batch["ids"]), dtype=torch.bool)
    good[rows[said.argmax(-1) != wanted]] = False
    return good
