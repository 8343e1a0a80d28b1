#include "httpd/tunnel_line.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "httpd/log_text.h"

namespace wsbalance::httpd {
namespace {

using relay::Side;

// Appends one value to a line, as JSON or as an item of a format.
class Value {
 public:
  Value(std::string& line, bool is_json) : line_(line), is_json_(is_json) {}

  void text(std::string_view text) {
    if (!is_json_) return append_log_item(line_, text);
    if (text.empty()) {
      line_ += "null";
    } else {
      append_json_string(line_, text);
    }
  }
  void number(std::uint64_t number) { append_number(line_, number); }
  void flag(bool flag) { line_ += flag ? "true" : "false"; }

  // For text that needs no escapes.
  template <typename Append>
  void plain(Append&& append) {
    if (is_json_) line_ += '"';
    append(line_);
    if (is_json_) line_ += '"';
  }

 private:
  std::string& line_;
  const bool is_json_;
};

struct Ended {
  const TunnelInfo& info;
  std::string_view server_name;

  const relay::TunnelSummary& summary() const { return info.summary; }
  const relay::DirectionCounts& from_client() const { return info.summary.to_member; }
  const relay::DirectionCounts& from_member() const { return info.summary.to_client; }
};

void append_vhost(Value out, const Ended& t) {
  // A name has at most 253 characters; more is not worth an allocation.
  std::string_view name = t.server_name.substr(0, 256);
  char text[264];
  char* end = std::copy(name.begin(), name.end(), text);
  *end++ = ':';
  for (unsigned unit = 10'000, port = t.info.server_port(); unit > 0; unit /= 10) {
    if (port >= unit || unit == 1) *end++ = static_cast<char>('0' + port / unit % 10);
  }
  out.text({text, end});
}

// docs/directives.md has the same list. Names and meanings stay as they are.
struct Field {
  std::string_view name;
  void (*append)(Value out, const Ended& t);
};

constexpr Field kFields[] = {
    {"time",
     [](Value out, const Ended& t) {
       out.plain([&t](std::string& line) { append_time(line, t.info.ended_us); });
     }},
    {"tunnel",
     [](Value out, const Ended& t) {
       out.plain([&t](std::string& line) { append_id(line, t.info.id()); });
     }},
    {"vhost", append_vhost},
    {"client", [](Value out, const Ended& t) { out.text(t.info.client()); }},
    {"client_port", [](Value out, const Ended& t) { out.number(t.info.client_port()); }},
    {"user", [](Value out, const Ended& t) { out.text(t.info.user()); }},
    {"uri", [](Value out, const Ended& t) { out.text(t.info.uri()); }},
    {"member", [](Value out, const Ended& t) { out.text(t.info.member()); }},
    {"route", [](Value out, const Ended& t) { out.text(t.info.route()); }},
    {"balancer", [](Value out, const Ended& t) { out.text(t.info.balancer()); }},
    {"client_transport",
     [](Value out, const Ended& t) { out.text(name_of(t.info.client_transport())); }},
    {"member_transport",
     [](Value out, const Ended& t) { out.text(name_of(t.info.member_transport())); }},
    {"pumped", [](Value out, const Ended& t) { out.flag(t.info.is_pumped()); }},
    {"subprotocol", [](Value out, const Ended& t) { out.text(t.info.subprotocol()); }},
    {"handshake_ms", [](Value out, const Ended& t) { out.number(t.info.handshake_ms()); }},
    {"duration_ms",
     [](Value out, const Ended& t) {
       out.number(static_cast<std::uint64_t>(t.summary().duration.count()));
     }},
    {"bytes_from_client", [](Value out, const Ended& t) { out.number(t.from_client().bytes); }},
    {"frames_from_client", [](Value out, const Ended& t) { out.number(t.from_client().frames); }},
    {"messages_from_client",
     [](Value out, const Ended& t) { out.number(t.from_client().messages); }},
    {"bytes_from_member", [](Value out, const Ended& t) { out.number(t.from_member().bytes); }},
    {"frames_from_member", [](Value out, const Ended& t) { out.number(t.from_member().frames); }},
    {"messages_from_member",
     [](Value out, const Ended& t) { out.number(t.from_member().messages); }},
    {"pings_to_client",
     [](Value out, const Ended& t) {
       out.number(t.summary().pings[static_cast<std::size_t>(Side::client)]);
     }},
    {"pings_to_member",
     [](Value out, const Ended& t) {
       out.number(t.summary().pings[static_cast<std::size_t>(Side::member)]);
     }},
    {"throttled",
     [](Value out, const Ended& t) {
       out.number(std::uint64_t{t.from_client().throttled} + t.from_member().throttled);
     }},
    {"violations_by_client",
     [](Value out, const Ended& t) { out.number(t.from_client().violations); }},
    {"violations_by_member",
     [](Value out, const Ended& t) { out.number(t.from_member().violations); }},
    {"close_code", [](Value out, const Ended& t) { out.number(t.summary().close_code); }},
    {"closer", [](Value out, const Ended& t) { out.text(name_of(t.summary().closer)); }},
    {"reason", [](Value out, const Ended& t) { out.text(name_of(t.summary().reason)); }},
    {"tls_truncated", [](Value out, const Ended& t) { out.flag(t.summary().is_truncated); }},
};

std::string all_names() {
  std::string names;
  for (const Field& field : kFields) {
    if (!names.empty()) names += ' ';
    names += field.name;
  }
  return names;
}

// What a backslash makes of the character behind it; of any other both stay (mod_log_config.c,
// parse_log_misc_string).
void append_escape(std::string& literal, char c) {
  switch (c) {
    case 'n':
      literal += '\n';
      return;
    case 't':
      literal += '\t';
      return;
    case '\\':
    case '"':
      literal += c;
      return;
    default:
      literal += '\\';
      literal += c;
  }
}

}  // namespace

std::string TunnelLine::parse(std::string_view format) {
  std::vector<Item> items;
  std::string literal;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const std::string_view rest = format.substr(i + 1);
    if (format[i] == '\\' && !rest.empty()) {
      append_escape(literal, format[++i]);
    } else if (format[i] != '%') {
      literal += format[i];
    } else if (rest.starts_with('%')) {
      literal += '%';
      ++i;
    } else {
      const std::size_t brace = rest.find("}x");
      if (!rest.starts_with('{') || brace == std::string_view::npos) {
        return "'" + std::string(format.substr(i, 20)) + "' is neither %{name}x nor %%";
      }
      const std::string_view name = rest.substr(1, brace - 1);
      const auto field = std::find_if(std::begin(kFields), std::end(kFields),
                                      [name](const Field& f) { return f.name == name; });
      if (field == std::end(kFields)) {
        return "there is no %{" + std::string(name) + "}x, only: " + all_names();
      }
      items.push_back({std::move(literal), static_cast<std::size_t>(field - kFields)});
      literal.clear();
      i += brace + 2;
    }
  }
  items.push_back({std::move(literal), kNoValue});
  items_ = std::move(items);
  return {};
}

void TunnelLine::append(std::string& line, const TunnelInfo& info,
                        std::string_view server_name) const {
  const Ended ended{info, server_name};
  for (const Item& item : items_) {
    line += item.literal;
    if (item.value != kNoValue) kFields[item.value].append(Value(line, false), ended);
  }
  if (items_.empty()) {
    char before = '{';
    for (const Field& field : kFields) {
      line += before;
      append_json_string(line, field.name);
      line += ':';
      field.append(Value(line, true), ended);
      before = ',';
    }
    line += '}';
  }
  line += '\n';
}

}  // namespace wsbalance::httpd
