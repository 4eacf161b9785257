#include "vmae/core/launch.h"

#include <unistd.h>

#include <algorithm>

#include "vmae/core/error.h"

namespace vmae {
namespace {

struct Variables {
  const Environment& environment;
  bool has(const char* name) const {
    const char* value = environment(name);
    return value != nullptr && *value != '\0';
  }
  std::string text(const char* name, const std::string& otherwise = "") const {
    return has(name) ? environment(name) : otherwise;
  }
  int64_t number(const char* name) const {
    const auto value = parse_integer(text(name));
    if (!value || *value < 0)
      throw Error(ExitCode::usage, concat("the environment has ", name, "=", text(name), ", which is not a number"),
                  "see docs/cluster.md");
    return *value;
  }
  int64_t number(const char* name, int64_t otherwise) const { return has(name) ? number(name) : otherwise; }
  void require(const std::string& launcher, const std::vector<const char*>& names) const {
    std::vector<std::string> missing;
    for (const char* name : names) {
      if (!has(name)) missing.emplace_back(name);
    }
    if (missing.empty()) return;
    throw Error(ExitCode::usage, concat("the environment is that of ", launcher, ", but lacks ", join(missing, ", ")),
                concat("start vmae with ", launcher, ", set the missing variables, or unset ",
                       join({names.begin(), names.end()}, ", "), " to run alone"));
  }
};

void check(const Launch& launch) {
  if (launch.size < 1 || launch.rank >= launch.size)
    throw Error(ExitCode::usage,
                concat("the environment of ", launch.launcher, " says rank ", launch.rank, " of ", launch.size),
                "see docs/cluster.md");
  if (launch.size > 1 && (launch.master_port < 1 || launch.master_port > 65535))
    throw Error(ExitCode::usage, concat("MASTER_PORT is ", launch.master_port, ", not a port"),
                "set MASTER_PORT to a free port, 1024 to 65535");
}

Launch from_torchrun(const Variables& variables) {
  variables.require("torchrun", {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"});
  const bool has_agent = variables.has("TORCHELASTIC_RUN_ID");
  // "none" where the user gave none: then the agent is who it is
  const std::string run_id = variables.text("TORCHELASTIC_RUN_ID");
  std::string job;
  if (has_agent) job = run_id != "none" ? "torchrun " + run_id : concat("torchrun agent ", getppid());
  return {.rank = variables.number("RANK"),
          .size = variables.number("WORLD_SIZE"),
          .local_rank = variables.number("LOCAL_RANK"),
          .master_address = variables.text("MASTER_ADDR"),
          .master_port = variables.number("MASTER_PORT"),
          .launcher = variables.has(kLocalLaunchMark) ? "--nproc-per-node" : "torchrun",
          .job = job,
          .attempt = variables.number("TORCHELASTIC_RESTART_COUNT", 0),
          .agent_hosts_store = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True",
          .is_restarted_on_failure = has_agent};
}

// srun sets SLURM_STEP_NUM_TASKS for its own step; SLURM_NTASKS is the job's.
Launch from_slurm(const Variables& variables) {
  variables.require("Slurm", {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"});
  Launch launch{.rank = variables.number("SLURM_PROCID"),
                .size = variables.number("SLURM_STEP_NUM_TASKS", variables.number("SLURM_NTASKS")),
                .local_rank = variables.number("SLURM_LOCALID"),
                .launcher = "Slurm",
                .job = variables.has("SLURM_JOB_ID") ? "Slurm " + variables.text("SLURM_JOB_ID") : "",
                .attempt = variables.number("SLURM_RESTART_COUNT", 0)};
  if (launch.size == 1) return launch;
  if (!variables.has("MASTER_ADDR")) variables.require("Slurm", {"SLURM_JOB_NODELIST"});
  if (!variables.has("MASTER_PORT")) variables.require("Slurm", {"SLURM_JOB_ID"});
  launch.master_address =
      variables.has("MASTER_ADDR") ? variables.text("MASTER_ADDR") : first_host(variables.text("SLURM_JOB_NODELIST"));
  launch.master_port =
      variables.has("MASTER_PORT") ? variables.number("MASTER_PORT") : 15000 + variables.number("SLURM_JOB_ID") % 10000;
  return launch;
}

Launch from_open_mpi(const Variables& variables) {
  variables.require("Open MPI", {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"});
  Launch launch{.rank = variables.number("OMPI_COMM_WORLD_RANK"),
                .size = variables.number("OMPI_COMM_WORLD_SIZE"),
                .local_rank = variables.number("OMPI_COMM_WORLD_LOCAL_RANK"),
                .launcher = "Open MPI"};
  const bool is_one_host = variables.number("OMPI_COMM_WORLD_LOCAL_SIZE", 0) == launch.size;
  if (!is_one_host && !variables.has("MASTER_ADDR"))
    throw Error(ExitCode::usage, "mpirun does not say which host has rank 0",
                "pass it on: mpirun -x MASTER_ADDR=$(hostname) ...");
  launch.master_address = variables.text("MASTER_ADDR", launch.master_address);
  launch.master_port = variables.number("MASTER_PORT", 29500);
  return launch;
}

}  // namespace

Launch find_launch(const Environment& environment) {
  const Variables variables{environment};
  Launch launch;
  if (variables.has("RANK") || variables.has("WORLD_SIZE") || variables.has("LOCAL_RANK"))
    launch = from_torchrun(variables);
  else if (variables.has("SLURM_PROCID"))
    launch = from_slurm(variables);
  else if (variables.has("OMPI_COMM_WORLD_RANK") || variables.has("OMPI_COMM_WORLD_SIZE"))
    launch = from_open_mpi(variables);
  check(launch);
  return launch;
}

std::string first_host(const std::string& hostlist) {
  const size_t end = hostlist.find_first_of(",["), close = hostlist.find(']');
  if (end == std::string::npos || hostlist[end] == ',') return hostlist.substr(0, end);
  const size_t number_end = hostlist.find_first_of(",-]", end + 1);
  if (number_end == std::string::npos || close == std::string::npos)
    throw Error(ExitCode::usage, concat("SLURM_JOB_NODELIST=", hostlist, " is not a list of hosts"),
                "set MASTER_ADDR to the host of rank 0");
  const size_t rest_end = std::min(hostlist.find(',', close), hostlist.size());
  return hostlist.substr(0, end) + hostlist.substr(end + 1, number_end - end - 1) +
         hostlist.substr(close + 1, rest_end - close - 1);
}

}  // namespace vmae
