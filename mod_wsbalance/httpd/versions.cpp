#include "httpd/versions.h"

namespace wsbalance::httpd {

// 0xMNNFFPPS until OpenSSL 1.1.1 (PP is its letter), 0xMNN00PP0 since 3.0.
Version openssl_version(unsigned long number) {
  const auto major = static_cast<unsigned>(number >> 28);
  const auto minor = static_cast<unsigned>(number >> 20 & 0xff);
  const auto fix = static_cast<unsigned>(number >> 12 & 0xff);
  const auto patch = static_cast<unsigned>(number >> 4 & 0xff);
  return {major, minor, major < 3 ? fix : patch};
}

bool is_openssl_fit(const Version& running, const Version& built) {
  if (running.major != built.major) return false;
  if (built.major < 3) return running >= built;
  return running.minor >= built.minor;
}

std::string library_name(std::string_view version_text) {
  std::string name(version_text.substr(0, version_text.find(' ', version_text.find(' ') + 1)));
  if (const std::size_t space = name.find(' '); space != std::string::npos) name[space] = '/';
  return name;
}

}  // namespace wsbalance::httpd
