#pragma once
// Commands that may run on several ranks.
#include <functional>

#include "vmae/core/error.h"

namespace vmae::train {
class World;
}

namespace vmae::run {

// Joins the other ranks, if a launcher has started several (docs/cluster.md), runs the
// command, and leaves with them. Rank 0 alone prints. An Error of any rank ends all ranks:
// rank 0 prints it, and every process ends with its exit code. Alone: runs the command.
ExitCode run_on_ranks(const std::function<ExitCode(train::World&)>& command);

}  // namespace vmae::run
