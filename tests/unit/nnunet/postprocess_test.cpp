#include "vmae/nnunet/postprocess.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "support/errors.h"
#include "support/source_path.h"
#include "support/temp_folder.h"
#include "vmae/core/atomic_file.h"

namespace vmae::nnunet {
namespace {

using nlohmann::ordered_json;

const ordered_json& golden() {
  static const ordered_json content = [] {
    std::ifstream file(test::source_path("tests/golden/nnunet_postprocess.json"));
    return ordered_json::parse(file);
  }();
  return content;
}

std::vector<uint8_t> of_digits(const std::string& digits) {
  std::vector<uint8_t> labels;
  for (const char digit : digits) labels.push_back(static_cast<uint8_t>(digit - '0'));
  return labels;
}

// z y x in files
std::array<int64_t, 3> size_of(const ordered_json& row) {
  const auto& size = row.at("size");
  return {size[2], size[1], size[0]};
}

Labels labels_of(const ordered_json& row) {
  Labels labels;
  for (const auto& [name, value] : row.at("labels").items()) {
    if (name == "ignore") labels.has_ignore = true;
    if (name == "ignore" || name == "background") continue;
    labels.foreground.push_back(
        {name, value.is_array() ? value.get<std::vector<int64_t>>() : std::vector{value.get<int64_t>()}});
  }
  return labels;
}

LabelledCase case_of(const ordered_json& row, size_t number) {
  const auto& one = row.at("cases")[number];
  LabelledCase labelled{size_of(row), of_digits(one[0]), of_digits(one[1])};
  for (uint8_t& label : labelled.reference) {
    if (row.at("labels").contains("ignore") && label == row["labels"]["ignore"]) label = kIgnoredLabel;
  }
  return labelled;
}

ordered_json to_json(const MeanDice& dice) {
  ordered_json values = ordered_json::array();
  const auto add = [&](double value) { values.push_back(std::isnan(value) ? ordered_json() : ordered_json(value)); };
  add(dice.mean);
  for (const double value : dice.by_entry) add(value);
  return values;
}

ordered_json to_json(const Postprocessing& postprocessing) {
  ordered_json steps = ordered_json::array();
  for (const PostprocessingStep& step : postprocessing.steps) steps.push_back(step.labels);
  return steps;
}

// tests/golden/make_nnunet_postprocess.py: what nnU-Net decides, and its Dice to the last bit.
TEST(Postprocessing, IsWhatNnUnetFinds) {
  const ordered_json rows = golden().at("searches");
  ASSERT_GE(rows.size(), 30U);
  for (const ordered_json& row : rows) {
    SCOPED_TRACE(row.dump().substr(0, 150));
    const FoundPostprocessing found = find_postprocessing(
        std::ssize(row.at("cases")), [&](int64_t i) { return case_of(row, static_cast<size_t>(i)); }, labels_of(row));
    EXPECT_EQ(to_json(found.postprocessing), row.at("steps"));
    EXPECT_EQ(to_json(found.before), row.at("before"));
    EXPECT_EQ(to_json(found.after), row.at("after"));
    EXPECT_EQ(found.report.size(), labels_of(row).foreground.size() > 1 ? labels_of(row).foreground.size() + 2 : 2);
  }
}

TEST(Postprocessing, RemovesWhatNnUnetRemoves) {
  const ordered_json rows = golden().at("removals");
  ASSERT_GE(rows.size(), 36U);
  for (const ordered_json& row : rows) {
    SCOPED_TRACE(row.dump());
    std::vector<uint8_t> labels = of_digits(row.at("before"));
    apply({{{row.at("labels").get<std::vector<int64_t>>()}}}, labels, size_of(row));
    EXPECT_EQ(labels, of_digits(row.at("after")));
  }
}

// The component of a voxel, found one neighbour at a time.
std::vector<size_t> flooded(const std::vector<bool>& mask, const std::array<int64_t, 3>& size, size_t start,
                            std::vector<bool>& seen) {
  std::vector<size_t> component{start};
  seen[start] = true;
  for (size_t k = 0; k < component.size(); ++k) {
    const auto at = static_cast<int64_t>(component[k]);
    const std::array<int64_t, 3> place{at % size[0], at / size[0] % size[1], at / (size[0] * size[1])};
    for (int64_t step = 0; step < 27; ++step) {
      const std::array<int64_t, 3> next{place[0] + step % 3 - 1, place[1] + step / 3 % 3 - 1, place[2] + step / 9 - 1};
      bool is_inside = true;
      for (size_t axis = 0; axis < 3; ++axis) is_inside &= next[axis] >= 0 && next[axis] < size[axis];
      const auto voxel = static_cast<size_t>(next[0] + size[0] * (next[1] + size[1] * next[2]));
      if (!is_inside || !mask[voxel] || seen[voxel]) continue;
      seen[voxel] = true;
      component.push_back(voxel);
    }
  }
  return component;
}

std::vector<uint8_t> by_flooding(const PostprocessingStep& step, std::vector<uint8_t> labels,
                                 const std::array<int64_t, 3>& size) {
  std::vector<bool> mask(labels.size()), seen(labels.size());
  for (size_t i = 0; i < labels.size(); ++i)
    mask[i] = std::find(step.labels.begin(), step.labels.end(), labels[i]) != step.labels.end();
  std::vector<std::vector<size_t>> components;
  size_t largest = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!mask[i] || seen[i]) continue;
    components.push_back(flooded(mask, size, i, seen));
    largest = std::max(largest, components.back().size());
  }
  for (const auto& component : components) {
    for (const size_t voxel : component) labels[voxel] = component.size() == largest ? labels[voxel] : 0;
  }
  return labels;
}

TEST(Postprocessing, FindsTheComponentsOfFlooding) {
  std::mt19937 random(7);
  const auto below = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
  for (int round = 0; round < 3000; ++round) {
    const std::array<int64_t, 3> size{1 + below(9), 1 + below(7), 1 + below(5)};
    const int64_t share = 1 + below(12);
    std::vector<uint8_t> labels(static_cast<size_t>(size[0] * size[1] * size[2]));
    for (uint8_t& label : labels) label = static_cast<uint8_t>(below(12) < share ? 1 + below(3) : 0);
    const Postprocessing two{{{{1, 3}}, {{1 + below(3)}}}};
    const std::vector<uint8_t> expected = by_flooding(two.steps[1], by_flooding(two.steps[0], labels, size), size);
    apply(two, labels, size);
    ASSERT_EQ(labels, expected) << round << ": " << size[0] << " x " << size[1] << " x " << size[2];
  }
}

TEST(Postprocessing, LeavesNothingOfNothingAndChangesNothingWithoutSteps) {
  std::vector<uint8_t> labels{1, 0, 1}, empty;
  apply({}, labels, {3, 1, 1});
  EXPECT_EQ(labels, (std::vector<uint8_t>{1, 0, 1}));
  apply({{{{2}}}}, labels, {3, 1, 1});
  EXPECT_EQ(labels, (std::vector<uint8_t>{1, 0, 1}));
  apply({{{{1}}}}, empty, {0, 4, 2});
}

TEST(Postprocessing, WhatACaseSaysWrongIsThrown) {
  const Labels labels{.foreground = {{"a", {1}}}, .region_order = {}};
  const Error error = test::error_of([&] {
    find_postprocessing(
        3,
        [](int64_t) {
          return LabelledCase{{2, 2, 1}, {0, 1}, {0, 1, 0, 1}};
        },
        labels);
  });
  EXPECT_EQ(error.code(), ExitCode::internal);
}

FoundPostprocessing some_found() {
  return {{{{{1, 2, 3}}, {{2}}}}, {0.5, {0.25, std::nan("")}}, {0.75, {0.875, 0.625}}, {}};
}

TEST(PostprocessingFile, IsReadAsItWasWritten) {
  const test::TempFolder dir;
  const Labels labels{.foreground = {{"a", {1, 2}}, {"b", {2}}}, .region_order = {1, 2}};
  write_postprocessing(dir / "p.json", some_found(), labels);
  EXPECT_EQ(read_postprocessing(dir / "p.json"), some_found().postprocessing);
  const auto written = ordered_json::parse(read_file(dir / "p.json"));
  EXPECT_EQ(written, ordered_json::parse(
                         R"({"steps": [{"labels": [1, 2, 3]}, {"labels": [2]}],
                          "Dice": {"before": {"mean": 0.5, "of": {"a": 0.25, "b": null}},
                                   "after": {"mean": 0.75, "of": {"a": 0.875, "b": 0.625}}}})"));
}

TEST(PostprocessingFile, OfNnUnetIsRead) {
  const test::TempFolder dir;
  for (const ordered_json& row : golden().at("searches")) {
    write_file_atomically(dir / "p.json", row.at("json").dump());
    EXPECT_EQ(to_json(read_postprocessing(dir / "p.json")), row.at("steps"));
  }
}

TEST(PostprocessingFile, WhatHasNoMeaningIsRefused) {
  const test::TempFolder dir;
  const auto problem_of = [&](const std::string& text) {
    write_file_atomically(dir / "p.json", text);
    const Error error = test::error_of([&] { read_postprocessing(dir / "p.json"); });
    EXPECT_EQ(error.code(), ExitCode::data);
    return std::string(error.what());
  };
  EXPECT_TRUE(test::contains(problem_of("[]"), "p.json: is not JSON of nnU-Net"));
  EXPECT_TRUE(test::contains(problem_of("{}"), "has no \"steps\""));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [], "step": []})"), "unknown key \"step\""));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [{"labels": []}]})"), "\"steps.0.labels\" is []"));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [{"labels": [0]}]})"), "from 1"));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [{"labels": [256]}]})"), "255 at most"));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [{"labels": [1.5]}]})"), "whole number"));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [{"labels": [1], "least_voxels": 5}]})"), "known is"));
  EXPECT_TRUE(test::contains(problem_of(R"({"steps": [[1]]})"), "meant is an object"));
  const auto nnunets = [](const std::string& function, const std::string& argument) {
    return R"({"postprocessing_fns": [")" + function + R"("], "postprocessing_kwargs": [)" + argument + "]}";
  };
  const std::string known = "remove_all_but_largest_component_from_segmentation";
  EXPECT_TRUE(test::contains(problem_of(nnunets("fill_holes", R"({"labels_or_regions": 1})")), known + " alone"));
  EXPECT_TRUE(test::contains(problem_of(nnunets(known, R"({"labels_or_regions": 1, "background_label": 1})")),
                             "\"labels_or_regions\" alone"));
  EXPECT_TRUE(test::contains(problem_of(nnunets(known, "{}")), "labels_or_regions"));
  EXPECT_TRUE(test::contains(problem_of(nnunets(known, "")), "meant is a list of 1"));
}

// The bytes that make_nnunet_postprocess.py gave to nnU-Net's apply_postprocessing_to_folder.
TEST(PostprocessingFile, IsAPickleForNnUnet) {
  const test::TempFolder dir;
  const ordered_json pickle = golden().at("pickle");
  write_nnunet_postprocessing(dir / "p.pkl", {{{{1, 2, 3}}, {{2}}}});
  std::string bytes;
  for (const int64_t byte : pickle) bytes += static_cast<char>(byte);
  EXPECT_EQ(read_file(dir / "p.pkl"), bytes);
}

}  // namespace
}  // namespace vmae::nnunet
