// SPDX-License-Identifier: Apache-2.0
// Preloaded into vmae by the tests: sends the process a signal at one exact call on a file, and lists the calls that make a file durable.
//   VMAE_TEST_POINT=CALL:PART:COUNT:SIGNAL   at the COUNT-th CALL whose path contains PART; CALL is write, pwrite, fsync, rename or link,
//                                            "+CALL": after the call, "/CALL": after half of its bytes
//   VMAE_TEST_LOG=FILE                       a line "CALL PATH" for every such call on a path with PART in it
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char point_call[16], point_part[256], point_log[PATH_MAX], point_where;
static int point_count, point_signal;

__attribute__((constructor)) static void read_point(void) {
  const char* text = getenv("VMAE_TEST_POINT");
  const char* log = getenv("VMAE_TEST_LOG");
  if (log) snprintf(point_log, sizeof point_log, "%s", log);
  if (!text || sscanf(text, "%15[^:]:%255[^:]:%d:%d", point_call, point_part, &point_count, &point_signal) != 4) return;
  if (point_call[0] == '+' || point_call[0] == '/') {
    point_where = point_call[0];
    memmove(point_call, point_call + 1, strlen(point_call));
  }
}

static void write_log(const char* call, const char* path) {
  if (!point_log[0]) return;
  char line[PATH_MAX + 32];
  const int length = snprintf(line, sizeof line, "%s %s\n", call, path);
  const int file = open(point_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) return;
  syscall(SYS_write, file, line, length);
  close(file);
}

// 1: this is the call.
static int is_point(const char* call, const char* path) {
  static int seen;
  if (!point_part[0] || !strstr(path, point_part)) return 0;
  write_log(call, path);
  return strcmp(call, point_call) == 0 && __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == point_count;
}

static int is_point_of(const char* call, int file) {
  if (!point_part[0]) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_point(call, path);
}

static void send(void) { kill(getpid(), point_signal); }

#define AROUND(TYPE, POINT, CALL)                     \
  const int here = POINT;                             \
  if (here && point_where == 0) send();               \
  const TYPE result = CALL;                           \
  if (here && point_where != 0) send();               \
  return result

ssize_t write(int file, const void* bytes, size_t size) { AROUND(ssize_t, is_point_of("write", file), syscall(SYS_write, file, bytes, here && point_where == '/' ? size / 2 : size)); }
ssize_t pwrite(int file, const void* bytes, size_t size, off_t at) {
  AROUND(ssize_t, is_point_of("pwrite", file), syscall(SYS_pwrite64, file, bytes, here && point_where == '/' ? size / 2 : size, at));
}
ssize_t pwrite64(int file, const void* bytes, size_t size, off_t at) { return pwrite(file, bytes, size, at); }
int fsync(int file) { AROUND(int, is_point_of("fsync", file), syscall(SYS_fsync, file)); }
int rename(const char* from, const char* to) { AROUND(int, is_point("rename", to), syscall(SYS_rename, from, to)); }
int link(const char* from, const char* to) { AROUND(int, is_point("link", to), syscall(SYS_link, from, to)); }
