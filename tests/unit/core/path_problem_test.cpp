#include "vmae/core/path_problem.h"

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace vmae {
namespace {

TEST(PathProblem, TellsAbsentFromWhatCannotBeSeen) {
  const test::TempFolder folder;
  folder.write("file", "x");
  EXPECT_EQ(path_problem(folder.path()), "");
  EXPECT_EQ(path_problem(folder / "file"), "");
  EXPECT_EQ(path_problem(folder / "nothing"), "does not exist");
  EXPECT_EQ(path_problem(folder / "file" / "below"), "does not exist");
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  EXPECT_EQ(path_problem(folder / "dangling"), "does not exist");
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_EQ(path_problem(folder / "loop"), "can't be looked at: Too many levels of symbolic links");
  EXPECT_EQ(path_problem(folder / std::string(300, 'a')), "can't be looked at: File name too long");
}

}  // namespace
}  // namespace vmae
