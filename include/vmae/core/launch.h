#pragma once
// Which rank of how many this process is, from what its launcher put into
// the environment (docs/cluster.md); and a small launcher for one machine.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace vmae {

struct Launch {
  int64_t rank = 0, size = 1, local_rank = 0;  // local_rank: among those of its host; which GPU it takes
  std::string master_address = "127.0.0.1";    // of rank 0, where all ranks meet
  int64_t master_port = 0;
  // "torchrun", "Slurm", "Open MPI", "--nproc-per-node"; "" for a process on its own
  std::string launcher{};
  // what this job has in common with its own restarts, and with no other job; "" where nothing restarts it
  std::string job{};
  int64_t attempt = 0;                   // how often the launcher has started this job again
  bool agent_hosts_store = false;        // torchrun's agent listens on master_port, not rank 0
  bool is_restarted_on_failure = false;  // by torchrun's agent, which takes every exit code but 0 for a failure
};

// A variable's value, or nullptr: std::getenv outside of tests.
using Environment = std::function<const char*(const char*)>;

// torchrun's variables first, then Slurm's, then Open MPI's. Throws Error(usage)
// if they are incomplete or contradict each other, naming the variables.
Launch find_launch(const Environment& environment = [](const char* name) { return std::getenv(name); });

std::string first_host(const std::string& hostlist);  // of Slurm's notation: "gpu[07-09,12],login" -> "gpu07"

// `vmae COMMAND --nproc-per-node N`: starts this program N times with torchrun's variables and
// waits for all. Stop signals are passed on. When a rank fails the others get 10 s to end, then
// SIGKILL; when this process dies they get SIGTERM. Returns the exit code of the run: 0; 75 if
// it was stopped; that of the rank that failed first (1 if a signal ended it, which is said).
int run_local_ranks(int64_t count, const std::vector<std::string>& arguments);
bool is_local_rank();                                                 // this process was started by run_local_ranks()
inline constexpr const char* kLocalLaunchMark = "VMAE_LOCAL_LAUNCH";  // the variable that says so

}  // namespace vmae
