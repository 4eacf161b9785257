#include "vmae/report/json_lines.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace vmae {
namespace {

using test::slurp;
using test::TempFolder;

TEST(JsonLines, TruncatesOrAppends) {
  TempFolder folder;
  const auto path = folder.write("m.jsonl", "{\"old\": 1}\n");
  JsonLines(path, /*append=*/true).write("{\"a\": 1}");
  EXPECT_EQ(slurp(path), "{\"old\": 1}\n{\"a\": 1}\n");
  JsonLines(path, /*append=*/false).write("{\"b\": 1}");
  EXPECT_EQ(slurp(path), "{\"b\": 1}\n");
  JsonLines(folder / "new.jsonl", /*append=*/true).write("{}");
  EXPECT_EQ(slurp(folder / "new.jsonl"), "{}\n");
}

TEST(JsonLines, EveryLineIsThereAtOnce) {
  TempFolder folder;
  JsonLines lines(folder / "m.jsonl", false);
  for (int i = 0; i < 10; ++i) {
    lines.write(nlohmann::json{{"step", i}, {"text", "a\nb"}}.dump());
    EXPECT_EQ(std::ranges::count(slurp(folder / "m.jsonl"), '\n'), i + 1);
  }
}

TEST(JsonLines, AppendingAfterAKillDropsTheTornLine) {
  TempFolder folder;
  const auto path = folder.write("m.jsonl", "{\"a\": 1}\n{\"b\": ");
  JsonLines(path, true).write("{\"c\": 1}");
  EXPECT_EQ(slurp(path), "{\"a\": 1}\n{\"c\": 1}\n");
}

TEST(JsonLines, ANewlineInsideIsABug) {
  TempFolder folder;
  JsonLines lines(folder / "m.jsonl", false);
  EXPECT_EQ(test::error_of([&] { lines.write("{\n}"); }).code(), ExitCode::internal);
  EXPECT_EQ(slurp(folder / "m.jsonl"), "");
  EXPECT_EQ(test::error_of([&] { JsonLines(folder / "none" / "m.jsonl", true); }).code(), ExitCode::usage);
}

TEST(TruncateAfter, KeepsTheLinesAskedFor) {
  TempFolder folder;
  std::string content;
  for (int i = 1; i <= 5; ++i) content += nlohmann::json{{"step", i}}.dump() + "\n";
  const auto path = folder.write("m.jsonl", content + "{\"step\": 6");
  const auto up_to = [](int last) {
    return [last](const std::string& line) { return nlohmann::json::parse(line).at("step").get<int>() <= last; };
  };
  truncate_after(path, up_to(5));
  EXPECT_EQ(slurp(path), content);
  truncate_after(path, up_to(3));
  EXPECT_EQ(slurp(path), "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
  truncate_after(path, up_to(0));
  EXPECT_EQ(slurp(path), "");
}

TEST(TruncateAfter, LeavesTheFileWhereThereIsNothingToDo) {
  TempFolder folder;
  const auto path = folder.write("m.jsonl", "a\n\nb\n");
  const auto before = std::filesystem::last_write_time(path);
  truncate_after(path, [](const std::string&) { return true; });
  EXPECT_EQ(std::filesystem::last_write_time(path), before);
  EXPECT_THROW(truncate_after(path, [](const std::string&) -> bool { throw std::runtime_error("bad line"); }),
               std::runtime_error);
  EXPECT_EQ(slurp(path), "a\n\nb\n");
  EXPECT_NO_THROW(truncate_after(folder / "none.jsonl", [](const std::string&) { return false; }));
  EXPECT_FALSE(std::filesystem::exists(folder / "none.jsonl"));
}

}  // namespace
}  // namespace vmae
