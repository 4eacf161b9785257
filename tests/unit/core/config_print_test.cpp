#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <cmath>
#include <sstream>

#include "sample_config.h"
#include "support/errors.h"
#include "vmae/core/config.h"
#include "vmae/core/random.h"

namespace vmae {
namespace {

using test::contains;
using test::Sample;

TEST(ConfigYaml, Plain) {
  const Sample sample;
  EXPECT_EQ(config_yaml(sample.options, false),
            "run.dir: \"\"\nrun.device: auto\nrun.seed: 0\n"
            "optim:\n  lr: 1e-4\n  weight_decay: 0.05\n  betas: [0.9, 0.95]\n"
            "model:\n  image_size: [96, 160]\n  heads: []\n  has_bias: true\n  decoder:\n    depth: 1\n");
}

TEST(ConfigYaml, Commented) {
  Sample sample;
  apply_override("optim.lr=0.5", sample.options);
  const std::string yaml = config_yaml(sample.options, true);
  EXPECT_TRUE(contains(yaml,
                       "\n\n# The optimizer.\noptim:\n  # peak learning rate, for the global batch (number in [0, 10]; "
                       "default: 1e-4)\n  lr: 0.5\n"));
  EXPECT_TRUE(contains(yaml, "# where to compute (one of auto, cpu, cuda; default: auto)\nrun.device: auto\n"));
  EXPECT_TRUE(contains(yaml, "(list of integers, each at least 1; default: [96, 160])"));
  EXPECT_TRUE(contains(yaml,
                       "\n\n  # The part that rebuilds the image.\n  decoder:\n    # number of blocks (integer at "
                       "least 1; default: 1)\n    depth: 1\n"));
  std::istringstream lines(yaml);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 110U) << line;
}

// What is printed reads back to the same values, and prints the same, for awkward texts and random numbers.
TEST(ConfigYaml, RoundTrip) {
  const std::vector<std::string> texts = {"",
                                          "null",
                                          "Null",
                                          "~",
                                          "true",
                                          "No",
                                          "1",
                                          "1e-3",
                                          ".5",
                                          "0x10",
                                          "2024-01-01",
                                          "12:30",
                                          "a: b",
                                          "a #b",
                                          "#",
                                          "- a",
                                          "-",
                                          "[x",
                                          "{x",
                                          "*a",
                                          "&a",
                                          "!a",
                                          "%a",
                                          "@a",
                                          "`a",
                                          "a,b",
                                          "'",
                                          "\"",
                                          "\\",
                                          "a\nb",
                                          "\t",
                                          " a ",
                                          "a  b",
                                          "x\x7f",
                                          "\x01",
                                          "ä€",
                                          "./runs",
                                          "../x",
                                          "/data/a b",
                                          "C:\\Users",
                                          "<<",
                                          "=",
                                          "a=b",
                                          ".",
                                          "..",
                                          "./",
                                          "...",
                                          "---",
                                          "--- a",
                                          "?",
                                          "? a",
                                          "|",
                                          ">",
                                          "base",
                                          "y",
                                          "line1\\nfoo",
                                          "_",
                                          "inf",
                                          "${oc.env:X}",
                                          "\r\n",
                                          "\xc2\x85",
                                          "\xe2\x80\xa8",
                                          std::string(3000, 'x'),
                                          std::string(300, ' ') + "x"};
  Random random(5);
  for (int i = 0; i < 300; ++i) {
    Sample first;
    const auto text = [&] { return texts[random.below(texts.size())]; };
    first.config.dir = i < static_cast<int>(texts.size()) ? texts[i] : text();
    first.config.optim.lr = 10 * random.uniform();
    first.config.optim.weight_decay = std::exp(random.uniform(-600, 600));
    first.config.optim.betas.assign(random.below(4), random.uniform());
    first.config.seed = static_cast<int64_t>(random.bits());
    first.config.model.has_bias = random.chance(0.5);
    first.config.model.heads.clear();
    for (uint64_t k = random.below(5); k > 0; --k) first.config.model.heads.push_back(text());
    for (const bool with_comments : {false, true}) {
      const std::string yaml = config_yaml(first.options, with_comments);
      Sample second;
      ASSERT_NO_THROW(read_config_text(yaml, "x.yaml", second.options)) << yaml;
      ASSERT_EQ(second.config.dir, first.config.dir) << yaml;
      ASSERT_EQ(second.config.optim.lr, first.config.optim.lr);
      ASSERT_EQ(second.config.optim.weight_decay, first.config.optim.weight_decay);
      ASSERT_EQ(second.config.optim.betas, first.config.optim.betas);
      ASSERT_EQ(second.config.model.heads, first.config.model.heads) << yaml;
      ASSERT_EQ(config_yaml(second.options, with_comments), yaml);
    }
  }
}

// Other YAML readers see a text as a text: quoted (tag "!") wherever
// it could be taken for a number, a boolean, null or a date.
TEST(ConfigYaml, TextsStayTextsForOtherReaders) {
  for (const char* text : {"1", "1e-3", ".5", "true", "no", "null", "2024-01-01", "12:30", "", "y", "inf"}) {
    Sample sample;
    sample.config.dir = text;
    const YAML::Node root = YAML::Load(config_yaml(sample.options, false));
    EXPECT_EQ(root["run.dir"].Tag(), "!") << text;
    EXPECT_EQ(root["run.dir"].as<std::string>(), text);
  }
}

TEST(ConfigMarkdown, HasATablePerSection) {
  const Sample sample;
  const std::string page = config_markdown(sample.options, "Configuration");
  EXPECT_EQ(page.find("# Configuration\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n| `run.dir` | "
                      "`\"\"` | text | where everything is written |\n"),
            0U);
  EXPECT_TRUE(contains(page,
                       "\n## optim\n\nThe optimizer.\n\n| key | default | allowed | meaning |\n|---|---|---|---|\n| "
                       "`optim.lr` | `1e-4` | number in [0, 10] | "
                       "peak learning rate, for the global batch |\n"));
  EXPECT_TRUE(contains(page, "\n## model.decoder\n"));
  EXPECT_TRUE(contains(page, "| `run.device` | `auto` | one of auto, cpu, cuda |"));
  EXPECT_TRUE(contains(page, "names \\| of the heads"));
  for (const Option& option : sample.options.all()) EXPECT_TRUE(contains(page, "| `" + option.key + "` |"));
}

}  // namespace
}  // namespace vmae
