#include "vmae/cases/time_points.h"

#include <gtest/gtest.h>

#include <set>

namespace vmae::io {
namespace {

SourceFile named(const std::string& name) { return {"/data/" + name, name, "p", ""}; }

std::vector<std::string> names_of(const std::vector<SourceFile>& files) {
  std::vector<std::string> names;
  for (const SourceFile& file : files) names.push_back(file.name);
  return names;
}

using Strings = std::vector<std::string>;

TEST(TimePoints, OneIsTheFileItself) {
  SourceFile listed = named("a.dcm");
  listed.time_point = 4;
  const std::vector<SourceFile> files = time_points_of(listed, 1);
  ASSERT_EQ(names_of(files), Strings{"a.dcm"});
  EXPECT_EQ(files[0].time_point, 4);
}

TEST(TimePoints, SeveralAreNumberedAndKeepTheRest) {
  const std::vector<SourceFile> files = time_points_of(named("a.nii.gz"), 3);
  ASSERT_EQ(names_of(files), (Strings{"a.nii.gz#t0", "a.nii.gz#t1", "a.nii.gz#t2"}));
  for (int64_t t = 0; t < 3; ++t) {
    EXPECT_EQ(files[static_cast<size_t>(t)].time_point, t);
    EXPECT_EQ(files[static_cast<size_t>(t)].path, named("a.nii.gz").path);
    EXPECT_EQ(files[static_cast<size_t>(t)].patient, "p");
  }
}

TEST(TimePoints, AsTheyAreListed) {
  const auto listed = [](const std::set<std::string>& names) {
    return names_of(listed_time_points(named("a"), [&](const std::string& name) { return names.contains(name); }));
  };
  EXPECT_EQ(listed({"a"}), Strings{"a"});
  EXPECT_EQ(listed({"a", "a#t0"}), Strings{"a"});
  EXPECT_EQ(listed({"a#t0", "a#t1", "a#t3"}), (Strings{"a#t0", "a#t1"}));
  EXPECT_EQ(listed({}), Strings{"a"});
  EXPECT_EQ(listed({"a#t1"}), Strings{"a"});
}

TEST(TimePoints, NamesWithoutThem) {
  EXPECT_EQ(without_time_point("a.nii.gz#t3"), "a.nii.gz");
  EXPECT_EQ(without_time_point("a#t1#t12"), "a#t1");
  for (const char* name : {"a", "a#t", "a#tx", "a#t3x", "#x", ""}) EXPECT_EQ(without_time_point(name), name);
  EXPECT_EQ(without_time_point("a" + time_point_suffix(7)), "a");
}

}  // namespace
}  // namespace vmae::io
