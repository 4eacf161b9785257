#pragma once
// What `vmae prepare` found, in a few lines for people.
#include <string>

#include "vmae/prepare/plan.h"

namespace vmae::run {

// Cases, patients, modalities, sizes, problems. Names nothing that identifies.
std::string describe_plan(const Plan& plan, const Pseudonyms& pseudonyms);

}  // namespace vmae::run
