#pragma once
// The cases of a plan become shards of a prepared dataset.
#include "output_folder.h"
#include "vmae/prepare/plan.h"

namespace vmae::run {

// Writes all cases that are not there yet. False if a signal stopped it; the same call goes on.
bool write_shards(const Plan& plan, const OutputFolder& folder, const PrepareOptions& options,
                  const Pseudonyms& pseudonyms);

}  // namespace vmae::run
