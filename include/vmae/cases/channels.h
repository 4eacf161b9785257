#pragma once
// Cases of several registered images, one per channel: T1, T2 and
// FLAIR of one patient. A case is called after its first channel.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

inline int64_t num_channels(const SourceFile& file) { return 1 + static_cast<int64_t>(file.channels.size()); }

// "CASE_0001", as nnU-Net numbers channels -> (CASE, 1); none if the stem does not end so.
std::optional<std::pair<std::string, int64_t>> case_and_channel(const std::string& stem);

// Channel 0, 1, ... as an image of its own: with the mask, patient, labels and part of its case.
SourceFile channel_of(const SourceFile& file, int64_t channel);

// Every channel as an image of its own. Files of one channel stay as they are; of channels
// that are the volumes of one file there is the file, whose time points they are.
std::vector<SourceFile> single_channels(const std::vector<SourceFile>& files);

// CASE_0000.ext, CASE_0001.ext, ... as the channels of one case, as nnU-Net calls them; none if not all names are so.
// Cases that have not the channels 0 to count - 1 go to `refused`. Throws Error(data) naming two files of one channel.
std::optional<std::vector<SourceFile>> stacked_by_number(const std::vector<SourceFile>& files, int64_t count,
                                                         std::vector<SourceRemark>& refused);

// The number of channels of all files. Throws Error(data) naming two files that differ.
int64_t common_channels(const std::vector<SourceFile>& files);

// "T1, T2, FLAIR"; of channels without names their numbers.
std::string channel_text(const std::vector<std::string>& names, int64_t count);

// Whether the channels of a case are the volumes of one 4-D file.
bool are_volumes_of_one_file(const SourceFile& file);

}  // namespace vmae::io
