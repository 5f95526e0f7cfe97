/*
 * Preloaded into a member: one call that writes or syncs a file fails, as the kernel would have it fail.
 *
 * FAULT_PATH is a part of the paths of the files meant, FAULT_CALL is "write" or "sync", FAULT_ERRNO the number of the
 * error. Nothing fails until the file FAULT_TRIGGER is there; the call that fails removes it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void *next_of(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (function == NULL) abort();
  return function;
}
#define NEXT(name) ((__typeof__(&name))next_of(#name))

static int is_meant(int fd, const char *call) {
  const char *trigger = getenv("FAULT_TRIGGER");
  const char *part = getenv("FAULT_PATH");
  const char *wanted = getenv("FAULT_CALL");
  if (trigger == NULL || part == NULL || wanted == NULL || strcmp(wanted, call) != 0) return 0;
  if (access(trigger, F_OK) != 0) return 0;
  char link[64];
  char path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, part) != NULL && unlink(trigger) == 0;
}

/* Whether the call fails now. Leaves errno alone where it does not. */
static int strikes(int fd, const char *call) {
  int before = errno;
  if (is_meant(fd, call)) {
    errno = atoi(getenv("FAULT_ERRNO"));
    return 1;
  }
  errno = before;
  return 0;
}

ssize_t write(int fd, const void *data, size_t size) {
  return strikes(fd, "write") ? -1 : NEXT(write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
  return strikes(fd, "write") ? -1 : NEXT(pwrite)(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
  return strikes(fd, "write") ? -1 : NEXT(pwrite64)(fd, data, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  return strikes(fd, "write") ? -1 : NEXT(pwritev)(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  return strikes(fd, "write") ? -1 : NEXT(pwritev64)(fd, parts, count, offset);
}

int fsync(int fd) {
  return strikes(fd, "sync") ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd) {
  return strikes(fd, "sync") ? -1 : NEXT(fdatasync)(fd);
}
