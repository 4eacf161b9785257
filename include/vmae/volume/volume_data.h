#pragma once
// What a volume's voxels can be made of, found without the libraries
// that read it: guards against headers that claim more than there is.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vmae::io {

// The most bytes of voxels that can come out of an NRRD or MetaImage file, or out of the files that its header
// names: their size, times what zlib can reach. Unlimited for a numbered series of files. Throws Error(data)
// where the header names a file that is missing or no regular file (a pipe or a terminal would be waited for).
uint64_t most_voxel_bytes(const std::filesystem::path& path, bool is_nrrd);

// The same of a file that holds its voxels itself.
uint64_t most_voxel_bytes(uint64_t file_bytes);

// The files that hold the voxels of an .mhd or .nhdr; none where the
// header can't be understood (reading it says so), or holds them itself.
std::vector<std::filesystem::path> voxel_files(const std::filesystem::path& header);
// Where in such a file they begin, as the header says it; equal texts are equal places.
std::string voxel_offset(const std::filesystem::path& header);

// Whether there are bytes behind the last of `voxel_bytes` bytes of voxels, or before the first: of voxels
// that are neither compressed nor text, and lie in one file. False where the header says too little.
bool has_more_than(uint64_t voxel_bytes, const std::filesystem::path& path, bool is_nrrd);

// What an NRRD's header says after "KEY:", in lower case; "" where it does not.
std::string nrrd_field(const std::filesystem::path& path, const std::string& key);
// The same of a MetaImage, as it is written; the key in lower case. Throws Error(data) as parse_meta_header.
std::string meta_field(const std::filesystem::path& path, const std::string& key);

}  // namespace vmae::io
