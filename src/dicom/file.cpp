// Files without a preamble or meta header are read too. Two transfer syntaxes are
// younger than DCMTK 3.6.7 (HTJ2K; deflated frames); their data sets are explicit little
// endian with encapsulated pixel data, as JPEG 2000's is, and DCMTK reads them as that.
#include "file.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/oflog/oflog.h>

#include <algorithm>
#include <fstream>
#include <mutex>

#include "vmae/core/error.h"
#include "vmae/core/path_problem.h"
#include "vmae/dicom/kinds.h"
#include "walk.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

constexpr Uint32 kLongValue = 4096;  // bytes; longer ones are read when asked for

void start_dcmtk() {
  static std::once_flag once;
  std::call_once(once, [] {
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    dcmEnableUnknownVRConversion.set(OFTrue);  // elements of VR UN that the dictionary knows
    DJDecoderRegistration::registerCodecs();
  });
}

// The meta header alone.
std::string said_transfer_syntax(const fs::path& path) {
  DcmMetaInfo meta;
  OFString uid;
  if (meta.loadFile(path.c_str()).good()) meta.findAndGetOFString(DCM_TransferSyntaxUID, uid);
  return uid.c_str();
}

}  // namespace

DcmItem& DicomFile::data() const { return *format->getDataset(); }

std::string reason_of(const std::exception& error, const fs::path& path) {
  const std::string what = error.what(), begin = path.string() + ": ";
  return what.starts_with(begin) ? what.substr(begin.size()) : what;
}

DicomFile open_dicom(const fs::path& path) {
  start_dcmtk();
  if (const std::string problem = path_problem(path); !problem.empty()) fail_file(path, problem);
  if (!is_dicom(path)) fail_file(path, "is not a DICOM file");
  if (const std::string problem = header_problem(path); !problem.empty())
    fail_file(path, problem, "the file is probably damaged");
  DicomFile file{path, std::make_shared<DcmFileFormat>(), said_transfer_syntax(path)};
  const bool is_unknown =
      !file.transfer_syntax.empty() && DcmXfer(file.transfer_syntax.c_str()).getXfer() == EXS_Unknown;
  const OFCondition condition =
      file.format->loadFile(path.c_str(), is_unknown ? EXS_JPEG2000 : EXS_Unknown, EGL_noChange, kLongValue);
  if (condition.bad())
    fail_file(path, concat("can't be read as DICOM: ", condition.text()), "the file is probably cut off or damaged");
  if (file.transfer_syntax.empty())
    file.transfer_syntax = DcmXfer(file.format->getDataset()->getOriginalXfer()).getXferID();
  return file;
}

std::string text_of(DcmItem& item, const DcmTagKey& tag) {
  OFString text;
  if (item.findAndGetOFStringArray(tag, text).bad()) return "";
  return std::string(trim(std::string_view(text.c_str())));
}

std::vector<double> numbers_of(DcmItem& item, const DcmTagKey& tag) {
  std::vector<double> numbers;
  const std::string text = text_of(item, tag);
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    const size_t end = std::min(text.find('\\', begin), text.size());
    const std::optional<double> number = parse_number(trim(std::string_view(text).substr(begin, end - begin)));
    if (!number) return {};
    numbers.push_back(*number);
    begin = end + 1;
  }
  return numbers;
}

std::optional<double> number_of(DcmItem& item, const DcmTagKey& tag) {
  const std::vector<double> numbers = numbers_of(item, tag);
  if (numbers.empty()) return {};
  return numbers[0];
}

DcmItem* item_of(DcmItem& item, const DcmTagKey& sequence, size_t index) {
  DcmSequenceOfItems* items = nullptr;
  if (item.findAndGetSequence(sequence, items).bad() || items == nullptr || index >= items->card()) return nullptr;
  return items->getItem(static_cast<unsigned long>(index));
}

size_t num_items(DcmItem& item, const DcmTagKey& sequence) {
  DcmSequenceOfItems* items = nullptr;
  return item.findAndGetSequence(sequence, items).good() && items != nullptr ? items->card() : 0;
}

std::vector<DcmItem*> items_of(DcmItem& item, const DcmTagKey& sequence) {
  DcmSequenceOfItems* items = nullptr;
  std::vector<DcmItem*> result;
  if (item.findAndGetSequence(sequence, items).bad() || items == nullptr) return result;
  for (DcmObject* one = items->nextInContainer(nullptr); one != nullptr; one = items->nextInContainer(one)) {
    if (auto* const next = dynamic_cast<DcmItem*>(one)) result.push_back(next);
  }
  return result;
}

std::string name_of_uid(const std::string& uid) {
  const char* name = dcmFindNameOfUID(uid.c_str());
  return name != nullptr ? concat(name, " (", uid, ")") : uid;
}

}  // namespace vmae::io
