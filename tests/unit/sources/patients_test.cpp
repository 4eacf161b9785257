#include "vmae/sources/patients.h"

#include <gtest/gtest.h>

#include "vmae/sources/case_names.h"

namespace vmae::io {
namespace {

TEST(Patients, IdsAreTextsButForWhatPandasAdds) {
  for (const char* cell : {"7", "7.0", "7.00", " 7 ", "7.0 ", "\u00a07", "7\u00a0"})
    EXPECT_EQ(patient_id(cell), "7") << cell;
  for (const char* cell : {"007", "7.1", "7.", ".0", "1.2.0", "P7.0", "-7", ""}) EXPECT_EQ(patient_id(cell), cell);
}

TEST(Patients, NearlyEqualIdsAreTold) {
  const auto note = [](const std::vector<std::string>& patients) {
    Source source;
    source.layout = "manifest";
    for (size_t i = 0; i < patients.size(); ++i)
      source.files.push_back(
          {.path = "a", .name = std::to_string(i) + ".png", .patient = patients[i], .is_patient_known = true});
    return patients_note(source);
  };
  EXPECT_EQ(note({"P1", "P2", "P1"}), "");
  for (const std::vector<std::string>& patients :
       std::vector<std::vector<std::string>>{{"P1", "p1"}, {"01", "1"}, {"A 1", "a_1", "A-1"}}) {
    EXPECT_NE(note(patients).find("count as different patients: 1 group"), std::string::npos);
    EXPECT_EQ(note(patients).find(patients[0]), std::string::npos) << "ids identify";
  }
}

TEST(Patients, AreCountedAndNamedInOneWay) {
  const auto count = [](int known, int unknown) {
    PatientCount patients;
    for (int i = 0; i < 2 * known; ++i) patients.add(concat("p", i / 2), true);
    for (int i = 0; i < unknown; ++i) patients.add(concat("u", i), false);
    return patients;
  };
  EXPECT_EQ(count(0, 3).number(), std::nullopt);
  EXPECT_EQ(count(0, 3).suffix(), ", patients not known");
  EXPECT_EQ(count(0, 3).number_text(), "not known");
  EXPECT_EQ(count(1, 0).suffix(), " of 1 patient");
  EXPECT_EQ(count(5, 0).suffix(), " of 5 patients");
  EXPECT_EQ(count(5, 1).suffix(), " of 5 patients (1 case: not known)");
  EXPECT_EQ(count(5, 2).number_text(), "5 (2 cases: not known)");
  EXPECT_EQ(count(5, 2).number(), 5U);
}

// Words are taken out whole: the class Spleen of all patients is not that of Mrs Lee.
TEST(Identifying, WordsAreTakenOutNotPartsOfThem) {
  const std::vector<std::string> texts{"Lee", "Ung", "Smith", "HN1", "Leftson^Ann"};
  for (const char* name : {"Spleen", "Lung", "LUNG", "Sleeve", "Artery"}) EXPECT_EQ(without(name, texts), name);
  EXPECT_EQ(without("GTV Lee", texts), "GTV *");
  EXPECT_EQ(without("lee_GTV", texts), "*_GTV");
  EXPECT_EQ(without("LeeCT", texts), "*CT");
  EXPECT_EQ(without("Lee2", texts), "*2");
  EXPECT_EQ(without("GTVlee", texts), "GTV*");
  for (const char* name : {"CTsmith", "scansmith", "MRSMITH", "SMITHs"})
    EXPECT_EQ(to_lower(without(name, texts)).find("smith"), std::string::npos) << name;
  EXPECT_EQ(without("xHN1y", texts), "x*y");
  EXPECT_EQ(without("of leftson^ann.", texts), "of *.");
}

}  // namespace
}  // namespace vmae::io
