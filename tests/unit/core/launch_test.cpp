#include "vmae/core/launch.h"

#include <gtest/gtest.h>

#include <map>

#include "support/errors.h"

namespace vmae {
namespace {

Launch launch_of(const std::map<std::string, std::string>& variables) {
  return find_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(Launch, AloneWithoutALauncher) {
  const Launch launch = launch_of({{"SLURM_JOB_ID", "7"}});  // a job, but not started by srun
  EXPECT_EQ(launch.size, 1);
  EXPECT_EQ(launch.launcher, "");
}

TEST(Launch, Torchrun) {
  const Launch launch = launch_of({{"RANK", "5"},
                                   {"WORLD_SIZE", "8"},
                                   {"LOCAL_RANK", "1"},
                                   {"MASTER_ADDR", "node1"},
                                   {"MASTER_PORT", "29400"},
                                   {"TORCHELASTIC_RESTART_COUNT", "2"},
                                   {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                   {"TORCHELASTIC_RUN_ID", "abc"},
                                   {"SLURM_PROCID", "0"}});  // torchrun inside of a Slurm job
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.master_address, "node1");
  EXPECT_EQ(launch.master_port, 29400);
  EXPECT_EQ(launch.attempt, 2);
  EXPECT_EQ(launch.job, "torchrun abc");
  EXPECT_TRUE(launch.agent_hosts_store);
  EXPECT_TRUE(launch.is_restarted_on_failure);
}

TEST(Launch, WhatIsMissingIsNamed) {
  const Error error = test::error_of([] { launch_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}}); });
  EXPECT_EQ(error.code(), ExitCode::usage);
  for (const char* name : {"LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"})
    EXPECT_TRUE(test::contains(error.what(), name)) << error.what();
  EXPECT_EQ(test::error_of([] {
              launch_of({{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}, {"SLURM_NTASKS", "2"}});
            }).code(),
            ExitCode::usage);
  EXPECT_EQ(test::error_of([] { launch_of({{"OMPI_COMM_WORLD_SIZE", "2"}}); }).code(), ExitCode::usage);
}

TEST(Launch, ContradictionsAreRefused) {
  const std::map<std::string, std::string> good = {
      {"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "29400"}};
  EXPECT_EQ(launch_of(good).size, 2);
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"RANK", "2"}, {"WORLD_SIZE", "0"}, {"MASTER_PORT", "99999"}, {"LOCAL_RANK", "x"}}) {
    auto bad = good;
    bad[name] = value;
    EXPECT_EQ(test::error_of([&] { launch_of(bad); }).code(), ExitCode::usage) << name;
  }
}

TEST(Launch, SlurmNamesItsFirstHostAndAPortOfTheJob) {
  const std::map<std::string, std::string> variables = {{"SLURM_PROCID", "3"},
                                                        {"SLURM_LOCALID", "1"},
                                                        {"SLURM_NTASKS", "4"},
                                                        {"SLURM_JOB_ID", "1234567"},
                                                        {"SLURM_JOB_NODELIST", "gpu[07-08]"},
                                                        {"SLURM_RESTART_COUNT", "1"}};
  const Launch launch = launch_of(variables);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.master_address, "gpu07");
  EXPECT_EQ(launch.master_port, 15000 + 4567);
  EXPECT_EQ(launch.attempt, 1);
  EXPECT_EQ(launch.job, "Slurm 1234567");
  EXPECT_FALSE(launch.is_restarted_on_failure);
  auto with_step = variables;
  with_step["SLURM_STEP_NUM_TASKS"] = "8";
  with_step["MASTER_ADDR"] = "other";
  EXPECT_EQ(launch_of(with_step).size, 8);
  EXPECT_EQ(launch_of(with_step).master_address, "other");
}

TEST(Launch, OpenMpiOnOneHost) {
  const std::map<std::string, std::string> variables = {{"OMPI_COMM_WORLD_RANK", "1"},
                                                        {"OMPI_COMM_WORLD_SIZE", "2"},
                                                        {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                                        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  EXPECT_EQ(launch_of(variables).master_address, "127.0.0.1");
  auto two_hosts = variables;
  two_hosts["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  EXPECT_EQ(test::error_of([&] { launch_of(two_hosts); }).code(), ExitCode::usage);
  two_hosts["MASTER_ADDR"] = "node1";
  EXPECT_EQ(launch_of(two_hosts).master_address, "node1");
}

TEST(Launch, FirstHostOfALine) {
  EXPECT_EQ(first_host("node1"), "node1");
  EXPECT_EQ(first_host("node1,node2"), "node1");
  EXPECT_EQ(first_host("gpu[07-09,12],login"), "gpu07");
  EXPECT_EQ(first_host("a[3,5]"), "a3");
  EXPECT_EQ(first_host("r[1-2]-ib,x"), "r1-ib");
  EXPECT_EQ(test::error_of([] { first_host("gpu[07"); }).code(), ExitCode::usage);
}

}  // namespace
}  // namespace vmae
