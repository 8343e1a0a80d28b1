// Lets calls of the server fail when a test says so (failing_calls.py). Loaded by LD_PRELOAD; the
// file that WSB_FAILING_CALLS names holds a Control, shared with the test.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <new>

extern "C" void* __libc_realloc(void*, size_t);

namespace {

// As in failing_calls.py.
enum Call {
  kSocket,
  kDup,
  kSocketpair,
  kThread,
  kNew,
  kRealloc,
  kEpollAdd,
  kSetrlimit,
  kConnectEacces,
  kConnectEperm,
  kConnectEaddrnotavail,
  kCalls
};

struct Control {
  std::atomic<int> countdown[kCalls];  // 0: no call fails; 1: the next one; -1: all of them.
  std::atomic<int> failed[kCalls];
};

Control* control = nullptr;

__attribute__((constructor)) void open_control() {
  const char* path = getenv("WSB_FAILING_CALLS");
  const int fd = path != nullptr ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void* memory = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory != MAP_FAILED) control = static_cast<Control*>(memory);
}

// Calls of others than the module are left alone, unless `anybody`.
bool is_ours(void* caller, bool with_library) {
  Dl_info info{};
  if (dladdr(caller, &info) == 0 || info.dli_fname == nullptr) return false;
  return strstr(info.dli_fname, "mod_wsbalance") != nullptr ||
         (with_library && strstr(info.dli_fname, "libstdc++") != nullptr);
}

bool fails(Call call, void* caller, bool anybody = false) {
  if (control == nullptr || control->countdown[call] == 0) return false;
  if (!anybody && !is_ours(caller, call == kNew)) return false;
  int left = control->countdown[call];
  while (left > 0 && !control->countdown[call].compare_exchange_weak(left, left - 1)) {
  }
  if (left != 1 && left != -1) return false;
  ++control->failed[call];
  return true;
}

template <typename Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

void* allocate(size_t size, size_t alignment, void* caller) {
  if (fails(kNew, caller)) throw std::bad_alloc();
  void* memory = alignment <= alignof(max_align_t)
                     ? malloc(size)
                     : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return allocate(size, 1, __builtin_return_address(0)); }
void* operator new[](size_t size) { return allocate(size, 1, __builtin_return_address(0)); }
void* operator new(size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<size_t>(alignment), __builtin_return_address(0));
}

extern "C" {

void* realloc(void* memory, size_t size) noexcept {
  if (fails(kRealloc, __builtin_return_address(0))) return nullptr;
  return __libc_realloc(memory, size);
}

// Anybody's: the socket to a member is APR's. Only of a kind that members have.
int socket(int domain, int type, int protocol) noexcept {
  if (domain == AF_INET && fails(kSocket, nullptr, true)) {
    errno = ENFILE;
    return -1;
  }
  return real<int (*)(int, int, int)>("socket")(domain, type, protocol);
}

// As above. What SELinux, a firewall or seccomp does, and a member that has all local ports.
int connect(int fd, const sockaddr* address, socklen_t size) {
  constexpr struct {
    Call call;
    int error;
  } kFailures[] = {
      {kConnectEacces, EACCES}, {kConnectEperm, EPERM}, {kConnectEaddrnotavail, EADDRNOTAVAIL}};
  for (const auto& failure : kFailures) {
    if (address->sa_family == AF_INET && fails(failure.call, nullptr, true)) {
      errno = failure.error;
      return -1;
    }
  }
  return real<int (*)(int, const sockaddr*, socklen_t)>("connect")(fd, address, size);
}

int socketpair(int domain, int type, int protocol, int* ends) noexcept {
  if (fails(kSocketpair, __builtin_return_address(0))) {
    errno = EMFILE;
    return -1;
  }
  return real<int (*)(int, int, int, int*)>("socketpair")(domain, type, protocol, ends);
}

int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (command == F_DUPFD_CLOEXEC && fails(kDup, __builtin_return_address(0))) {
    errno = EMFILE;
    return -1;
  }
  return real<int (*)(int, int, ...)>("fcntl64")(fd, command, argument);
}

// Which of the two names a caller has depends on how it was built.
int fcntl(int fd, int command, ...) __attribute__((alias("fcntl64")));

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) noexcept {
  if (fails(kThread, __builtin_return_address(0))) return EAGAIN;
  return real<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>(
      "pthread_create")(thread, attributes, body, argument);
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  if (operation == EPOLL_CTL_ADD && fails(kEpollAdd, __builtin_return_address(0))) {
    errno = ENOSPC;
    return -1;
  }
  return real<int (*)(int, int, int, epoll_event*)>("epoll_ctl")(epoll, operation, fd, event);
}

int setrlimit(__rlimit_resource_t resource, const rlimit* limit) noexcept {
  if (fails(kSetrlimit, __builtin_return_address(0))) {
    errno = EPERM;
    return -1;
  }
  return real<int (*)(__rlimit_resource_t, const rlimit*)>("setrlimit64")(resource, limit);
}

int setrlimit64(__rlimit_resource_t resource, const rlimit64* limit) noexcept {
  return setrlimit(resource, reinterpret_cast<const rlimit*>(limit));
}

}  // extern "C"
