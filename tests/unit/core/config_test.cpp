#include "vmae/core/config.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sample_config.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae {
namespace {

using test::contains;
using test::error_of;
using test::Sample;
using test::TempFolder;

Error text_error(const std::string& yaml) {
  Sample sample;
  const Error error = error_of([&] { read_config_text(yaml, "x.yaml", sample.options); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  return error;
}
std::string text_message(const std::string& yaml) { return text_error(yaml).what(); }

Error override_error(const std::string& assignment) {
  Sample sample;
  const Error error = error_of([&] { apply_override(assignment, sample.options); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  return error;
}

Error file_error(const std::filesystem::path& path) {
  Sample sample;
  const Error error = error_of([&] { read_config_file(path, sample.options); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  return error;
}

TEST(Config, NestedAndDottedKeys) {
  Sample sample;
  read_config_text(
      "# a comment\n"
      "optim:\n  lr: 3e-4   # here too\n  betas: [.8, 1]\n"
      "model.decoder.depth: 4\n"
      "model: {image_size: [64, 32], heads: [a, 'b, c'], has_bias: off}\n"
      "run.dir: \"/data/my runs\"\n"
      "run:\n  seed: 7\n",
      "x.yaml", sample.options);
  EXPECT_EQ(sample.config.optim.lr, 3e-4);
  EXPECT_EQ(sample.config.optim.betas, (std::vector<double>{0.8, 1}));
  EXPECT_EQ(sample.config.optim.weight_decay, 0.05);
  EXPECT_EQ(sample.config.model.decoder.depth, 4);
  EXPECT_EQ(sample.config.model.image_size, (std::vector<int64_t>{64, 32}));
  EXPECT_EQ(sample.config.model.heads, (std::vector<std::string>{"a", "b, c"}));
  EXPECT_FALSE(sample.config.model.has_bias);
  EXPECT_EQ(sample.config.dir, "/data/my runs");
  EXPECT_EQ(sample.config.seed, 7);
}

TEST(Config, NothingToOverride) {
  for (const char* yaml : {"", "\n\n", "# only a comment\n", "---\n", "{}", "null", "optim:\n",
                           "optim: {}\nmodel:\n  decoder:\n", "\xef\xbb\xbf# byte order mark\n"}) {
    Sample sample;
    const std::string before = config_yaml(sample.options, false);
    EXPECT_NO_THROW(read_config_text(yaml, "x.yaml", sample.options)) << yaml;
    EXPECT_EQ(config_yaml(sample.options, false), before) << yaml;
  }
}

TEST(Config, UnknownKeysNameTheLineAndTheNearestKey) {
  const Error error = text_error("run:\n  seed: 1\noptim:\n  lr: 1e-3\n  lrr: 2\n");
  EXPECT_STREQ(error.what(), "x.yaml:5: unknown key 'optim.lrr'");
  EXPECT_EQ(error.hint(), "did you mean 'optim.lr'? (vmae ... --print-config lists every key)");
  EXPECT_EQ(text_error("optim.lrr: 1").hint(), error.hint());
  EXPECT_EQ(text_error("lr: 1").hint(), error.hint());  // the section was forgotten
  EXPECT_EQ(text_error("train:\n  lr: 1").hint(), "vmae ... --print-config lists every key");
  EXPECT_EQ(text_error("train.lr: 1").hint(), error.hint());  // another section
  EXPECT_EQ(text_error("nonsense: 1").hint(), "vmae ... --print-config lists every key");
  EXPECT_STREQ(text_error("optm:\n  lr: 1").what(), "x.yaml:1: unknown section 'optm'");
  EXPECT_TRUE(contains(text_error("optm:\n  lr: 1").hint(), "did you mean 'optim'?"));
  EXPECT_TRUE(contains(text_error("model:\n  decodr: {depth: 1}").hint(), "did you mean 'model.decoder'?"));
}

TEST(Config, ValueErrorsNameLineKeyValueAndRule) {
  EXPECT_EQ(text_message("\n\noptim:\n  lr: 20\n"), "x.yaml:4: optim.lr = 20: must be a number in [0, 10]");
  EXPECT_EQ(text_message("optim.lr: nan"), "x.yaml:1: optim.lr = nan: must be a number in [0, 10]");
  EXPECT_EQ(text_message("optim.lr: .inf"), "x.yaml:1: optim.lr = .inf: must be a number in [0, 10]");
  EXPECT_EQ(text_message("optim.lr: 1_0"), "x.yaml:1: optim.lr = 1_0: must be a number in [0, 10]");
  EXPECT_EQ(text_message("optim.lr:"), "x.yaml:1: optim.lr = null: must be a number in [0, 10]");
  EXPECT_EQ(text_message("optim.lr: ''"), "x.yaml:1: optim.lr = \"\": must be a number in [0, 10]");
  EXPECT_EQ(text_message("optim.lr: {a: 1}"), "x.yaml:1: optim.lr = {...}: must be a number, not a map");
  EXPECT_EQ(text_message("run.seed: 1.5"), "x.yaml:1: run.seed = 1.5: must be an integer");
  EXPECT_EQ(text_message("run.device: cud"),
            "x.yaml:1: run.device = cud: must be one of auto, cpu, cuda; did you mean 'cuda'?");
  EXPECT_EQ(text_message("model.image_size: [96, x]"),
            "x.yaml:1: model.image_size = [96, x]: must be a list of integers, each at least 1");
  EXPECT_TRUE(contains(text_message("model.image_size: [[1, 2], 3]"), "list or a map inside a list"));
  EXPECT_EQ(text_message("optim: 5"), "x.yaml:1: 'optim' is a section, so it cannot be 5");
  EXPECT_EQ(text_message("model:\n- a\n"), "x.yaml:1: 'model' is a section, so it cannot be [a]");
}

TEST(Config, LongAndMultiLineValuesAreShownShort) {
  const std::string message = text_message("run.seed: |\n  a\n  " + std::string(500, 'b') + "\n");
  EXPECT_LT(message.size(), 160U);
  EXPECT_EQ(message.find('\n'), std::string::npos);
  std::string umlauts = "run.seed: x";
  for (int i = 0; i < 100; ++i) umlauts += "ä";
  EXPECT_TRUE(is_utf8(text_message(umlauts)));
}

TEST(Config, DuplicatesAreErrors) {
  EXPECT_EQ(text_message("run.seed: 1\nrun.seed: 1\n"), "x.yaml:2: 'run.seed' is given twice; first on line 1");
  EXPECT_EQ(text_message("optim:\n  lr: 1\noptim.lr: 2\n"), "x.yaml:3: 'optim.lr' is given twice; first on line 2");
  EXPECT_EQ(text_message("optim:\n  lr: 1\noptim:\n  betas: [1]\n"),
            "x.yaml:3: 'optim' is given twice; first on line 1");
}

TEST(Config, WrongDocumentsAreErrors) {
  EXPECT_EQ(text_message("just a text"), "x.yaml:1: a config must be a map of 'key: value' lines, not just a text");
  EXPECT_TRUE(contains(text_message("- a\n- b\n"), "x.yaml:1: a config must be a map"));
  EXPECT_TRUE(contains(text_message("optim:\n  lr: [1, 2\nrun.seed: 3\n"), "YAML: "));
  EXPECT_TRUE(contains(text_message("run.seed: 1\n bad\n: x: y: [\n"), "x.yaml:"));
  EXPECT_TRUE(contains(text_message("run.seed: 1\n---\nrun.seed: 2\n"), "second YAML document"));
  EXPECT_TRUE(contains(text_message("a: &x 1\n"), "anchors"));
  EXPECT_TRUE(contains(text_message("a: &x 1\nb: *x\n"), "anchors"));
  EXPECT_TRUE(contains(text_message("optim: {<<: {lr: 1}}"), "merge keys"));
  EXPECT_TRUE(contains(text_message("run.seed: !!int 1"), "tags"));
  EXPECT_TRUE(contains(text_message("run.dir: \"a\\Nb\""), "escapes"));
  EXPECT_TRUE(contains(text_message("[1, 2]: 3"), "a key must be a name"));
  EXPECT_TRUE(contains(text_message("? {a: b}\n: 3"), "a key must be a name"));
  EXPECT_TRUE(contains(text_message("~: 3"), "a key must be a name"));
  EXPECT_EQ(text_message("optim:\n\tlr: 1\n"), "x.yaml:2: a tab at the start of the line");
  EXPECT_EQ(text_message(std::string("run.seed: 1\n\0", 13)), "x.yaml:2: not a text file: it holds the byte 0");
  // yaml-cpp would stop reading there
  EXPECT_TRUE(contains(text_message("run.seed: 1\x04\nnonsense: 2\n"), "the byte 4"));
  EXPECT_TRUE(contains(text_message("run.dir: \xff\xfe\n"), "not UTF-8"));
  EXPECT_TRUE(contains(text_message(std::string(100000, '[')), "x.yaml:1: YAML: "));
  EXPECT_TRUE(contains(text_message("base: other.yaml"), "'base' works only in a file"));
}

TEST(ConfigFile, BadFiles) {
  TempFolder folder;
  EXPECT_TRUE(contains(file_error(folder / "none.yaml").what(), "none.yaml: No such file"));
  EXPECT_TRUE(contains(file_error(folder.path()).what(), "Is a directory"));
  EXPECT_TRUE(contains(file_error(folder.write("big.yaml", std::string(5 << 20, '#'))).what(), "larger than"));
  EXPECT_TRUE(contains(file_error(folder.write("image.png", std::string("\x89PNG\r\n\x1a\n\0\0", 10))).what(),
                       "image.png:2: not a text file"));
  EXPECT_TRUE(contains(file_error(folder.write("x.yaml", "optim:\n  lr: 20\n")).what(),
                       (folder / "x.yaml").string() + ":2: optim.lr = 20"));
  Sample sample;
  EXPECT_NO_THROW(read_config_file(folder.write("empty.yaml", ""), sample.options));
}

TEST(ConfigFile, BaseIsReadFirstAndRelativeToTheFile) {
  TempFolder folder;
  folder.write("configs/default.yaml", "optim: {lr: 1, weight_decay: 1}\nrun.seed: 1\n");
  folder.write("configs/more/middle.yaml", "optim: {lr: 2}\nbase: ../default.yaml\nrun.seed: 2\n");
  const auto path = folder.write("small.yaml", "run.seed: 3\nbase: configs/more/middle.yaml\n");
  Sample sample;
  read_config_file(path, sample.options);
  EXPECT_EQ(sample.config.optim.lr, 2);
  EXPECT_EQ(sample.config.optim.weight_decay, 1);
  EXPECT_EQ(sample.config.seed, 3);
}

TEST(ConfigFile, BadBases) {
  TempFolder folder;
  const auto a = folder.write("a.yaml", "base: b.yaml\n");
  folder.write("b.yaml", "run.seed: 1\nbase: ./c/../a.yaml\n");
  std::filesystem::create_directory(folder / "c");
  EXPECT_TRUE(contains(file_error(a).what(), "b.yaml:2: base = ./c/../a.yaml: the base files form a cycle"));
  const auto self = folder.write("self.yaml", "base: self.yaml\n");
  EXPECT_TRUE(contains(file_error(self).what(), "cycle"));
  std::filesystem::create_symlink(self, folder / "link.yaml");
  folder.write("self.yaml", "base: link.yaml\n");
  EXPECT_TRUE(contains(file_error(self).what(), "cycle"));
  const std::string missing = file_error(folder.write("d.yaml", "\nbase: none.yaml\n")).what();
  EXPECT_TRUE(contains(missing, "d.yaml:2: "));
  EXPECT_TRUE(contains(missing, "none.yaml: No such file"));
  for (const char* bad : {"base:", "base: ''", "base: [a.yaml]", "base: {a: b}"})
    EXPECT_TRUE(contains(file_error(folder.write("e.yaml", bad)).what(), "must be the path")) << bad;
  EXPECT_TRUE(contains(file_error(folder.write("f.yaml", "optim: {base: a.yaml}")).what(), "unknown key 'optim.base'"));
  folder.write("g.yaml", "optim.lr: 20");
  EXPECT_TRUE(contains(file_error(folder.write("h.yaml", "base: g.yaml")).what(), "g.yaml:1: optim.lr = 20"));
}

TEST(ConfigFile, TheSameBaseOnTwoPathsIsNoCycle) {
  TempFolder folder;
  folder.write("a.yaml", "run.seed: 4");
  folder.write("b.yaml", "base: a.yaml");
  Sample sample;
  read_config_file(folder / "a.yaml", sample.options);
  read_config_file(folder.write("c.yaml", "base: b.yaml"), sample.options);
  EXPECT_EQ(sample.config.seed, 4);
}

TEST(ConfigFile, FromAPipe) {
  TempFolder folder;
  const auto pipe_path = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe_path.c_str(), 0600), 0);
  const pid_t writer = fork();
  if (writer == 0) {
    std::ofstream(pipe_path) << "run.seed: 9\n";
    _exit(0);
  }
  Sample sample;
  read_config_file(pipe_path, sample.options);
  EXPECT_EQ(sample.config.seed, 9);
}

TEST(Override, SetsValues) {
  Sample sample;
  for (const char* assignment : {"optim.lr=.5", "model.image_size=[64, 32]", "run.device=cpu", "optim.betas=0.5",
                                 " run.seed = 12 ", "model.has_bias=no", "model.heads=[a, \"b c\"]"}) {
    apply_override(assignment, sample.options);
  }
  EXPECT_EQ(sample.config.optim.lr, 0.5);
  EXPECT_EQ(sample.config.model.image_size, (std::vector<int64_t>{64, 32}));
  EXPECT_EQ(sample.config.device, "cpu");
  EXPECT_EQ(sample.config.optim.betas, (std::vector<double>{0.5}));
  EXPECT_EQ(sample.config.seed, 12);
  EXPECT_FALSE(sample.config.model.has_bias);
  EXPECT_EQ(sample.config.model.heads, (std::vector<std::string>{"a", "b c"}));
  apply_override("run.seed=13", sample.options);  // the last one counts
  EXPECT_EQ(sample.config.seed, 13);
}

TEST(Override, PathsAreTakenAsTheyStand) {
  Sample sample;
  for (const std::string path : {"/data/a #1/x.csv", "a: b", "C:\\x", "*.csv", "&x", "!y", "%z", "- a", "@q", "a=b",
                                 "runs/ä", "~/runs", "a, b", "#", "| x", "a\tb"}) {
    apply_override("run.dir=" + path, sample.options);
    EXPECT_EQ(sample.config.dir, path);
  }
  for (const char* empty : {"run.dir=", "run.dir=  ", "run.dir=null", "run.dir=~", "run.dir=''", "run.dir=\"\""}) {
    sample.config.dir = "x";
    apply_override(empty, sample.options);
    EXPECT_EQ(sample.config.dir, "") << empty;
  }
  apply_override("run.dir='null'", sample.options);
  EXPECT_EQ(sample.config.dir, "null");
}

TEST(Override, Errors) {
  EXPECT_STREQ(override_error("optim.lr").what(), "command line: 'optim.lr' has no '='");
  EXPECT_EQ(override_error("optim.lr").hint(), "write optim.lr=VALUE");
  EXPECT_TRUE(contains(override_error("extra").hint(), "key=value"));
  EXPECT_STREQ(override_error("optim.lr=20").what(), "command line: optim.lr = 20: must be a number in [0, 10]");
  EXPECT_STREQ(override_error("optim.lrr=1").what(), "command line: unknown key 'optim.lrr'");
  EXPECT_TRUE(contains(override_error("optim.lrr=1").hint(), "did you mean 'optim.lr'?"));
  EXPECT_TRUE(contains(override_error("--optim.lr=1").hint(), "did you mean 'optim.lr'?"));
  EXPECT_TRUE(contains(override_error("optim=1").what(), "'optim' is a section"));
  EXPECT_TRUE(contains(override_error("base=x.yaml").what(), "'base' works only in a file"));
  EXPECT_TRUE(contains(override_error("=1").what(), "unknown key ''"));
  EXPECT_TRUE(contains(override_error("").what(), "has no '='"));
  EXPECT_TRUE(contains(override_error("model.image_size=[1, 2").what(), "model.image_size = [1, 2"));
  EXPECT_TRUE(contains(override_error("model.image_size={a: 1}").what(), "not a map"));
  EXPECT_TRUE(contains(override_error("run.dir=\xff").what(), "not UTF-8"));
}

}  // namespace
}  // namespace vmae
