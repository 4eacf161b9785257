#pragma once
// One wording for failed file operations, shared by AtomicFile and AppendFile.
#include <cstddef>
#include <filesystem>

namespace vmae {

// "cannot <action> <path>: <reason of error_number>"; Error(usage) with advice
// where the folder is not there or may not be written to, else Error(internal).
[[noreturn]] void throw_file_error(const char* action, const std::filesystem::path& path, int error_number);

// The same for a write; a full disk, quota or file size limit says how many bytes were still needed.
[[noreturn]] void throw_write_error(const std::filesystem::path& path, int error_number, size_t written, size_t needed);

}  // namespace vmae
