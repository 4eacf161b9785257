#pragma once
// DICOM files written with DCMTK for tests, and the committed ones.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcpixel.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djencode.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/images.h"
#include "support/source_path.h"

namespace vmae::test {

inline std::filesystem::path dicom_files() { return tests_folder() / "data" / "dicom"; }
inline std::filesystem::path sts001() { return tests_folder() / "data" / "sts001"; }
// Larger real images for development, beside the repository; absent in a clone.
inline std::filesystem::path shared_data() { return source_path("..") / "shared" / "data"; }

inline std::string decimals(const std::vector<double>& numbers) {
  std::string text;
  for (const double number : numbers) {
    std::array<char, 32> digits;
    std::snprintf(digits.data(), digits.size(), "%.10g", number);
    text += (text.empty() ? "" : "\\") + std::string(digits.data());
  }
  return text;
}

// A slice of 4 columns and 3 rows, 16 bit, unless changed. Every value is set as text, as DICOM's tools print it.
class DicomPhantom {
 public:
  DicomPhantom() {
    static int number = 0;
    set(DCM_SOPClassUID, UID_CTImageStorage)
        .set(DCM_SOPInstanceUID, "1.2.3.4." + std::to_string(++number))
        .set(DCM_SeriesInstanceUID, "1.2.3");
    set(DCM_Modality, "CT").set(DCM_SamplesPerPixel, "1").set(DCM_PhotometricInterpretation, "MONOCHROME2");
    format(16, 16, false).size(4, 3);
  }
  DcmItem& data() { return *file_.getDataset(); }
  DicomPhantom& set(const DcmTagKey& tag, const std::string& text) { return put(data(), tag, text); }
  static void put_in(DcmItem& item, const DcmTagKey& tag, const std::string& text) {
    if (item.putAndInsertString(tag, text.c_str()).bad())
      throw std::runtime_error("cannot set " + std::string(DcmTag(tag).getTagName()));
  }
  // Of VR "US or SS", which DCMTK does not take as text.
  DicomPhantom& set_word(const DcmTagKey& tag, uint16_t word) {
    data().putAndInsertUint16(DcmTag(tag.getGroup(), tag.getElement(), EVR_US), word);
    return *this;
  }
  DicomPhantom& remove(const DcmTagKey& tag) {
    data().findAndDeleteElement(tag);
    return *this;
  }
  DicomPhantom& format(int allocated, int stored, bool is_signed) {
    set(DCM_BitsAllocated, std::to_string(allocated))
        .set(DCM_BitsStored, std::to_string(stored))
        .set(DCM_HighBit, std::to_string(stored - 1));
    return set(DCM_PixelRepresentation, is_signed ? "1" : "0");
  }
  DicomPhantom& size(int columns, int rows) {
    return set(DCM_Columns, std::to_string(columns)).set(DCM_Rows, std::to_string(rows));
  }
  DicomPhantom& at(const std::vector<double>& position, const std::vector<double>& orientation = {1, 0, 0, 0, 1, 0},
                   const std::vector<double>& row_column_mm = {1, 1}) {
    return set(DCM_ImagePositionPatient, decimals(position))
        .set(DCM_ImageOrientationPatient, decimals(orientation))
        .set(DCM_PixelSpacing, decimals(row_column_mm));
  }
  DicomPhantom& rescale(double slope, double intercept) {
    return set(DCM_RescaleSlope, decimals({slope})).set(DCM_RescaleIntercept, decimals({intercept}));
  }
  DicomPhantom& pixels(const std::vector<uint16_t>& values) {
    data().putAndInsertUint16Array(DCM_PixelData, values.data(), static_cast<unsigned long>(values.size()));
    return *this;
  }
  DicomPhantom& bytes(const std::vector<uint8_t>& values) {
    data().putAndInsertUint8Array(DCM_PixelData, values.data(), static_cast<unsigned long>(values.size()));
    return *this;
  }
  // Item `index` of a sequence, made where it is missing.
  static DcmItem& item(DcmItem& parent, const DcmTagKey& sequence, int index = 0) {
    DcmItem* found = nullptr;
    if (parent.findOrCreateSequenceItem(sequence, found, index).bad())
      throw std::runtime_error("cannot make a sequence item");
    return *found;
  }
  DcmItem& item(const DcmTagKey& sequence, int index = 0) { return item(data(), sequence, index); }

  std::filesystem::path save(const std::filesystem::path& path, E_TransferSyntax syntax = EXS_LittleEndianExplicit) {
    std::filesystem::create_directories(path.parent_path());
    if (DcmXfer(syntax).isEncapsulated()) {
      DcmRLEEncoderRegistration::registerCodecs();
      DJEncoderRegistration::registerCodecs();
      if (file_.getDataset()->chooseRepresentation(syntax, nullptr).bad()) throw std::runtime_error("cannot compress");
    }
    if (const OFCondition condition = file_.saveFile(path.c_str(), syntax); condition.bad())
      throw std::runtime_error(std::string("cannot save: ") + condition.text());
    return path;
  }

 private:
  DicomPhantom& put(DcmItem& item, const DcmTagKey& tag, const std::string& text) {
    put_in(item, tag, text);
    return *this;
  }
  DcmFileFormat file_;
};

// The compressed pieces of a file: number 0 is the table of offsets.
using Fragments = std::vector<std::vector<uint8_t>>;

// A copy of a compressed file with its pieces changed.
template <class Change>
std::filesystem::path with_fragments(const std::filesystem::path& from, const std::filesystem::path& to,
                                     Change change) {
  DcmFileFormat file;
  if (file.loadFile(from.c_str()).bad()) throw std::runtime_error("cannot load " + from.string());
  DcmElement* element = nullptr;
  file.getDataset()->findAndGetElement(DCM_PixelData, element);
  auto* const pixels = dynamic_cast<DcmPixelData*>(element);
  E_TransferSyntax syntax = EXS_Unknown;
  const DcmRepresentationParameter* parameter = nullptr;
  pixels->getOriginalRepresentationKey(syntax, parameter);
  DcmPixelSequence* sequence = nullptr;
  if (pixels->getEncapsulatedRepresentation(syntax, parameter, sequence).bad())
    throw std::runtime_error("is not compressed");
  Fragments fragments;
  for (unsigned long i = 0; i < sequence->card(); ++i) {
    DcmPixelItem* item = nullptr;
    Uint8* bytes = nullptr;
    sequence->getItem(item, i);
    if (item->getLength() > 0) item->getUint8Array(bytes);
    fragments.emplace_back(bytes, bytes + item->getLength());
  }
  change(fragments);
  auto* const changed = new DcmPixelSequence(DCM_PixelSequenceTag);  // DCMTK's data set takes it over
  for (std::vector<uint8_t>& bytes : fragments) {
    if (bytes.size() % 2 != 0) bytes.push_back(0);
    auto* const item = new DcmPixelItem(DCM_PixelItemTag);
    item->putUint8Array(bytes.data(), static_cast<unsigned long>(bytes.size()));
    changed->insert(item);
  }
  pixels->putOriginalRepresentation(syntax, nullptr, changed);
  if (file.saveFile(to.c_str(), syntax).bad()) throw std::runtime_error("cannot save " + to.string());
  return to;
}

}  // namespace vmae::test
