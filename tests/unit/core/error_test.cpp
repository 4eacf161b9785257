#include "vmae/core/error.h"

#include <gtest/gtest.h>

#include <new>
#include <system_error>

#include "support/temp_folder.h"

namespace vmae {
namespace {

namespace fs = std::filesystem;

TEST(ErrorOf, ErrorsStayAsTheyAre) {
  const Error error = error_of(Error(ExitCode::checkpoint, "what", "hint"));
  EXPECT_EQ(error.code(), ExitCode::checkpoint);
  EXPECT_STREQ(error.what(), "what");
  EXPECT_EQ(error.hint(), "hint");
}

TEST(ErrorOf, PathsThatTheSystemRefusesAreTheUsersAndItsFailuresAreNot) {
  const test::TempFolder folder;
  const fs::path name(std::string(300, 'a'));
  try {
    const bool is_there = fs::is_directory(folder / name);
    FAIL() << "the system takes any name: " << is_there;
  } catch (const std::exception& problem) {
    const Error error = error_of(problem);
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_EQ(error.what(), (folder / name).string() + ": File name too long");
  }
  const Error full = error_of(fs::filesystem_error("x", "file", std::make_error_code(std::errc::no_space_on_device)));
  EXPECT_EQ(full.code(), ExitCode::internal);
  EXPECT_STREQ(full.what(), "file: No space left on device");
}

TEST(ErrorOf, TheRestIsAnInternalError) {
  EXPECT_STREQ(error_of(std::bad_alloc()).what(), "out of memory");
  const Error error = error_of(std::runtime_error("odd"));
  EXPECT_EQ(error.code(), ExitCode::internal);
  EXPECT_STREQ(error.what(), "internal error: odd");
}

}  // namespace
}  // namespace vmae
