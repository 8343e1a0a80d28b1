#include "httpd/tunnel_log.h"

#include <map>
#include <string>
#include <string_view>

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/pool.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

bool is_program(const char* target) { return *target == '|'; }

// As mod_log_config opens its own. Null: said why.
apr_file_t* open_file(apr_pool_t* pool, const server_rec* server, const char* path) {
  apr_file_t* file = nullptr;
  const apr_status_t rv = apr_file_open(
      &file, path, APR_WRITE | APR_APPEND | APR_CREATE | APR_LARGEFILE, APR_OS_DEFAULT, pool);
  if (rv == APR_SUCCESS) return file;
  ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_CRIT, rv, server,
               "WSB0307: cannot open the tunnel log %s (WSBalanceLog)", path);
  return nullptr;
}

// httpd starts it again if it ends.
apr_file_t* open_program(apr_pool_t* pool, const server_rec* server, const char* target) {
  if (piped_log* program = ap_open_piped_log(pool, target + 1)) {
    return ap_piped_log_write_fd(program);
  }
  ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_CRIT, 0, server,
               "WSB0308: cannot start the program of the tunnel log %s (WSBalanceLog)", target);
  return nullptr;
}

// At the second reading of the configuration what the first one opened has been closed.
int open_all(apr_pool_t* pool, server_rec* main_server) {
  std::map<std::string_view, LogFile*> opened;
  for (server_rec* server = main_server; server != nullptr; server = server->next) {
    TunnelLog* log = tunnel_log_of(server);
    if (log == nullptr || log->file != nullptr) continue;
    LogFile*& file = opened[log->target];
    if (file == nullptr) {
      apr_file_t* const opened_file = is_program(log->target)
                                          ? open_program(pool, server, log->target)
                                          : open_file(pool, server, log->target);
      int fd = -1;
      if (opened_file == nullptr || apr_os_file_get(&fd, opened_file) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
      }
      file = pool_new<LogFile>(pool, log->target, fd);
    }
    log->file = file;
  }
  return OK;
}

// Returns what is wrong with the directive, or null.
const char* set_log(cmd_parms* cmd, const char* target, const char* format) {
  auto* log = pool_new<TunnelLog>(cmd->pool);
  mutable_server_config(cmd->server).tunnel_log = log;
  if (protocol::equal_ignoring_case(target, "off")) {
    return format == nullptr ? nullptr : "WSBalanceLog off takes no format";
  }
  log->target = is_program(target) ? target : ap_server_root_relative(cmd->pool, target);
  if (log->target == nullptr || (is_program(target) && target[1] == '\0')) {
    return apr_psprintf(cmd->pool, "WSBalanceLog: '%s' is neither a file nor |program", target);
  }
  if (!is_program(target)) {
    // httpd -t opens no logs: what it did not tell would end the server at the next reload.
    const char* const folder = ap_make_dirstr_parent(cmd->temp_pool, log->target);
    if (!ap_is_directory(cmd->temp_pool, folder)) {
      return apr_psprintf(cmd->pool, "WSBalanceLog: there is no directory %s, for the log '%s'",
                          folder, target);
    }
  }
  log->format = format;
  if (format == nullptr) return nullptr;
  const std::string error = log->line.parse(format);
  return error.empty() ? nullptr : apr_psprintf(cmd->pool, "WSBalanceLog: %s", error.c_str());
}

int on_open_logs(apr_pool_t*, apr_pool_t* pool, apr_pool_t*, server_rec* server) {
  return guarded(server, "open_logs", HTTP_INTERNAL_SERVER_ERROR,
                 [&] { return open_all(pool, server); });
}

}  // namespace

TunnelLog* tunnel_log_of(const server_rec* server) {
  TunnelLog* log = server_config(server).tunnel_log;
  return log != nullptr && log->target != nullptr ? log : nullptr;
}

const char* set_tunnel_log(cmd_parms* cmd, void*, const char* target, const char* format) {
  const char* problem = "WSBalanceLog failed";
  guarded(cmd->server, "WSBalanceLog", OK, [&] {
    problem = set_log(cmd, target, format);
    return OK;
  });
  return problem;
}

void register_tunnel_log_hooks() {
  ap_hook_open_logs(on_open_logs, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
