// NRRD and MetaImage are written here, not by ITK: its writers take a file name, so a full disk goes unnoticed
// (MetaIO) or leaves half a file, and the text of their headers is short. Numbers are written with all their digits.
#include "vmae/cases/write_labels.h"

#include <array>
#include <cstdio>
#include <string>

#include "deflate_file.h"
#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/image/picture.h"
#include "vmae/image/picture_decode.h"
#include "vmae/volume/nifti_header.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

struct MapType {
  NiftiMap nifti;
  const char *nrrd, *meta;
};
constexpr MapType kLabels{{2, 8, 1002, "vmae label map"}, "uint8", "MET_UCHAR"};
constexpr MapType kFloats{{16, 32, 0, "vmae map"}, "float", "MET_FLOAT"};

bool ends_with(const fs::path& path, std::string_view ending) {
  return to_lower(path.filename().string()).ends_with(ending);
}
bool is_nifti(const fs::path& path) { return ends_with(path, ".nii") || ends_with(path, ".nii.gz"); }

// "a b c" or "a,b,c".
template <class Numbers>
std::string list(const Numbers& numbers, char separator) {
  std::string text;
  for (const auto number : numbers)
    text += (text.empty() ? "" : std::string(1, separator)) + number_text(static_cast<double>(number));
  return text;
}

// The step from one voxel to the next along an axis.
std::array<double, 3> axis_of(const Volume& image, size_t axis, double length) {
  return {image.direction[axis] * length, image.direction[3 + axis] * length, image.direction[6 + axis] * length};
}

void write_nifti(const fs::path& output, const SourceFile& file, const Volume& image, std::span<const std::byte> bytes,
                 const NiftiMap& map) {
  const bool was_nifti = file.prepared_case < 0 && is_nifti(file.path);
  const std::string header = nifti_map_header(was_nifti ? file.path : fs::path(), image, map);
  AtomicFile out(output);
  if (ends_with(output, ".gz")) {
    DeflateFile compressed(out, DeflateFile::Wrapper::gzip);
    compressed.write(header.data(), header.size());
    compressed.write(bytes.data(), bytes.size());
    compressed.finish();
  } else {
    out.write(header);
    out.write(bytes.data(), bytes.size());
  }
  out.commit();
}

void write_nrrd(const fs::path& output, const Volume& image, std::span<const std::byte> bytes, const char* type) {
  std::string header =
      concat("NRRD0004\ntype: ", type, "\ndimension: 3\nspace: left-posterior-superior\nsizes: ", list(image.size, ' '),
             "\nspace directions:");
  for (size_t axis = 0; axis < 3; ++axis)
    header += concat(" (", list(axis_of(image, axis, image.spacing_mm[axis]), ','), ")");
  header += concat("\nkinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: (",
                   list(image.origin_mm, ','), ")\n\n");
  AtomicFile out(output);
  out.write(header);
  DeflateFile compressed(out, DeflateFile::Wrapper::gzip);
  compressed.write(bytes.data(), bytes.size());
  compressed.finish();
  out.commit();
}

void write_meta(const fs::path& output, const Volume& image, std::span<const std::byte> bytes, const char* type) {
  std::string header =
      "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = "
      "True\nCompressedDataSize = ";
  const size_t size_at = header.size();
  header += "000000000000000\nTransformMatrix =";
  for (size_t axis = 0; axis < 3; ++axis) header += " " + list(axis_of(image, axis, 1), ' ');
  header += concat("\nOffset = ", list(image.origin_mm, ' '),
                   "\nCenterOfRotation = 0 0 0\nElementSpacing = ", list(image.spacing_mm, ' '),
                   "\nDimSize = ", list(image.size, ' '), "\nElementType = ", type, "\nElementDataFile = LOCAL\n");
  AtomicFile out(output);
  out.write(header);
  DeflateFile compressed(out, DeflateFile::Wrapper::zlib);
  compressed.write(bytes.data(), bytes.size());
  std::array<char, 16> digits;
  std::snprintf(digits.data(), digits.size(), "%015zu", compressed.finish());
  out.write_at(size_at, digits.data(), 15);
  out.commit();
}

void write_map(const fs::path& output, const SourceFile& file, const Volume& image, std::span<const std::byte> bytes,
               const MapType& type) {
  const auto expected = static_cast<size_t>(image.size[0] * image.size[1] * image.size[2] * type.nifti.bits / 8);
  if (bytes.size() != expected)
    throw Error(ExitCode::internal, concat("a map of ", bytes.size(), " bytes for an image that needs ", expected));
  if (is_nifti(output)) return write_nifti(output, file, image, bytes, type.nifti);
  if (ends_with(output, ".nrrd")) return write_nrrd(output, image, bytes, type.nrrd);
  if (ends_with(output, ".mha")) return write_meta(output, image, bytes, type.meta);
  throw Error(ExitCode::usage, concat(output.string(), ": maps are not written in this format"),
              "known are .nii, .nii.gz, .nrrd, .mha");
}

}  // namespace

void write_label_volume(const fs::path& output, const SourceFile& file, const Volume& image,
                        std::span<const uint8_t> labels) {
  write_map(output, file, image, std::as_bytes(labels), kLabels);
}

void write_float_volume(const fs::path& output, const SourceFile& file, const Volume& image,
                        std::span<const float> values) {
  write_map(output, file, image, std::as_bytes(values), kFloats);
}

namespace {

void write_stack(const fs::path& output, const std::array<int64_t, 3>& size,
                 const std::optional<std::array<double, 3>>& spacing_mm, StoredType type,
                 std::span<const std::byte> bytes) {
  const auto expected = static_cast<size_t>(size[0] * size[1] * size[2]) * size_of(type);
  if (bytes.size() != expected)
    throw Error(ExitCode::internal, concat("a stack of ", bytes.size(), " bytes for an image that needs ", expected));
  write_file_atomically(output, encode_tiff(size, type, bytes.data(), spacing_mm.value_or(std::array<double, 3>{})));
}

}  // namespace

void write_label_stack(const fs::path& output, const std::array<int64_t, 3>& size,
                       const std::optional<std::array<double, 3>>& spacing_mm, std::span<const uint8_t> labels) {
  write_stack(output, size, spacing_mm, StoredType::u8, std::as_bytes(labels));
}

void write_float_stack(const fs::path& output, const std::array<int64_t, 3>& size,
                       const std::optional<std::array<double, 3>>& spacing_mm, std::span<const float> values) {
  write_stack(output, size, spacing_mm, StoredType::f32, std::as_bytes(values));
}

void write_label_png(const fs::path& output, int64_t height, int64_t width, std::span<const uint8_t> labels) {
  if (static_cast<int64_t>(labels.size()) != height * width)
    throw Error(ExitCode::internal, concat(labels.size(), " labels for a picture of ", height, " x ", width));
  write_file_atomically(output, encode_png({height, width, 1, {labels.begin(), labels.end()}, 255}));
}

}  // namespace vmae::io
