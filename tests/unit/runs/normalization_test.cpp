#include "vmae/runs/normalization.h"

#include <gtest/gtest.h>

namespace vmae::run {
namespace {

const char *const kCt = "CTNormalization", *const kZ = "ZScoreNormalization", *const kNone = "NoNormalization";

TEST(Normalization, IsExpectedByNamesThatSayItElseByModality) {
  const auto text = [](const char* scheme, const ChannelFacts& channel) {
    return unexpected_normalization({scheme}, {channel}).text;
  };
  for (const auto& [scheme, channel] : std::vector<std::pair<const char*, ChannelFacts>>{
           {kCt, {"CT", {{"", 3}}}},
           {kNone, {"noNorm", {{"CT", 3}}}},
           {kZ, {"zscore", {{"CT", 3}}}},
           {kCt, {"arterial", {{"CT", 3}}}},
           {kZ, {"arterial", {{"", 3}}}},
           {kZ, {"", {{"MR", 2}, {"PT", 1}}}},
           {kZ, {"", {{"", 3}}}},
           {kZ, {"", {{"", 1}, {"CT", 2}}}},
           {kZ, {"arterial", {{"CT", 2}, {"MR", 1}}}},
           {kNone, {"", {{"", 3}}}},
           {kCt, {"", {}}},
       })
    EXPECT_EQ(text(scheme, channel), "") << scheme << " " << channel.name;
  EXPECT_EQ(text(kZ, {"CT", {{"CT", 3}}}),
            "channel 0 (CT) stands for CTNormalization, but the plan has " + std::string(kZ));
  EXPECT_EQ(text(kZ, {"arterial", {{"CT", 3}}}),
            "channel 0 (arterial) is CT, which stands for CTNormalization, but the plan has ZScoreNormalization");
  EXPECT_EQ(text(kCt, {"", {{"CT", 2}, {"MR", 1}}}),
            "channel 0 is MR in 1 of 3 cases, which stands for ZScoreNormalization, but the plan has CTNormalization");
  EXPECT_EQ(text(kNone, {"mr", {{"MR", 3}}}),
            "channel 0 (mr) stands for ZScoreNormalization, but the plan has NoNormalization");
  EXPECT_EQ(text(kNone, {"venous", {{"", 3}}}),
            "channel 0 (venous) stands for ZScoreNormalization, but the plan has NoNormalization");
  EXPECT_EQ(text(kCt, {"", {{"", 3}}}), "channel 0 is not known to be CT, but the plan has CTNormalization");
  EXPECT_EQ(text(kCt, {"", {{"", 1}, {"CT", 2}}}),
            "channel 0 is not known to be CT in 1 of 3 cases, but the plan has CTNormalization");
}

TEST(Normalization, NamesAreGivenThatStandForWhatIsExpected) {
  const auto found = unexpected_normalization(
      {kZ, kCt, kNone, kCt, kZ},
      {{"arterial", {{"CT", 2}}}, {"CT", {}}, {"", {}}, {"venous", {{"", 2}}}, {"T1", {{"MR", 2}}}});
  EXPECT_EQ(found.names, (std::vector<std::string>{"CT", "CT", "nonorm", "venous", "T1"}));
  EXPECT_EQ(unexpected_normalization({kCt}, {{"", {{"CT", 2}, {"MR", 1}}}}).names, std::vector<std::string>{"MR"});
  EXPECT_EQ(unexpected_normalization({kCt}, {{"", {{"", 1}, {"CT", 2}}}}).names, std::vector<std::string>{"other"});
  EXPECT_TRUE(found.text.starts_with("channel 0 (arterial) is CT"));
  EXPECT_NE(found.text.find("; channel 3 (venous) is not known to be CT"), std::string::npos);
}

}  // namespace
}  // namespace vmae::run
