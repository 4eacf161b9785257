#pragma once
// The structures that masks name, the numbers that these get in the dataset, and what is odd about them.
// `classes`: as classes_of_structures() gives them; empty: prepare.structures chooses nothing.
#include <string>
#include <vector>

#include "vmae/prepare/plan.h"
#include "vmae/sources/source.h"

namespace vmae::run {

// What masks call their values 1, 2, ...: by their names where that is asked for or numbers differ; else numbers are
// kept. Throws Error: a class that no mask has, a mask without names where `classes` choose by name, numberings that
// contradict each other.
std::vector<std::string> number_structures(const io::Source& source, const std::vector<NamedTexts>& classes,
                                           std::vector<PlannedCase>& cases);

// What is odd about names over all cases: wanted ones that no mask has, and those that differ in case only.
std::vector<std::string> remarks_on_structures(const std::vector<NamedTexts>& classes,
                                               const std::vector<PlannedCase>& cases);

// A remark on an overlap within one class, which is none.
bool is_within_a_class(const std::string& remark, const std::vector<NamedTexts>& classes);

// Names of structures are written without what identifies patients, and must still be names of their own.
void check_redacted(const std::vector<std::string>& names, const Pseudonyms& pseudonyms);

}  // namespace vmae::run
