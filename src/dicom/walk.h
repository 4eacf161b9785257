#pragma once
// A look at a DICOM header before DCMTK reads it. DCMTK follows sequences within sequences by
// recursion, without a limit: 16 bytes of a file cost it some hundred bytes of stack, until
// the program ends there. And of deflated data it allocates what a value's length says.
#include <filesystem>
#include <string>

namespace vmae::io {

// "" or what is wrong: it nests deeper than any real header (64 sequences), or a value claims
// far more bytes than the file can hold. Found without recursion or large allocations. Where
// the file can't be followed to its pixel data, the rest is left to DCMTK.
std::string header_problem(const std::filesystem::path& path);

}  // namespace vmae::io
