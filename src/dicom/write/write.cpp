#include "write.h"

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dcostrmb.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcwcache.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <vector>

#include "vmae/core/atomic_file.h"
#include "vmae/core/error.h"
#include "vmae/core/hash.h"

namespace vmae::io {
namespace {

// the standard wants some tags present even if empty (type 2)
enum class Copied { always, empty_if_bad, absent_if_bad };

struct CopiedTag {
  DcmTagKey tag;
  Copied how;
};

// Modules Patient, Patient Study, General Study and Frame of Reference;
// of their optional tags those that tell patients and animals apart.
const std::vector<CopiedTag>& copied_tags() {
  using enum Copied;
  static const std::vector<CopiedTag> kTags{
      {DCM_PatientName, always},
      {DCM_PatientID, always},
      {DCM_IssuerOfPatientID, absent_if_bad},
      {DCM_IssuerOfPatientIDQualifiersSequence, absent_if_bad},
      {DCM_PatientBirthDate, empty_if_bad},
      {DCM_PatientSex, empty_if_bad},
      {DCM_PatientSpeciesDescription, absent_if_bad},
      {DCM_PatientSpeciesCodeSequence, absent_if_bad},
      {DCM_PatientSexNeutered, absent_if_bad},
      {DCM_PatientBreedDescription, absent_if_bad},
      {DCM_PatientBreedCodeSequence, absent_if_bad},
      {DCM_BreedRegistrationSequence, absent_if_bad},
      {DCM_ResponsiblePerson, absent_if_bad},
      {DCM_ResponsiblePersonRole, absent_if_bad},
      {DCM_ResponsibleOrganization, absent_if_bad},
      {DCM_PatientIdentityRemoved, absent_if_bad},
      {DCM_DeidentificationMethod, absent_if_bad},
      {DCM_DeidentificationMethodCodeSequence, absent_if_bad},
      {DCM_PatientAge, absent_if_bad},
      {DCM_PatientSize, absent_if_bad},
      {DCM_PatientWeight, absent_if_bad},
      {DCM_StudyInstanceUID, always},
      {DCM_StudyDate, empty_if_bad},
      {DCM_StudyTime, empty_if_bad},
      {DCM_ReferringPhysicianName, empty_if_bad},
      {DCM_StudyID, empty_if_bad},
      {DCM_AccessionNumber, empty_if_bad},
      {DCM_StudyDescription, absent_if_bad},
      {DCM_FrameOfReferenceUID, always},
      {DCM_PositionReferenceIndicator, empty_if_bad},
  };
  return kTags;
}

bool is_good(DcmElement& element) {
  if (dynamic_cast<DcmSequenceOfItems*>(&element) != nullptr) return true;
  const bool is_list = element.getTag() == DCM_DeidentificationMethod || element.getTag() == DCM_SpecificCharacterSet;
  // DCMTK does not count characters where it does not know their set.
  OFString text;
  size_t most = std::string::npos;
  if (element.ident() == EVR_SH) most = 16;
  if (element.ident() == EVR_LO) most = 64;
  if (!is_list && element.getOFStringArray(text).good() && text.length() > most) return false;
  return element.checkValue(is_list ? "1-n" : "1", OFFalse).good();
}

void check(const OFCondition& condition, const DcmTagKey& tag) {
  if (condition.bad())
    throw Error(ExitCode::internal,
                concat("DICOM tag ", DcmTag(tag).getTagName(), " can't be set: ", condition.text()));
}

}  // namespace

void put(DcmItem& item, const DcmTagKey& tag, const std::string& value) {
  check(item.putAndInsertString(tag, value.c_str()), tag);
}

DcmItem& add_item(DcmItem& item, const DcmTagKey& sequence) {
  DcmItem* added = nullptr;
  check(item.findOrCreateSequenceItem(sequence, added, -2), sequence);
  return *added;
}

void put_code(DcmItem& item, const DcmTagKey& sequence, const char* value, const char* scheme, const char* meaning) {
  DcmItem& code = add_item(item, sequence);
  put(code, DCM_CodeValue, value);
  put(code, DCM_CodingSchemeDesignator, scheme);
  put(code, DCM_CodeMeaning, meaning);
}

std::string decimal_text(double number) {
  std::string text = number_text(number == 0 ? 0.0 : number);  // no "-0"
  for (int digits = 15; text.size() > 16; --digits) {
    std::array<char, 32> buffer;
    std::snprintf(buffer.data(), buffer.size(), "%.*g", digits, number);
    text = buffer.data();
  }
  return text;
}

std::string long_string(std::string_view utf8, bool is_ascii, size_t most) {
  const bool is_valid = is_utf8(utf8);
  const auto allowed = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\') return '/';
    if (byte < 32 || byte == 127) return ' ';
    return byte > 127 && (is_ascii || !is_valid) ? '?' : c;
  };
  std::string text;
  size_t count = 0;
  for (const char c : utf8) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_continued = is_valid && (byte & 0xC0) == 0x80;  // the rest of a character
    if (is_continued && is_ascii) continue;
    if (!is_continued && ++count > most) break;
    text += allowed(c);
  }
  return std::string(trim(text));
}

std::string uid_of(std::string_view content) {
  const Sha256Digest digest = sha256(content);
  std::array<unsigned char, 16> uuid{};
  std::copy_n(digest.begin(), uuid.size(), uuid.begin());
  uuid[6] = static_cast<unsigned char>((uuid[6] & 0x0F) | 0x80);
  uuid[8] = static_cast<unsigned char>((uuid[8] & 0x3F) | 0x80);
  std::string digits;  // lowest first: division by ten, byte by byte
  while (std::any_of(uuid.begin(), uuid.end(), [](unsigned char byte) { return byte != 0; })) {
    unsigned rest = 0;
    for (unsigned char& byte : uuid) {
      rest = rest * 256 + byte;
      byte = static_cast<unsigned char>(rest / 10);
      rest %= 10;
    }
    digits += static_cast<char>('0' + rest);
  }
  return "2.25." + std::string(digits.rbegin(), digits.rend());
}

bool copy_patient_and_study(DcmItem& from, DcmItem& to) {
  const auto copy = [&](const CopiedTag& copied) {
    DcmElement* element = nullptr;
    const bool is_there =
        from.findAndGetElement(copied.tag, element).good() && element != nullptr && element->getLength() > 0;
    if (is_there && (copied.how == Copied::always || is_good(*element))) {
      std::unique_ptr<DcmElement> clone(dynamic_cast<DcmElement*>(element->clone()));
      check(to.insert(clone.get(), OFTrue), copied.tag);
      (void)clone.release();  // DCMTK's data set took it over
    } else if (copied.how != Copied::absent_if_bad) {
      check(to.insertEmptyElement(copied.tag, OFTrue), copied.tag);
    }
  };
  copy({DCM_SpecificCharacterSet, Copied::absent_if_bad});
  for (const CopiedTag& copied : copied_tags()) copy(copied);
  // Into UTF-8, so that one character set holds for their texts and ours.
  // Not possible where the source's bytes are not of the set that it names.
  auto converted = std::unique_ptr<DcmItem>(dynamic_cast<DcmItem*>(to.clone()));
  if (converted->convertToUTF8().bad() || to.convertToUTF8().bad()) return false;
  put(to, DCM_SpecificCharacterSet, "ISO_IR 192");
  return true;
}

void save_dicom(DcmFileFormat& format, const std::filesystem::path& output) {
  AtomicFile file(output);
  std::vector<char> buffer(1 << 20);
  DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(buffer.size()));
  DcmWriteCache cache;
  format.transferInit();
  OFCondition condition = EC_Normal;
  do {
    condition = format.write(stream, EXS_LittleEndianExplicit, EET_ExplicitLength, &cache, EGL_recalcGL);
    void* bytes = nullptr;
    offile_off_t size = 0;
    stream.flushBuffer(bytes, size);
    file.write(bytes, static_cast<size_t>(size));
  } while (condition == EC_StreamNotifyClient);
  format.transferEnd();
  if (condition.bad())
    throw Error(ExitCode::internal, concat(output.string(), ": can't be written: ", condition.text()));
  file.commit();
}

}  // namespace vmae::io
