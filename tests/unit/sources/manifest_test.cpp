// Tables as people's programs write them: text, numbers as labels, and who the patients are.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/sources/csv.h"
#include "vmae/sources/patients.h"
#include "vmae/sources/source.h"

namespace vmae::io {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;
using Texts = std::vector<std::string>;

class ManifestTest : public ::testing::Test {
 protected:
  Source read(const std::string& text) { return find_source(folder_.write("m.csv", text)); }
  std::string wrong(const std::string& text) {
    const Error error = error_of([&] { read(text); });
    EXPECT_EQ(error.code(), ExitCode::data) << text;
    return error.what();
  }
  static std::string remarks(const Source& source) {
    std::string text;
    for (const SourceRemark& remark : source.remarks) text += remark.name + ": " + remark.text + "\n";
    return text;
  }
  TempFolder folder_;
};

TEST_F(ManifestTest, NumbersAsLabelsAreTakenByValue) {
  const Source source = read("image,label\na.png,10.0\nb.png,1\nc.png,2.0\nd.png,01\ne.png,\nf.png,1.0\n");
  EXPECT_EQ(source.label_names, (Texts{"1", "2", "10"}));
  EXPECT_EQ(source.files[0].labels, (std::vector<float>{0, 0, 1}));
  for (const size_t one : {1, 3, 5}) EXPECT_EQ(source.files[one].labels, (std::vector<float>{1, 0, 0}));
  EXPECT_TRUE(std::isnan(source.files[4].labels[0]));
  EXPECT_TRUE(contains(remarks(source), "the labels 01, 1, 1.0 are one class: 1"));
  EXPECT_EQ(read("image,label\na.png,0.0\nb.png,1.0\n").label_names,
            read("image,label\na.png,0\nb.png,1\n").label_names);
  EXPECT_TRUE(contains(remarks(read("image,label\na.png,Liver\nb.png,liver\n")),
                       "'Liver' and 'liver' differ by the case of letters only"));
  EXPECT_EQ(read("image,label\na.png,\" x\"\nb.png,x\n").label_names, (Texts{"x"}));
}

TEST_F(ManifestTest, PatientsByAllTheirNames) {
  for (const char* column : {"patient", "patient_id", "PatientID", "patientid", "Patient ID", "subject", "subject_id",
                             "Subject-ID", "participant_id"}) {
    const Source source = read(std::string("image,") + column + "\na.png,0\nb.png,1\nc.png,0\n");  // never a finding
    EXPECT_TRUE(source.label_names.empty()) << column;
    EXPECT_EQ(source.files[0].patient, "0") << column;
    EXPECT_EQ(source.files[2].patient, "0") << column;
    EXPECT_EQ(remarks(source), "") << column;
  }
  const Source equal = read("image,patient,PatientID\na.png,p,p\nb.png,q,q\n");
  EXPECT_EQ(equal.files[1].patient, "q");
  EXPECT_EQ(remarks(equal), "");
  EXPECT_TRUE(contains(wrong("image,patient,subject\na.png,p,p\nb.png,q,r\n"),
                       "m.csv:3: the columns patient and subject both say who the patient is, and differ"));
  const Source some = read("image,patient\na.png,p\nb.png,\n");
  EXPECT_TRUE(contains(remarks(some), "patients are not known of 1 of 2 files"));
  EXPECT_TRUE(
      contains(remarks(read("image\na.png\nb.png\n")), "patients are not known: each file counts as its own patient"));
}

TEST_F(ManifestTest, WhatIsNotUsedIsNamed) {
  const Source source = read("image,subjects,age,Effusion\na.png,0,60,1\nb.png,1,50,0\n");
  EXPECT_EQ(source.label_names, (Texts{"Effusion"}));  // subjects are no finding
  EXPECT_TRUE(contains(remarks(source), "columns are not used: subjects, age"));
  EXPECT_TRUE(contains(remarks(read("image,label,x\na.png,p,1\nb.png,q,0\n")), "a column is not used: x"));
  EXPECT_TRUE(read(",image\n0,a.png\n1,b.png\n").label_names.empty());  // pandas' index
  EXPECT_TRUE(contains(wrong("image,\na.png,1\nb.png,0\n"), "m.csv:1: column 2 has no name, but holds findings"));
  EXPECT_TRUE(contains(wrong("image,1,1.0\na.png,1,0\nb.png,0,1\n"), "two classes are called 1 ('1' and '1.0')"));
}

TEST_F(ManifestTest, TextAsExcelWritesIt) {
  const std::string what = wrong("image;label\na.png;gut\nb.png;b\xf6s\n");
  EXPECT_TRUE(contains(what, "m.csv:3: is not UTF-8 text"));
  const Source source = read("\xEF\xBB\xBFsep=;\r\nimage;label\r\na.png;gut\r\nb.png;b\u00f6s\r\n;\r\n;\r\n");
  EXPECT_EQ(source.label_names, (Texts{"b\u00f6s", "gut"}));
  EXPECT_EQ(source.files.size(), 2U);
  // Of a folder: the table that seems to be its manifest is not passed over.
  folder_.write("f/m.csv", "sep=;\nFile;label\na.png;b\xf6s\n");
  folder_.write("f/a.png", "x");
  EXPECT_TRUE(contains(error_of([&] { find_source(folder_ / "f"); }).what(), "m.csv:3: is not UTF-8"));
  folder_.write("f/m.csv", "who;what\nb\xf6s;1\n");
  EXPECT_EQ(find_source(folder_ / "f").layout, "files");
}

TEST(CsvText, SeparatorLines) {
  for (const char separator : {',', ';', '\t', '|'}) {
    for (const char* end : {"\n", "\r\n", "\r"}) {
      const std::string s(1, separator);
      const Csv csv =
          parse_csv("sep=" + s + end + "a" + s + "\"b,c;d\"" + end + "1" + s + "\"2" + s + "3\"" + end, "t.csv");
      ASSERT_EQ(csv.columns.front(), "a");
      EXPECT_EQ(csv.rows.at(0).fields.back(), "2" + s + "3");
      EXPECT_EQ(csv.rows.at(0).line, 3);
    }
  }
  EXPECT_EQ(parse_csv("sep\n1\n", "t.csv").columns, (Texts{"sep"}));
  EXPECT_EQ(parse_csv("\"sep=;\"\na;b\n1;2\n", "t.csv").columns, (Texts{"a", "b"}));
}

}  // namespace
}  // namespace vmae::io
