#pragma once
// How nnU-Net normalises channels, against what is known of them: a name such as CT or noNorm says it, else the
// modality stands for it, as the name of its DICOM code would.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vmae::run {

struct ChannelFacts {
  std::string name;                           // "": it has none
  std::map<std::string, int64_t> modalities;  // of how many cases; "": not known
};

struct UnexpectedNormalization {
  std::string text;                // "channel 0 (arterial) is CT, ..."; "": all are as expected
  std::vector<std::string> names;  // of all channels, as plan.channel_names, that stand for what is expected
};
// schemes: of a plan, one for each channel.
UnexpectedNormalization unexpected_normalization(const std::vector<std::string>& schemes,
                                                 const std::vector<ChannelFacts>& channels);

}  // namespace vmae::run
