#include "vmae/runs/normalization.h"

#include "vmae/core/text.h"
#include "vmae/nnunet/planner.h"

namespace vmae::run {

namespace {

// What a channel is and another normalisation is for; "": nothing. `better`: the name that stands for that.
std::string surprise(const std::string& scheme, const ChannelFacts& channel, std::string& better) {
  const std::string &name = channel.name, by_name = nnunet::normalization_of(name);
  better = name;
  if (nnunet::names_a_normalization(name))
    return by_name == scheme ? "" : concat("stands for ", by_name, ", but the plan has ", scheme);
  int64_t count = 0;
  for (const auto& [modality, cases] : channel.modalities) count += cases;
  const auto share = [&](int64_t cases) { return cases < count ? concat(" in ", cases, " of ", count, " cases") : ""; };
  for (const auto& [modality, cases] : channel.modalities) {
    const std::string meant = nnunet::normalization_of(modality);
    if (modality.empty() || meant == scheme) continue;
    // what is meant for some would be wrong for the others, for which each image by itself is right
    if (scheme == nnunet::normalization_of("other") && cases < count) continue;
    better = modality;
    const std::string what =
        to_lower(name) == to_lower(modality) ? "" : concat("is ", modality, share(cases), ", which ");
    return concat(what, "stands for ", meant, ", but the plan has ", scheme);
  }
  const auto unknown = channel.modalities.find("");
  if (unknown == channel.modalities.end()) return "";
  better = name.empty() ? "other" : name;
  if (scheme == nnunet::normalization_of("CT"))
    return concat("is not known to be CT", share(unknown->second), ", but the plan has ", scheme);
  return name.empty() || by_name == scheme ? "" : concat("stands for ", by_name, ", but the plan has ", scheme);
}

}  // namespace

UnexpectedNormalization unexpected_normalization(const std::vector<std::string>& schemes,
                                                 const std::vector<ChannelFacts>& channels) {
  UnexpectedNormalization found;
  std::vector<std::string> texts;
  for (size_t i = 0; i < channels.size(); ++i) {
    const ChannelFacts& channel = channels[i];
    std::string better;
    const std::string what = surprise(schemes.at(i), channel, better);
    if (!what.empty())
      texts.push_back(concat("channel ", i, channel.name.empty() ? "" : concat(" (", channel.name, ")"), " ", what));
    found.names.push_back(better.empty() ? nnunet::channel_name_for(schemes[i], "other") : better);
  }
  found.text = join(texts, "; ");
  return found;
}

}  // namespace vmae::run
