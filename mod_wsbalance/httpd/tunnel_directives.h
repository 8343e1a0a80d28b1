// tunnel_directives.h - the directives that say how a tunnel lives and what ends it.
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   null, or the sentence that httpd prints with file and line.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// For the table of directives.cpp; `config` is a DirConfig. Words that are not there are null.
const char* set_idle_timeout(cmd_parms* cmd, void* config, const char* text);
const char* set_data_timeout(cmd_parms* cmd, void* config, const char* text);
const char* set_ping(cmd_parms* cmd, void* config, const char* interval, const char* second,
                     const char* third);
const char* set_lifetime(cmd_parms* cmd, void* config, const char* text, const char* jitter);
const char* set_close_timeout(cmd_parms* cmd, void* config, const char* text);
const char* set_keep_alive(cmd_parms* cmd, void* config, const char* idle, const char* interval,
                           const char* probes);
const char* set_frames(cmd_parms* cmd, void* config, const char* text, const char* side);
const char* set_max_frame(cmd_parms* cmd, void* config, const char* text);
const char* set_max_message(cmd_parms* cmd, void* config, const char* text);
const char* set_message_rate(cmd_parms* cmd, void* config, const char* rate, const char* second,
                             const char* third);
const char* set_byte_rate(cmd_parms* cmd, void* config, const char* rate, const char* second,
                          const char* third);

}  // namespace wsbalance::httpd
