#include "httpd/process_title.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

namespace wsbalance::httpd {
namespace {

struct Area {
  std::uintptr_t arguments = 0;
  std::uintptr_t arguments_end = 0;
  std::uintptr_t environment = 0;
  std::uintptr_t environment_end = 0;
};

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// Fields 48 to 51 of /proc/self/stat (proc(5)); all 0 where the kernel does not tell.
Area read_area() noexcept {
  char text[2048];
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen("/proc/self/stat", "re"));
  if (!file || std::fgets(text, sizeof(text), file.get()) == nullptr) return {};
  const char* field = std::strrchr(text, ')');  // Behind the name, which may hold anything.
  for (int number = 2; field != nullptr && number < 48; ++number) {
    field = std::strchr(field + 1, ' ');
  }
  unsigned long values[4] = {};
  if (field == nullptr ||
      std::sscanf(field, "%lu %lu %lu %lu", &values[0], &values[1], &values[2], &values[3]) != 4) {
    return {};
  }
  return {values[0], values[1], values[2], values[3]};
}

// What getenv() finds must stand somewhere else then. The copy is the process' for good.
bool move_environment() noexcept {
  std::size_t count = 0;
  while (environ[count] != nullptr) ++count;
  auto copy = std::unique_ptr<char*[]>(new (std::nothrow) char*[count + 1]);
  if (!copy) return false;
  for (std::size_t i = 0; i < count; ++i) {
    copy[i] = ::strdup(environ[i]);
    if (copy[i] == nullptr) return false;
  }
  copy[count] = nullptr;
  environ = copy.release();
  return true;
}

}  // namespace

// Linux shows what stands at the arguments up to a NUL, and goes on into the environment if the
// arguments do not end with one. Of the environment no more is taken than is needed: others read it
// in /proc.
void ProcessTitle::find_room() noexcept {
  const Area area = read_area();
  if (area.arguments == 0 || area.arguments_end <= area.arguments) return;
  std::uintptr_t end = area.arguments_end;
  if (area.environment == end && area.environment_end > end && move_environment()) {
    end = area.environment_end;
  }
  room_ = {reinterpret_cast<char*>(area.arguments), end - area.arguments};
  used_ = area.arguments_end - area.arguments;
}

void ProcessTitle::show(const char* name, std::string_view title) noexcept {
  (void)::prctl(PR_SET_NAME, name, 0, 0, 0);
  if (!has_looked_) {
    has_looked_ = true;
    find_room();
  }
  if (room_.empty()) return;
  const std::size_t size = std::min(title.size(), room_.size() - 1);
  used_ = std::max(used_, size + 1);
  std::memcpy(room_.data(), title.data(), size);
  std::memset(room_.data() + size, 0, used_ - size);
}

}  // namespace wsbalance::httpd
