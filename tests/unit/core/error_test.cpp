#include "vmae/core/error.h"

#include <gtest/gtest.h>

#include <cerrno>
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
  const auto of = [](std::errc code) {
    return error_of(fs::filesystem_error("copy", "file", "other", std::make_error_code(code)));
  };
  for (const std::errc code : {std::errc::too_many_symbolic_link_levels, std::errc::permission_denied,
                               std::errc::not_a_directory, std::errc::read_only_file_system}) {
    EXPECT_EQ(of(code).code(), ExitCode::usage);
    EXPECT_TRUE(std::string(of(code).what()).starts_with("file or other: ")) << of(code).what();
  }
  for (const std::errc code :
       {std::errc::io_error, std::errc::no_such_file_or_directory, std::errc::too_many_files_open}) {
    EXPECT_EQ(of(code).code(), ExitCode::internal);
    EXPECT_TRUE(std::string(of(code).what()).starts_with("internal error: ")) << of(code).what();
  }
}

TEST(ErrorOf, AFullDiskIsNoBug) {
  for (const std::error_code code :
       {std::make_error_code(std::errc::no_space_on_device), std::error_code(EDQUOT, std::generic_category())}) {
    const Error full = error_of(fs::filesystem_error("copy", "file", code));
    EXPECT_EQ(full.code(), ExitCode::internal);
    EXPECT_TRUE(std::string(full.what()).starts_with("file: "));
    EXPECT_EQ(full.hint(), "free some disk");
  }
}

TEST(ErrorOf, WhatNamesNoPathIsNoAdviceAboutOne) {
  const auto denied = std::make_error_code(std::errc::permission_denied);
  EXPECT_TRUE(std::string(error_of(fs::filesystem_error("next", denied)).what()).starts_with("internal error: "));
}

TEST(ErrorOf, TheRestIsAnInternalError) {
  EXPECT_STREQ(error_of(std::bad_alloc()).what(), "out of memory");
  const Error error = error_of(std::runtime_error("odd"));
  EXPECT_EQ(error.code(), ExitCode::internal);
  EXPECT_STREQ(error.what(), "internal error: odd");
}

}  // namespace
}  // namespace vmae
