/* other_openssl.c - for LD_PRELOAD: OpenSSL says that it is the version of WSB_OPENSSL_NUMBER (hex)
 * and WSB_OPENSSL_TEXT. */
#include <stdlib.h>

unsigned long OpenSSL_version_num(void) { return strtoul(getenv("WSB_OPENSSL_NUMBER"), NULL, 16); }

const char* OpenSSL_version(int what) {
  (void)what;
  return getenv("WSB_OPENSSL_TEXT");
}
