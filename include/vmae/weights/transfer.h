#pragma once
// From pretrained weights to a downstream model: which keys move,
// which stay random, which are left behind (method.md, "Fine-tuning").
#include "vmae/weights/weights.h"

namespace vmae::weights {

// Who named the keys. A file's convention also tells how its model was computed (is_imagenet_swin).
enum class Naming {
  reference,    // ours and the Python reference's: layers.0.blocks.0..., layers.0.downsample...
  microsoft,    // the same names, with attn_mask buffers, `norm` and `head` (also RadImageNet's and old timm's files)
  timm,         // layers.1.downsample belongs to what is layers.0 here; head.fc
  torchvision,  // features.1.0.attn..., features.2.reduction
  transformers  // Hugging Face's: encoder.layers.0.blocks.0.attention.self.query..., classifier
};
std::string name_of(Naming naming);

// True for weights that were trained without the shift on small
// grids and with a LayerNorm epsilon of 1e-5: all but `reference`.
bool is_imagenet_swin(Naming naming);

// Whether a key is of what only a fine-tuned model has: last norm, joins of skips, the way back to pixels, head.
bool is_of_task(const std::string& key);

// Finds the naming and renames every key to the reference's; query, key and value become qkv.
Naming rename_to_reference(TensorFile& file);

// Whether a renamed file says how its model was computed: by its naming, its metadata, or
// parts that only a VISION-MAE has. Microsoft's names without attn_mask are ours as well.
bool tells_its_program(const TensorFile& file, Naming naming);

// The first convolution to another number of input channels: 1 -> n: the weight over n, n
// times (grey that is repeated gives the same output); n -> 1: the sum (the same for grey
// input). Other changes are left alone, and will not fit. True if something was changed.
bool fit_input_channels(TensorFile& file, int64_t in_channels);

bool has_decoder(const TensorFile& file);

enum class Parts { encoder, encoder_decoder };

// load_into() with rules: what only pretraining has (mask token, projection head, ...), and with Parts::encoder the
// decoder, are dropped; heads load only if they fit. Unexpected are: entries of another shape other than heads; new
// entries other than a head, norm, skip connection, final expansion, blocks behind the last one that the file has in a
// stage, and a decoder that is not wanted or that the file does not have at all; and dropped entries of the parts that
// are wanted. Throws Error(checkpoint) naming the first few unexpected ones, unless allow_mismatch; always if nothing
// of the encoder fits.
LoadReport transfer_into(torch::nn::Module& module, TensorFile file, Parts parts, bool allow_mismatch,
                         const std::filesystem::path& path);

// "220 loaded, 122 new, 4 dropped", then one line each for the new
// and the dropped keys, blocks together: "layers.2.blocks.2 (14)". The
// counts have all entries, the lines only those that are trained.
std::string describe_report(const LoadReport& report);

}  // namespace vmae::weights
