#pragma once
// One open DICOM file: its data set and values of its header. DCMTK
// prints nothing and its codecs are registered once, whatever thread comes first.
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

class DcmFileFormat;
class DcmItem;
class DcmTagKey;

namespace vmae::io {

struct DicomFile {
  std::filesystem::path path;
  std::shared_ptr<DcmFileFormat> format;
  std::string transfer_syntax;  // UID as the file says; what DCMTK found if it says none

  DcmItem& data() const;
};

// Long values (pixel data) stay in the file until they are asked for. Throws Error(data).
DicomFile open_dicom(const std::filesystem::path& path);

// What an error says of the file, without its path.
std::string reason_of(const std::exception& error, const std::filesystem::path& path);

// "" or empty where the tag is absent or no number. Several values of a text stay joined by backslashes.
std::string text_of(DcmItem& item, const DcmTagKey& tag);
std::vector<double> numbers_of(DcmItem& item, const DcmTagKey& tag);
std::optional<double> number_of(DcmItem& item, const DcmTagKey& tag);
template <size_t N>
std::optional<std::array<double, N>> array_of(DcmItem& item, const DcmTagKey& tag) {
  const std::vector<double> numbers = numbers_of(item, tag);
  if (numbers.size() != N) return {};
  std::array<double, N> result;
  for (size_t i = 0; i < N; ++i) result[i] = numbers[i];
  return result;
}

// Item `index` of a sequence, or null.
DcmItem* item_of(DcmItem& item, const DcmTagKey& sequence, size_t index = 0);
size_t num_items(DcmItem& item, const DcmTagKey& sequence);
// All of them: DCMTK walks from the first to each that is asked for by number.
std::vector<DcmItem*> items_of(DcmItem& item, const DcmTagKey& sequence);

std::string name_of_uid(const std::string& uid);  // "JPEG Baseline (1.2.840...)": DCMTK's name, or the UID alone

}  // namespace vmae::io
