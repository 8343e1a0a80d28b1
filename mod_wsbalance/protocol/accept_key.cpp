#include "protocol/accept_key.h"

#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace wsbalance::protocol {
namespace {

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455 1.3.
constexpr std::size_t kSha1Bytes = 20;
constexpr std::size_t kAcceptBytes = (kSha1Bytes + 2) / 3 * 4;

}  // namespace

std::string accept_key(std::string_view key) {
  std::string text;
  text.reserve(key.size() + kGuid.size());
  text.append(key).append(kGuid);

  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha1(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL refuses SHA-1");
  }
  std::array<unsigned char, kAcceptBytes + 1> base64;  // EVP_EncodeBlock() ends it with NUL.
  EVP_EncodeBlock(base64.data(), digest.data(), kSha1Bytes);
  return std::string(base64.begin(), base64.end() - 1);
}

}  // namespace wsbalance::protocol
