#include "httpd/answer_headers.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace wsbalance::httpd {
namespace {

constexpr std::array<std::string_view, 3> kDateFields = {"Date", "Expires", "Last-Modified"};
constexpr std::array<std::string_view, 4> kUrlFields = {"Location", "Content-Location", "URI",
                                                        "Destination"};
constexpr std::array<const char*, 5> kHopByHopFields = {"Keep-Alive", "Proxy-Authenticate", "TE",
                                                        "Trailer", "Upgrade"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::any_of(names.begin(), names.end(), [name](std::string_view one) {
    return protocol::equal_ignoring_case(one, name);
  });
}

// A date in httpd's form, or as it came if it is none.
const char* canonical_date(apr_pool_t* pool, const char* text) {
  const apr_time_t time = apr_date_parse_http(text);
  if (time == APR_DATE_BAD) return text;
  char* date = static_cast<char*>(apr_palloc(pool, APR_RFC822_DATE_LEN));
  apr_rfc822_date(date, time);
  return date;
}

// ProxyPassReverse, for lines with ws:// too: a member of a ws:// route names itself by http://, and
// guides write the route's URL in both lines.
const char* reverse_map(request_rec* r, proxy_dir_conf* conf, const char* url) {
  static constexpr std::array<std::array<const char*, 2>, 4> kTwins = {
      {{"http:", "ws:"}, {"https:", "wss:"}, {"ws:", "http:"}, {"wss:", "https:"}}};
  const char* mapped = ap_proxy_location_reverse_map(r, conf, url);
  if (mapped != url) return mapped;
  for (const auto& [scheme, twin] : kTwins) {
    const std::size_t size = std::string_view(scheme).size();
    if (!protocol::equal_ignoring_case(std::string_view(url).substr(0, size), scheme)) continue;
    const char* twin_url = apr_pstrcat(r->pool, twin, url + size, nullptr);
    const char* mapped_twin = ap_proxy_location_reverse_map(r, conf, twin_url);
    return mapped_twin != twin_url ? mapped_twin : url;
  }
  return url;
}

int keep_cookie(void* table, const char* name, const char* value) {
  apr_table_add(static_cast<apr_table_t*>(table), name, value);
  return 1;
}

}  // namespace

void take_member_fields(request_rec* r, protocol::Fields fields) {
  auto* conf = static_cast<proxy_dir_conf*>(ap_get_module_config(r->per_dir_config, &proxy_module));
  apr_table_t* table = apr_table_make(r->pool, 20);
  apr_table_do(keep_cookie, table, r->headers_out, "Set-Cookie", nullptr);
  for (const protocol::Field& field : fields) {
    const char* name = apr_pstrmemdup(r->pool, field.name.data(), field.name.size());
    const char* value = apr_pstrmemdup(r->pool, field.value.data(), field.value.size());
    if (contains(kDateFields, field.name)) {
      value = canonical_date(r->pool, value);
    } else if (contains(kUrlFields, field.name)) {
      value = reverse_map(r, conf, value);
    } else if (protocol::equal_ignoring_case(field.name, "Set-Cookie")) {
      value = ap_proxy_cookie_reverse_map(r, conf, value);
    }
    apr_table_addn(table, name, value);
  }
  r->headers_out = table;
}

bool remove_hop_by_hop(request_rec* r) {
  const auto clear_connection = APR_RETRIEVE_OPTIONAL_FN(ap_proxy_clear_connection);
  if (clear_connection(r, r->headers_out) < 0) return false;
  for (const char* name : kHopByHopFields) apr_table_unset(r->headers_out, name);
  return true;
}

void add_via(request_rec* r, const proxy_server_conf* conf, const char* server_port_text) {
  if (conf->viaopt == proxy_server_conf::via_off || conf->viaopt == proxy_server_conf::via_block) {
    return;
  }
  const char* name = ap_get_server_name(r);
  // With UseCanonicalName Off that is the member's name; the proxy's own belongs here.
  if (name == r->hostname) name = r->server->server_hostname;
  const char* comment = conf->viaopt == proxy_server_conf::via_full
                            ? apr_pstrcat(r->pool, " (", AP_SERVER_BASEVERSION, ")", nullptr)
                            : "";
  apr_table_addn(r->headers_out, "Via",
                 apr_psprintf(r->pool, "%d.%d %s%s%s", HTTP_VERSION_MAJOR(r->proto_num),
                              HTTP_VERSION_MINOR(r->proto_num), name, server_port_text, comment));
}

}  // namespace wsbalance::httpd
