# SPDX-License-Identifier: Apache-2.0
"""The models of vmae in plain eager PyTorch, for going on in Python with weights that vmae trained: the masked autoencoder, SimCLR's encoder, the Swin-UNet, the classifier,
the plain U-Net, TransUNet.

The same functions as the C++ models (src/nn), with the same state-dict keys in the same order. Needs torch, and safetensors to read our files.
Shapes: B batch, H W token grid (one token = 4x4 pixels), C channels. Activations are BHWC.
"""
import argparse
import json
import pathlib
import zipfile

import torch
from torch import nn

from swin_layers import PATCH, PatchEmbed, PatchExpanding, PatchMerging, Stage, SwinBlock
from transunet_model import TransUNet

UNIT = 4         # tokens along the side of a masking unit
NOT_WEIGHTS = ("optimizer.", "state.")  # what a training checkpoint holds beside the weights


class SwinModel(nn.Module):
    """What the models share: a Swin encoder, a decoder that mirrors it, and reading weights.
    image_size is (height, width); forward takes any size from 32 x 32 on, the masked autoencoder multiples of 32."""
    size_multiple = 1

    def __init__(self, image_size=(224, 224), in_channels=3, embed_dim=96, depths=(2, 2, 2, 2), num_heads=(3, 6, 12, 24), window_size=7, mlp_ratio=4,
                 drop_path_rate=0.1, shift_small_grids=True, layer_norm_eps=1e-6):
        super().__init__()
        self.image_size, self.in_channels, self.embed_dim, self.eps = tuple(image_size), in_channels, embed_dim, layer_norm_eps
        self.depths, self.last = depths, len(depths) - 1
        self.num_features = embed_dim * 2**self.last
        rates = torch.linspace(0, drop_path_rate, sum(depths)).split(list(depths))

        def blocks(i):  # of encoder stage i, and of its mirror in the decoder
            return [SwinBlock(embed_dim * 2**i, num_heads[i], j % 2 == 1, rates[i][j].item(), window_size, mlp_ratio, shift_small_grids, self.eps)
                    for j in range(depths[i])]
        self.blocks_of = blocks

    def add_encoder(self):
        dim, eps, last = self.embed_dim, self.eps, self.last
        self.patch_embed = PatchEmbed(self.in_channels, dim, eps)
        self.layers = nn.Sequential(*(
            Stage(self.blocks_of(i), downsample=PatchMerging(dim * 2**i, eps) if i < last else None) for i in range(last + 1)))

    def add_decoder(self):
        dim, eps = self.embed_dim, self.eps
        self.first_patch_expanding = PatchExpanding(self.num_features, eps)
        self.layers_up = nn.Sequential(*(
            Stage(self.blocks_of(i), upsample=PatchExpanding(dim * 2**i, eps) if i > 0 else None) for i in reversed(range(self.last))))

    def init_linear(self, init_weight):
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_weight(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def stem(self, image):
        """The features of the convolutions beside the patch embedding, where the model has them, else []."""
        return self.conv_stem(image) if hasattr(self, "conv_stem") else []

    def embed(self, image, stem=()):
        """image (B, in_channels, height, width), and what stem() gives of it -> tokens (B, height/4, width/4, embed_dim), rounded up."""
        if any(side < 32 or side % self.size_multiple for side in image.shape[2:]):
            what = "multiples of 32" if self.size_multiple == 32 else "at least 32"
            raise ValueError(f"image size {tuple(image.shape[2:])}: height and width must be {what}")
        tokens = self.patch_embed(image)
        return tokens + self.conv_stem.proj(stem[-1]).permute(0, 2, 3, 1) if stem else tokens

    def encode(self, image):
        """image (B, in_channels, height, width) -> features (B, height/32, width/32, 8 * embed_dim), rounded up, nothing masked."""
        return self.layers(self.embed(image, self.stem(image)))

    def load_weights(self, path, allow_other_keys=False):
        """Loads a .safetensors or .pth file, or the best weights of a run folder. Every weight of the model must be there with its shape; a key that the model
        does not have is an error (RuntimeError) unless allow_other_keys."""
        weights, _ = read_weights(path)
        if allow_other_keys:
            weights = {k: v for k, v in weights.items() if k in self.state_dict()}
        self.load_state_dict(weights)


def sin_cos_position(H, W, dim):
    """(1, H * W, dim): [sin, cos](column * f), [sin, cos](row * f), f = 10000^(-k / (dim/4)). Only stored, never added."""
    frequency = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row, column = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    x, y = (p.reshape(-1, 1) * frequency for p in (column, row))
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1).float().unsqueeze(0)


class SwinMAE(SwinModel):
    """The masked autoencoder. image_size fixes only the stored pos_embed."""
    size_multiple = 32

    def __init__(self, mask_ratio=0.75, norm_pix_loss=False, **swin):
        super().__init__(**swin)
        self.mask_ratio, self.norm_pix_loss = mask_ratio, norm_pix_loss
        H, W = self.image_size[0] // PATCH, self.image_size[1] // PATCH
        self.pos_embed = nn.Parameter(sin_cos_position(H, W, self.embed_dim), requires_grad=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dim))
        self.add_encoder()
        self.add_decoder()
        self.norm_up = nn.LayerNorm(self.embed_dim, eps=self.eps)
        self.decoder_pred = nn.Linear(self.embed_dim, PATCH * PATCH * self.in_channels)

        nn.init.normal_(self.mask_token, std=0.02)
        self.init_linear(nn.init.xavier_uniform_)

    def patchify(self, image):
        """(B, C, 4H, 4W) -> (B, H * W, 4 * 4 * C), channel fastest."""
        B, C, height, width = image.shape
        x = image.view(B, C, height // PATCH, PATCH, width // PATCH, PATCH)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(B, -1, PATCH * PATCH * C)

    def make_mask(self, noise, H, W):
        """noise (B, units), units in row-major order -> (B, H, W) bool, true = masked. The units with the smallest noise are kept."""
        B, units = noise.shape
        kept = noise.argsort(dim=1)[:, :int(units * (1 - self.mask_ratio))]
        mask = torch.ones(B, units, dtype=torch.bool, device=noise.device).scatter_(1, kept, False)
        return mask.view(B, H // UNIT, W // UNIT).repeat_interleave(UNIT, 1).repeat_interleave(UNIT, 2)

    def forward(self, image, noise=None):
        """Returns loss (scalar), pred (B, H * W, 16 * in_channels) and mask (B, H * W), 1 = masked.
        noise: (B, H * W / 16) uniform numbers whose order decides what is masked; drawn here if None."""
        tokens = self.embed(image)                                        # (B, H, W, C)
        B, H, W, _ = tokens.shape
        if noise is None:
            noise = torch.rand(B, H * W // UNIT**2, device=image.device)
        hidden = self.make_mask(noise, H, W)
        x = self.layers(torch.where(hidden.unsqueeze(-1), self.mask_token, tokens))  # (B, H/8, W/8, 8C)
        x = self.layers_up(self.first_patch_expanding(x))                 # (B, H, W, C)
        pred = self.decoder_pred(self.norm_up(x)).flatten(1, 2)           # (B, H * W, 16 * in_channels)
        mask = hidden.flatten(1).float()
        return self.loss(image, pred, mask), pred, mask

    def loss(self, image, pred, mask):
        """Mean squared error of a patch, averaged over the masked patches."""
        target = self.patchify(image)
        if self.norm_pix_loss:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        error = ((pred - target) ** 2).mean(-1)
        return (error * mask).sum() / mask.sum()


class ConvBlock(nn.Module):
    """Twice: 3 x 3 convolution, instance norm, leaky ReLU. BCHW."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.convs = nn.ModuleList((nn.Conv2d(in_channels, out_channels, 3, stride, 1), nn.Conv2d(out_channels, out_channels, 3, 1, 1)))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(out_channels, affine=True) for _ in range(2))

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = nn.functional.leaky_relu(norm(conv(x)), 0.01)
        return x


class UNet(nn.Module):
    """Segmentation: a plain U-Net of convolutions. Of the options only in_channels, features and num_classes matter to it."""

    def __init__(self, num_classes=2, in_channels=3, features=(32, 64, 128, 256, 512), **others):
        super().__init__()
        steps = list(zip(features, features[1:]))
        self.encoder = nn.ModuleList([ConvBlock(in_channels, features[0])] + [ConvBlock(a, b, stride=2) for a, b in steps])
        self.upsamplings = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(steps))
        self.decoder = nn.ModuleList(ConvBlock(2 * a, a) for a, _ in reversed(steps))
        self.head = nn.Conv2d(features[0], num_classes, 1)

    load_weights = SwinModel.load_weights

    def forward(self, image):
        """image (B, in_channels, height, width) -> logits (B, num_classes, height, width)."""
        height, width = image.shape[2:]
        multiple = 2 ** len(self.decoder)
        x, skips = nn.functional.pad(image, (0, -width % multiple, 0, -height % multiple)), []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        for up, block, skip in zip(self.upsamplings, self.decoder, reversed(skips[:-1])):
            x = block(torch.cat([up(x), skip], dim=1))
        return self.head(x)[:, :, :height, :width]


TransUNet.load_weights = SwinModel.load_weights


class ConvStem(nn.Module):
    """Beside the patch embedding: convolutions of the image at full, half and quarter resolution. BCHW."""

    def __init__(self, in_channels, token_channels):
        super().__init__()
        fine = stem_channels(token_channels)
        self.blocks = nn.ModuleList((ConvBlock(in_channels, fine), ConvBlock(fine, 2 * fine, stride=2), ConvBlock(2 * fine, 4 * fine, stride=2)))
        self.proj = nn.Conv2d(4 * fine, token_channels, 1)  # what is added to the tokens
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, image):
        features = []
        for block in self.blocks:
            image = block(image)
            features.append(image)
        return features


def stem_channels(token_channels):
    return min(max(token_channels // 2, 4), 32)


class PixelDecoder(nn.Module):
    """From tokens to pixels in two steps, each joined with the stem's features at that resolution. BCHW."""

    def __init__(self, token_channels):
        super().__init__()
        fine = stem_channels(token_channels)
        self.upsamplings = nn.ModuleList((nn.ConvTranspose2d(token_channels, 2 * fine, 2, 2), nn.ConvTranspose2d(2 * fine, fine, 2, 2)))
        self.blocks = nn.ModuleList((ConvBlock(4 * fine, 2 * fine), ConvBlock(2 * fine, fine)))

    def forward(self, x, stem):
        for up, block, skip in zip(self.upsamplings, self.blocks, (stem[1], stem[0])):
            x = up(x)[:, :, :skip.shape[2], :skip.shape[3]]
            x = block(torch.cat([x, skip], dim=1))
        return x


class SwinUNet(SwinModel):
    """Segmentation: the encoder and decoder of the masked autoencoder, with a skip from each encoder stage to its mirror; conv_stem: and from convolutions of
    the image."""

    def __init__(self, num_classes=2, depths=(2, 2, 6, 2), conv_stem=False, features=None, identity_joins=False, **swin):
        super().__init__(depths=depths, **swin)
        self.add_encoder()
        self.add_decoder()
        dims = [self.embed_dim * 2**i for i in reversed(range(self.last))]  # of the decoder's stages
        self.skip_connection_layers = nn.ModuleList(nn.Conv2d(2 * dim, dim, 1) for dim in dims)
        self.norm_up = nn.LayerNorm(self.embed_dim, eps=self.eps)
        if conv_stem:
            self.conv_stem = ConvStem(self.in_channels, self.embed_dim)
            self.pixel_decoder = PixelDecoder(self.embed_dim)
            self.head = nn.Conv2d(stem_channels(self.embed_dim), num_classes, 1, bias=False)
        else:
            self.final_patch_expanding = PatchExpanding(self.embed_dim, self.eps, side=4, out_dim=self.embed_dim)
            self.head = nn.Conv2d(self.embed_dim, num_classes, 1, bias=False)
        self.init_linear(lambda weight: nn.init.trunc_normal_(weight, std=0.02))
        if identity_joins:
            for join in self.skip_connection_layers:
                nn.init.dirac_(join.weight)  # the decoder's channels, and none of the encoder's
                nn.init.zeros_(join.bias)

    def forward(self, image):
        """image (B, in_channels, height, width) -> logits (B, num_classes, height, width)."""
        stem, skips = self.stem(image), []
        x = self.embed(image, stem)
        for stage in self.layers:
            skips.append(x)                                               # what enters the stage
            x = stage(x)
        x = self.first_patch_expanding(x)
        for join, stage, skip in zip(self.skip_connection_layers, self.layers_up, reversed(skips[:-1])):
            x = x[:, :skip.shape[1], :skip.shape[2]]                      # an odd grid was rounded up on its way down
            x = torch.cat([x, skip], dim=-1)                              # the decoder's channels first
            x = stage(join(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        x = self.norm_up(x)
        if stem:
            return self.head(self.pixel_decoder(x.permute(0, 3, 1, 2), stem))
        x = self.final_patch_expanding(x)                                 # (B, height, width, C), rounded up to multiples of 4
        return self.head(x.permute(0, 3, 1, 2))[:, :, :image.shape[2], :image.shape[3]]


class SwinClassifier(SwinModel):
    """Classification: the encoder, LayerNorm, mean over the grid, a linear head."""

    def __init__(self, num_classes=2, depths=(2, 2, 6, 2), conv_stem=False, **swin):
        super().__init__(depths=depths, **swin)
        self.add_encoder()
        if conv_stem:
            self.conv_stem = ConvStem(self.in_channels, self.embed_dim)
        self.norm = nn.LayerNorm(self.num_features, eps=self.eps)
        self.head = nn.Linear(self.num_features, num_classes)
        self.init_linear(lambda weight: nn.init.trunc_normal_(weight, std=0.02))

    def forward(self, image):
        """image (B, in_channels, height, width) -> logits (B, num_classes)."""
        return self.head(self.norm(self.encode(image)).mean(dim=(1, 2)))


class ProjectionLayer(nn.Module):
    def __init__(self, n_in, n_out, is_last):
        super().__init__()
        self.linear, self.norm = nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out, track_running_stats=False)
        if is_last:
            self.norm.register_parameter("bias", None)

    def forward(self, x):
        return self.norm(self.linear(x))


class SwinSimCLR(SwinModel):
    """Contrastive pretraining: the encoder, LayerNorm, mean over the grid, and the projection head, whose batch norm takes the statistics of the rows that it is given."""

    def __init__(self, projection_dim=128, projection_layers=3, temperature=0.1, **swin):
        super().__init__(**swin)
        self.temperature = temperature
        self.add_encoder()
        self.norm = nn.LayerNorm(self.num_features, eps=self.eps)
        width = self.num_features
        self.projection = nn.Module()
        self.projection.layers = nn.ModuleList(ProjectionLayer(width, projection_dim if i + 1 == projection_layers else width, i + 1 == projection_layers)
                                               for i in range(projection_layers))
        self.init_linear(nn.init.xavier_uniform_)

    def forward(self, image):
        """image (N, in_channels, height, width) -> features (N, dim), projections (N, projection_dim)."""
        features = self.norm(self.encode(image)).mean(dim=(1, 2))
        x = features
        for i, layer in enumerate(self.projection.layers):
            x = layer(x.relu() if i else x)
        return features, x

    def loss(self, a, b):
        """NT-Xent of the projections of two views (N, projection_dim): the mean over one view plus the mean over the other."""
        rows = nn.functional.normalize(torch.cat([a, b]).float())
        similarity = (rows @ rows.t() / self.temperature).fill_diagonal_(float("-inf"))
        own = torch.arange(len(a))
        return 2 * nn.functional.cross_entropy(similarity, torch.cat([own + len(a), own]))


MODELS = {"mae": SwinMAE, "simclr": SwinSimCLR, "swin-unet": SwinUNet, "unet": UNet, "transunet": TransUNet, "swin-classifier": SwinClassifier}  # as vmae names them
HEADS = {"transunet": "segmentation_head.0.weight"}  # whose first dimension is the number of classes; else head.weight
# Options of TransUNet alone, which files of all segmenters list.
OF_TRANSUNET = ("vit_width", "vit_layers", "vit_heads", "vit_mlp", "dropout", "stem_units", "stem_width", "decoder_channels")
OF_NNUNET = ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage", "n_conv_per_stage_decoder", "conv_bias")  # of no model here


def read_weights(path):
    """-> ({key: tensor}, metadata), of our safetensors and .pth files, of a run folder (its best weights), or of another program's .pth: a dict of
    tensors, or one under "model". The metadata of our files says which "model" it is and its "model_options"; that of other programs is empty."""
    path = weights_file(path)
    if str(path).endswith(".safetensors"):
        from safetensors import safe_open
        with safe_open(str(path), "pt") as file:
            weights = {k: file.get_tensor(k) for k in file.keys() if not k.startswith(NOT_WEIGHTS)}
            metadata = file.metadata() or {}
        return weights, {**metadata, "model_options": json.loads(metadata.get("model_options", "{}"))}
    with torch.serialization.safe_globals([argparse.Namespace]):  # the usual "args" of a checkpoint; holds only attributes
        content = torch.load(path, map_location="cpu", weights_only=True)
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise ValueError(f"{path}: expected a dict of tensors, or a dict with one under 'model'")
    return dict(weights), pth_metadata(path)


def weights_file(path):
    """Of a run folder, or a folder of one fold, its best weights (or, without validation, its last); a file is itself."""
    path = pathlib.Path(path)
    if not path.is_dir():
        return path
    folds = sorted(path.glob("fold_*/checkpoints"))
    folder = path / "checkpoints"
    if not folder.is_dir() and len(folds) > 1:
        raise ValueError(f"{path} holds {len(folds)} folds: name one of them, such as {folds[0].parent}")
    if not folder.is_dir() and folds:
        folder = folds[0]
    for name in ("best.safetensors", "last.safetensors"):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{path}: a folder without checkpoints/best.safetensors or last.safetensors")


def pth_metadata(path):
    """What `vmae export` writes beside the weights; {} of other programs' files."""
    if not zipfile.is_zipfile(path):
        return {}
    with zipfile.ZipFile(path) as archive:
        records = [name for name in archive.namelist() if name.split("/", 1)[-1] == "vmae.json"]
        metadata = json.loads(archive.read(records[0])) if records else {}
    return {**metadata, "model_options": json.loads(metadata.get("model_options", "{}"))} if metadata else {}


def model_name(weights, metadata):
    """What the file says, else what its keys are those of."""
    if HEADS["transunet"] in weights:
        return "transunet"
    by_keys = "swin-unet" if "skip_connection_layers.0.weight" in weights else "mae" if "decoder_pred.weight" in weights else "swin-classifier"
    return metadata.get("model", by_keys)


def load_model(path, **options):
    """The model that a file holds, in eval mode. Our files say how it was built; for a .pth of another program give what
    differs from the defaults."""
    weights, metadata = read_weights(path)
    name = model_name(weights, metadata)
    if name not in MODELS:
        raise ValueError(f"{path}: model '{name}' is none of {', '.join(MODELS)}")
    outputs = {} if name in ("mae", "simclr") else {"num_classes": len(weights[HEADS.get(name, "head.weight")])}
    others = OF_NNUNET if name == "transunet" else OF_TRANSUNET + OF_NNUNET
    own = {key: value for key, value in metadata.get("model_options", {}).items() if key not in others}
    built = MODELS[name](**{**own, **outputs, **options})
    built.load_weights(path)
    return built.eval()
