#pragma once
// Parts of DICOM files that are written.
#include <filesystem>
#include <string>
#include <string_view>

class DcmFileFormat;
class DcmItem;
class DcmTagKey;

namespace vmae::io {

// Value as text, several joined by backslashes. Throws Error(internal) if it is none of the tag's.
void put(DcmItem& item, const DcmTagKey& tag, const std::string& value);
DcmItem& add_item(DcmItem& item, const DcmTagKey& sequence);  // a new one, at the end
void put_code(DcmItem& item, const DcmTagKey& sequence, const char* value, const char* scheme, const char* meaning);

// at most 16 characters, as DICOM's decimal strings, with all digits that fit
std::string decimal_text(double number);
// no backslashes, no control characters, at most 64 characters
std::string long_string(std::string_view utf8, bool is_ascii, size_t most = 64);
// 2.25.N, N from SHA-256 as a UUID (RFC 9562, version 8)
std::string uid_of(std::string_view content);

// Patient, study, frame of reference and character set of `from`
// (contract: vmae/dicom/seg_write.h). True if `to` can take UTF-8.
bool copy_patient_and_study(DcmItem& from, DcmItem& to);

void save_dicom(DcmFileFormat& format, const std::filesystem::path& output);  // explicit little endian, atomically

}  // namespace vmae::io
