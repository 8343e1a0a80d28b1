#include "httpd/sticky_keys.h"

#include <algorithm>
#include <string_view>

#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

constexpr apr_size_t kFileBytesMax = 64 * 1024;
constexpr std::size_t kKeyBytesMin = 32;
constexpr std::size_t kKeyBytesMax = 1024;
constexpr std::size_t kKeysMax = 16;

const char* system_error(apr_pool_t* pool, apr_status_t rv) {
  char text[120];
  return apr_pstrdup(pool, apr_strerror(rv, text, sizeof(text)));
}

const char* add_keys(apr_pool_t* pool, std::string_view text, std::vector<std::string>& keys) {
  for (unsigned number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const std::string_view key = protocol::trim(line);
    if (key.empty() || key.front() == '#') continue;
    if (key.size() < kKeyBytesMin || key.size() > kKeyBytesMax) {
      return apr_psprintf(pool,
                          "line %u has %" APR_SIZE_T_FMT
                          " characters, a key has 32 to 1024 (e.g. openssl rand -hex 32)",
                          number, key.size());
    }
    if (keys.size() == kKeysMax) return "more than 16 keys";
    keys.emplace_back(key);
  }
  return keys.empty() ? "no key in it: one stands in each line (e.g. openssl rand -hex 32)"
                      : nullptr;
}

}  // namespace

const char* read_sticky_keys(apr_pool_t* pool, const char* path, std::vector<std::string>& keys,
                             bool& is_public) {
  apr_finfo_t info;
  apr_status_t rv = apr_stat(&info, path, APR_FINFO_TYPE | APR_FINFO_PROT | APR_FINFO_SIZE, pool);
  if (rv != APR_SUCCESS) return system_error(pool, rv);
  if (info.filetype != APR_REG) return "not a file";
  if (info.protection & APR_FPROT_WWRITE) return "everybody may write to it";
  if (info.size > static_cast<apr_off_t>(kFileBytesMax)) return "more than 64 KiB";
  is_public = (info.protection & APR_FPROT_WREAD) != 0;

  apr_file_t* file = nullptr;
  rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, pool);
  if (rv != APR_SUCCESS) return system_error(pool, rv);
  std::string text(kFileBytesMax, '\0');
  apr_size_t size = 0;
  rv = apr_file_read_full(file, text.data(), text.size(), &size);
  apr_file_close(file);
  if (rv != APR_SUCCESS && rv != APR_EOF) return system_error(pool, rv);
  return add_keys(pool, std::string_view(text).substr(0, size), keys);
}

}  // namespace wsbalance::httpd
