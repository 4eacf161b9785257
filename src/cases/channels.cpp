#include "vmae/cases/channels.h"

#include <algorithm>
#include <map>

#include "vmae/core/error.h"
#include "vmae/image/file_name.h"

namespace vmae::io {

std::optional<std::pair<std::string, int64_t>> case_and_channel(const std::string& stem) {
  if (stem.size() < 6 || stem[stem.size() - 5] != '_') return std::nullopt;
  const std::string digits = stem.substr(stem.size() - 4);
  if (digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return std::pair{stem.substr(0, stem.size() - 5), *parse_integer(digits)};
}

SourceFile channel_of(const SourceFile& file, int64_t channel) {
  SourceFile one = file;
  one.channels.clear();
  if (channel == 0) return one;
  const SourceFile& own = file.channels.at(static_cast<size_t>(channel) - 1);
  one.path = own.path;
  one.name = own.name;
  one.series = own.series;
  one.time_point = own.time_point;
  one.modality = own.modality;
  one.prepared_case = own.prepared_case;
  return one;
}

std::vector<SourceFile> single_channels(const std::vector<SourceFile>& files) {
  std::vector<SourceFile> single;
  for (const SourceFile& file : files) {
    const int64_t count = are_volumes_of_one_file(file) ? 1 : num_channels(file);
    for (int64_t channel = 0; channel < count; ++channel) single.push_back(channel_of(file, channel));
  }
  return single;
}

std::optional<std::vector<SourceFile>> stacked_by_number(const std::vector<SourceFile>& files, int64_t count,
                                                         std::vector<SourceRemark>& refused) {
  std::map<std::string, std::map<int64_t, const SourceFile*>> cases;
  for (const SourceFile& file : files) {
    const auto found = case_and_channel(take_apart(file.name).stem);
    if (!found || file.prepared_case >= 0 || !file.channels.empty()) return std::nullopt;
    const auto [other, is_new] = cases[found->first].emplace(found->second, &file);
    if (!is_new)
      throw Error(ExitCode::data, concat(other->second->name, " and ", file.name, " are the same channel of a case"),
                  "keep one of them");
  }
  std::vector<SourceFile> stacked;
  for (const auto& [name, channels] : cases) {
    if (std::ssize(channels) != count || channels.begin()->first != 0 || channels.rbegin()->first != count - 1) {
      std::vector<std::string> numbers;
      for (const auto& [number, file] : channels) numbers.push_back(std::to_string(number));
      refused.push_back(
          {channels.begin()->second->name,
           concat("is of a case that has the channels ", join(numbers, ", "), "; the model learnt from ", count)});
      continue;
    }
    SourceFile& file = stacked.emplace_back(*channels.at(0));
    for (int64_t channel = 1; channel < count; ++channel) file.channels.push_back(*channels.at(channel));
  }
  return stacked;
}

int64_t common_channels(const std::vector<SourceFile>& files) {
  if (files.empty()) return 1;
  const auto other = std::find_if(files.begin(), files.end(),
                                  [&](const SourceFile& file) { return num_channels(file) != num_channels(files[0]); });
  if (other == files.end()) return num_channels(files[0]);
  throw Error(ExitCode::data,
              concat(files[0].name, " is a case of ", num_channels(files[0]), " channels, ", other->name, " of ",
                     num_channels(*other)),
              "give all cases the same channels, or take each image by itself: data.channels=single");
}

std::string channel_text(const std::vector<std::string>& names, int64_t count) {
  std::vector<std::string> texts;
  for (int64_t i = 0; i < count; ++i) {
    const bool has_name = i < std::ssize(names) && !names[static_cast<size_t>(i)].empty();
    texts.push_back(has_name ? names[static_cast<size_t>(i)] : std::to_string(i));
  }
  return join(texts, ", ");
}

bool are_volumes_of_one_file(const SourceFile& file) {
  return !file.channels.empty() && file.series.empty() && file.prepared_case < 0 &&
         std::all_of(file.channels.begin(), file.channels.end(),
                     [&](const SourceFile& other) { return other.path == file.path; });
}

}  // namespace vmae::io
