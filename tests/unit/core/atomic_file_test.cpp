#include "vmae/core/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/core/append_file.h"

namespace vmae {
namespace {

using test::contains;
using test::error_of;
using test::slurp;
using test::TempFolder;

size_t num_files(const std::filesystem::path& folder) {
  return static_cast<size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

// Runs `body` in a child whose files may not grow past `limit` bytes; the child exits with what `body` returns.
template <class Body>
int with_file_size_limit(rlim_t limit, Body body) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limits{limit, limit};
    setrlimit(RLIMIT_FSIZE, &limits);
    try {
      _exit(body());
    } catch (...) {
      _exit(99);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AtomicFile, AppearsOnlyAtCommit) {
  TempFolder folder;
  const auto target = folder / "a.bin";
  {
    AtomicFile file(target);
    file.write("hello");
    EXPECT_FALSE(std::filesystem::exists(target));
    EXPECT_EQ(num_files(folder.path()), 1U);
    file.write(std::string_view(" world"));
    file.commit();
    EXPECT_EQ(slurp(target), "hello world");
  }
  EXPECT_EQ(slurp(target), "hello world");
  EXPECT_EQ(num_files(folder.path()), 1U);
}

TEST(AtomicFile, WithoutCommitTheTargetIsUntouched) {
  TempFolder folder;
  const auto target = folder.write("a.bin", "old");
  { AtomicFile(target).write("new"); }
  EXPECT_EQ(slurp(target), "old");
  EXPECT_EQ(num_files(folder.path()), 1U);
}

TEST(AtomicFile, WritesAtAnOffset) {
  TempFolder folder;
  AtomicFile file(folder / "a.bin");
  file.write("0123456789");
  file.write_at(2, "ab", 2);
  file.write("X");  // still at the end
  EXPECT_EQ(error_of([&] { file.write_at(10, "ab", 2); }).code(), ExitCode::internal);
  EXPECT_EQ(error_of([&] { file.write_at(SIZE_MAX, "ab", 2); }).code(), ExitCode::internal);
  file.commit();
  EXPECT_EQ(slurp(folder / "a.bin"), "01ab456789X");
}

TEST(AtomicFile, HonoursTheUmask) {
  TempFolder folder;
  const mode_t before = umask(027);
  write_file_atomically(folder / "a", "x");
  umask(before);
  struct stat status {};
  ASSERT_EQ(stat((folder / "a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
}

TEST(AtomicFile, PassesByALeftOverTemporaryFile) {
  TempFolder folder;
  const std::string left_over = concat("a.", getpid(), ".0.tmp");
  folder.write(left_over, "of a killed run");
  write_file_atomically(folder / "a", "x");
  EXPECT_EQ(slurp(folder / "a"), "x");
  EXPECT_EQ(slurp(folder / left_over), "of a killed run");
}

TEST(AtomicFile, NamesPathAndReason) {
  TempFolder folder;
  const Error missing = error_of([&] { AtomicFile file(folder / "none" / "a"); });
  EXPECT_EQ(missing.code(), ExitCode::usage);
  EXPECT_TRUE(contains(missing.what(), (folder / "none" / "a").string()));
  EXPECT_TRUE(contains(missing.what(), "No such file"));
  EXPECT_TRUE(contains(error_of([&] { AtomicFile file(folder.path()); }).what(), "Is a directory"));
}

TEST(AtomicFile, AFullDiskSaysHowMuchWasNeeded) {
  TempFolder folder;
  const auto target = folder.write("a", "old");
  EXPECT_EQ(with_file_size_limit(1000,
                                 [&] {
                                   try {
                                     AtomicFile file(target);
                                     file.write(std::string(600, 'x'));
                                     file.write(std::string(1000, 'y'));
                                     return 1;
                                   } catch (const Error& error) {
                                     return contains(error.what(), "disk full") &&
                                                    contains(error.what(), "600 more bytes") &&
                                                    contains(error.what(), "after 1000 written")
                                                ? 42
                                                : 2;
                                   }
                                 }),
            42);
  EXPECT_EQ(slurp(target), "old");
  EXPECT_EQ(num_files(folder.path()), 1U);
}

TEST(ReadFile, ReadsBytes) {
  TempFolder folder;
  const std::string content = std::string("a\0b\r\n", 5) + std::string(200000, 'z');
  EXPECT_EQ(read_file(folder.write("a", content)), content);
  EXPECT_EQ(read_file(folder.write("b", "")), "");
}

TEST(ReadFile, NamesPathAndReason) {
  TempFolder folder;
  const Error missing = error_of([&] { read_file(folder / "none.csv"); });
  EXPECT_EQ(missing.code(), ExitCode::data);
  EXPECT_TRUE(contains(missing.what(), "none.csv: No such file"));
  EXPECT_TRUE(contains(error_of([&] { read_file(folder.path()); }).what(), "Is a directory"));
}

TEST(AppendFile, OpensAsAsked) {
  TempFolder folder;
  const auto path = folder.write("a", "1");
  AppendFile(path, AppendFile::Open::append).append("2");
  EXPECT_EQ(slurp(path), "12");
  EXPECT_FALSE(AppendFile(path, AppendFile::Open::create_new).is_open());
  EXPECT_EQ(slurp(path), "12");
  AppendFile(path, AppendFile::Open::truncate).append("3");
  EXPECT_EQ(slurp(path), "3");
  EXPECT_TRUE(AppendFile(folder / "b", AppendFile::Open::create_new).is_open());
  EXPECT_EQ(error_of([&] { AppendFile(folder / "none" / "a", AppendFile::Open::append); }).code(), ExitCode::usage);
}

// What an AtomicFile that never came to its end leaves is known by its name, and nothing else is.
TEST(AtomicFile, UnfinishedWritesAreKnownAndRemoved) {
  TempFolder folder;
  std::filesystem::create_directories(folder / "inner");
  std::string left;
  {
    AtomicFile file(folder / "a.nii.gz");
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      if (entry.is_regular_file()) left = entry.path().filename().string();
    }
  }
  EXPECT_EQ(target_of_unfinished_write(folder / left), "a.nii.gz") << left;
  for (const char* other : {"a.tmp", "a.1.tmp", "a.1.2", "a.1x.2.tmp", "a.1..tmp", ".tmp", "a.nii.gz"}) {
    EXPECT_EQ(target_of_unfinished_write(other), "") << other;
    folder.write(other, "of the user");
  }
  folder.write(left, "half");
  folder.write("inner/b.json.12.0.tmp", "half");
  remove_unfinished_writes(folder.path());
  EXPECT_FALSE(std::filesystem::exists(folder / left));
  EXPECT_TRUE(std::filesystem::exists(folder / "inner/b.json.12.0.tmp"));
  remove_unfinished_writes(folder.path(), /*everywhere=*/true);
  EXPECT_FALSE(std::filesystem::exists(folder / "inner/b.json.12.0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / "a.1.tmp"));
  remove_unfinished_writes(folder / "nowhere");
}

TEST(AppendFile, AFullDiskLeavesWholeRecords) {
  TempFolder folder;
  const auto path = folder / "a";
  EXPECT_EQ(with_file_size_limit(
                100,
                [&] {
                  AppendFile file(path, AppendFile::Open::append);
                  file.append(std::string(60, 'a'));
                  int code = 1;
                  try {
                    file.append(std::string(60, 'b'));
                  } catch (const Error& error) {
                    code = contains(error.what(), "disk full") && contains(error.what(), "60 more bytes") ? 42 : 2;
                  }
                  file.append(std::string(40, 'c'));
                  return code;
                }),
            42);
  EXPECT_EQ(slurp(path), std::string(60, 'a') + std::string(40, 'c'));
}

}  // namespace
}  // namespace vmae
