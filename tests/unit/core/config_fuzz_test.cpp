// Damaged configs either read or give an Error(usage) with a message; never another exception, a crash or a hang.
#include <gtest/gtest.h>

#include "sample_config.h"
#include "support/errors.h"
#include "vmae/core/config.h"
#include "vmae/core/random.h"

namespace vmae {
namespace {

using test::Sample;

constexpr int kNumMutations = 4000;

// Counts what was accepted; anything but an Error(usage) fails the test.
template <class Body>
bool accepts(const std::string& input, Body body) {
  try {
    body();
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << input;
    EXPECT_GT(std::string(error.what()).size(), 10U) << input;
  } catch (...) {
    ADD_FAILURE() << "not an Error: " << input;
  }
  return false;
}

std::string mutated(std::string text, Random& random) {
  static const std::string kMarks = ":{}[],#&*!|>'\"%@`-? \n\t<=~.\\0e";
  for (uint64_t edits = 1 + random.below(4); edits > 0 && !text.empty(); --edits) {
    const size_t at = random.below(text.size());
    switch (random.below(6)) {
      case 0:
        text[at] = static_cast<char>(text[at] ^ (1 << random.below(8)));
        break;
      case 1:
        text.resize(at);
        break;
      case 2:
        text[at] = kMarks[random.below(kMarks.size())];
        break;
      case 3:
        text.insert(at, 1 + random.below(3), kMarks[random.below(kMarks.size())]);
        break;
      case 4:
        text.erase(at, 1 + random.below(20));
        break;
      case 5:
        text.insert(at, text.substr(random.below(text.size()), random.below(40)));
        break;
    }
  }
  return text;
}

TEST(ConfigFuzz, MutatedFiles) {
  const Sample original;
  const std::vector<std::string> seeds = {config_yaml(original.options, true), config_yaml(original.options, false),
                                          "optim: {lr: 1e-3, betas: [0.9, 0.999]}\nmodel:\n  heads:\n  - 'a'\n  - "
                                          "\"b\\n\\x41\"\n  - |\n    block\n    text\n  "
                                          "- >-\n    folded\nrun.dir: plain text\n? run.seed\n: 4\n"};
  int num_accepted = 0;
  for (int i = 0; i < kNumMutations; ++i) {
    Random random(derive_seed(17, i));
    const std::string input = mutated(seeds[i % seeds.size()], random);
    Sample sample;
    if (accepts(input, [&] { read_config_text(input, "x.yaml", sample.options); })) {
      ++num_accepted;
      Sample again;
      const std::string printed = config_yaml(sample.options, false);
      EXPECT_TRUE(accepts(printed, [&] { read_config_text(printed, "printed", again.options); })) << input;
      EXPECT_EQ(config_yaml(again.options, false), printed);
    }
  }
  EXPECT_GT(num_accepted, kNumMutations / 20);  // else the mutations prove nothing about the reader
  EXPECT_LT(num_accepted, kNumMutations * 19 / 20);
}

TEST(ConfigFuzz, MutatedOverrides) {
  const std::vector<std::string> seeds = {"optim.lr=1e-3", "model.image_size=[96, 160]", "model.heads=['a', \"b\", c]",
                                          "run.dir=\"a b\"", "run.device=cuda"};
  int num_accepted = 0;
  for (int i = 0; i < kNumMutations; ++i) {
    Random random(derive_seed(18, i));
    const std::string input = mutated(seeds[i % seeds.size()], random);
    Sample sample;
    num_accepted += accepts(input, [&] { apply_override(input, sample.options); });
  }
  EXPECT_GT(num_accepted, kNumMutations / 50);
  EXPECT_LT(num_accepted, kNumMutations * 19 / 20);
}

TEST(ConfigFuzz, RandomBytes) {
  for (int i = 0; i < 500; ++i) {
    Random random(derive_seed(19, i));
    std::string input(random.below(200), '\0');
    const bool is_printable = i % 2 == 0;
    for (char& c : input) c = static_cast<char>(is_printable ? 32 + random.below(95) : random.bits());
    Sample sample;
    accepts(input, [&] { read_config_text(input, "x.yaml", sample.options); });
  }
}

}  // namespace
}  // namespace vmae
