/*
 * Preloaded into a member: records every change that it makes below one folder, in the order in which the
 * changes happen, with what was written. One lock around each call keeps that order exact over all threads.
 *
 * RECORD_ROOT is the folder, RECORD_FILE the trace. A record is a head (struct head), then path, then data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
  uint8_t kind;
  uint8_t is_synchronous;
  uint16_t path_bytes;
  uint32_t data_bytes;
  uint64_t inode;
  uint64_t number;
};

struct open_file {
  uint64_t inode;
  uint8_t is_tracked;
  uint8_t is_directory;
  uint8_t is_synchronous;
  uint8_t appends;
  char *path;
};

enum { files_max = 65536 };
static struct open_file files[files_max];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
/* All that is below the root lies on one file system. */
static dev_t device;
static const char *root;
static size_t root_bytes;

static void *next_of(const char *name) {
  void *function = dlsym(RTLD_NEXT, name);
  if (function == NULL) abort();
  return function;
}
#define NEXT(name) ((__typeof__(&name))next_of(#name))

__attribute__((constructor)) static void start(void) {
  root = getenv("RECORD_ROOT");
  const char *file = getenv("RECORD_FILE");
  if (root == NULL || file == NULL) return;
  root_bytes = strlen(root);
  trace = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (trace < 0) abort();
}

static int is_below(const char *path) {
  return trace >= 0 && path != NULL && strncmp(path, root, root_bytes) == 0 &&
         (path[root_bytes] == '/' || path[root_bytes] == 0);
}

/* A descriptor may have been closed by a direct system call and be another file by now. */
static struct open_file *tracked(int fd) {
  if (fd < 0 || fd >= files_max || !files[fd].is_tracked) return NULL;
  struct stat stat;
  int error = errno;
  if (fstat(fd, &stat) != 0 || stat.st_ino != files[fd].inode || stat.st_dev != device) {
    files[fd].is_tracked = 0;
    errno = error;
    return NULL;
  }
  return &files[fd];
}

/* A trace with a hole would prove nothing, so a failure here ends the member. */
static void record(struct head head, const char *path, const void *data, size_t data_bytes) {
  head.path_bytes = path == NULL ? 0 : strlen(path);
  head.data_bytes = data_bytes;
  struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, data_bytes}};
  size_t total = sizeof head + head.path_bytes + data_bytes;
  if (syscall(SYS_writev, trace, parts, 3) != (ssize_t)total) abort();
}

static void note_open(int fd, const char *path, int flags, int existed) {
  struct stat stat;
  if (fd >= files_max || fstat(fd, &stat) != 0) abort();
  device = stat.st_dev;
  struct open_file *file = &files[fd];
  free(file->path);
  *file = (struct open_file){
      .inode = stat.st_ino,
      .is_tracked = 1,
      .is_directory = S_ISDIR(stat.st_mode),
      .is_synchronous = (flags & O_DSYNC) != 0,
      .appends = (flags & O_APPEND) != 0,
      .path = strdup(path),
  };
  if (!existed) record((struct head){.kind = 'C', .inode = stat.st_ino}, path, NULL, 0);
  if (existed && (flags & O_TRUNC)) record((struct head){.kind = 'T', .inode = stat.st_ino}, path, NULL, 0);
}

static int open_recorded(const char *path, int flags, mode_t mode) {
  if (!is_below(path)) return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  pthread_mutex_lock(&lock);
  int existed = access(path, F_OK) == 0;
  int fd = syscall(SYS_openat, AT_FDCWD, path, flags, mode);
  int error = errno;
  if (fd >= 0) note_open(fd, path, flags, existed);
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

#define OPEN(name)                            \
  int name(const char *path, int flags, ...) { \
    va_list rest;                             \
    va_start(rest, flags);                    \
    mode_t mode = va_arg(rest, mode_t);       \
    va_end(rest);                             \
    return open_recorded(path, flags, mode);  \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                \
  int name(int folder, const char *path, int flags, ...) {          \
    va_list rest;                                                   \
    va_start(rest, flags);                                          \
    mode_t mode = va_arg(rest, mode_t);                             \
    va_end(rest);                                                   \
    if (is_below(path)) return open_recorded(path, flags, mode);    \
    return syscall(SYS_openat, folder, path, flags, mode);          \
  }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
  struct open_file *file = tracked(fd);
  if (file == NULL) return syscall(SYS_close, fd);
  pthread_mutex_lock(&lock);
  file->is_tracked = 0;
  int result = syscall(SYS_close, fd);
  pthread_mutex_unlock(&lock);
  return result;
}

static ssize_t write_recorded(int fd, const struct iovec *parts, int count, off_t offset, int has_offset) {
  struct open_file *file = tracked(fd);
  if (file == NULL) {
    if (has_offset) return syscall(SYS_pwritev, fd, parts, count, offset, 0);
    return syscall(SYS_writev, fd, parts, count);
  }
  pthread_mutex_lock(&lock);
  if (file->appends) {
    struct stat stat;
    if (fstat(fd, &stat) != 0) abort();
    offset = stat.st_size;
  } else if (!has_offset) {
    offset = lseek(fd, 0, SEEK_CUR);
  }
  ssize_t result = has_offset ? syscall(SYS_pwritev, fd, parts, count, offset, 0)
                              : syscall(SYS_writev, fd, parts, count);
  int error = errno;
  size_t left = result > 0 ? result : 0;
  off_t at = offset;
  for (int i = 0; i < count && left > 0; i++) {
    size_t bytes = parts[i].iov_len < left ? parts[i].iov_len : left;
    struct head head = {
        .kind = 'W', .is_synchronous = file->is_synchronous, .inode = file->inode, .number = at};
    record(head, NULL, parts[i].iov_base, bytes);
    at += bytes;
    left -= bytes;
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  if (tracked(fd) == NULL) return syscall(SYS_write, fd, data, bytes);
  struct iovec part = {(void *)data, bytes};
  return write_recorded(fd, &part, 1, 0, 0);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  return write_recorded(fd, parts, count, 0, 0);
}

#define PWRITE(name)                                                              \
  ssize_t name(int fd, const void *data, size_t bytes, off_t offset) {            \
    if (tracked(fd) == NULL) return syscall(SYS_pwrite64, fd, data, bytes, offset); \
    struct iovec part = {(void *)data, bytes};                                    \
    return write_recorded(fd, &part, 1, offset, 1);                               \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                          \
  ssize_t name(int fd, const struct iovec *parts, int count, off_t offset) {   \
    return write_recorded(fd, parts, count, offset, 1);                        \
  }
PWRITEV(pwritev)
PWRITEV(pwritev64)

static int resize_recorded(int fd, off_t bytes) {
  struct open_file *file = tracked(fd);
  if (file == NULL) return syscall(SYS_ftruncate, fd, bytes);
  pthread_mutex_lock(&lock);
  int result = syscall(SYS_ftruncate, fd, bytes);
  int error = errno;
  if (result == 0) record((struct head){.kind = 'T', .inode = file->inode, .number = bytes}, NULL, NULL, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int ftruncate(int fd, off_t bytes) { return resize_recorded(fd, bytes); }
int ftruncate64(int fd, off_t bytes) { return resize_recorded(fd, bytes); }

static int sync_recorded(int fd, long call) {
  struct open_file *file = tracked(fd);
  if (file == NULL) return syscall(call, fd);
  pthread_mutex_lock(&lock);
  int result = syscall(call, fd);
  int error = errno;
  if (result == 0) {
    struct head head = {.kind = file->is_directory ? 'D' : 'S', .inode = file->inode};
    record(head, file->is_directory ? file->path : NULL, NULL, 0);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
int fsync(int fd) { return sync_recorded(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_recorded(fd, SYS_fdatasync); }

int rename(const char *from, const char *to) {
  if (!is_below(from) && !is_below(to)) return NEXT(rename)(from, to);
  pthread_mutex_lock(&lock);
  int result = NEXT(rename)(from, to);
  int error = errno;
  if (result == 0) record((struct head){.kind = 'R'}, from, to, strlen(to));
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

#define NAME_CALL(name, letter, parameters, arguments)               \
  int name parameters {                                              \
    if (!is_below(path)) return NEXT(name) arguments;                \
    pthread_mutex_lock(&lock);                                       \
    int result = NEXT(name) arguments;                               \
    int error = errno;                                               \
    if (result == 0) record((struct head){.kind = letter}, path, NULL, 0); \
    pthread_mutex_unlock(&lock);                                     \
    errno = error;                                                   \
    return result;                                                   \
  }
NAME_CALL(unlink, 'U', (const char *path), (path))
NAME_CALL(rmdir, 'U', (const char *path), (path))
NAME_CALL(mkdir, 'M', (const char *path, mode_t mode), (path, mode))

/* Writes through a mapping are not seen: the trace names the file, and the reader decides whether it may. */
static void *map_recorded(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  struct open_file *file = tracked(fd);
  if (file != NULL && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
    pthread_mutex_lock(&lock);
    record((struct head){.kind = 'X', .inode = file->inode}, file->path, NULL, 0);
    pthread_mutex_unlock(&lock);
  }
  return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return map_recorded(at, bytes, protection, flags, fd, offset);
}
void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return map_recorded(at, bytes, protection, flags, fd, offset);
}
