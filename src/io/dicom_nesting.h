#pragma once
// DCMTK reads and frees sequences within sequences by recursion, without a limit: 16 bytes of a file cost it some hundred bytes of stack, until the program
// ends there.
#include <filesystem>

namespace vmae::io {

// Whether the header nests deeper than any real one (64 sequences), found without recursion. False where the file can't be followed to its pixel data.
bool nests_too_deeply(const std::filesystem::path& path);

}  // namespace vmae::io
