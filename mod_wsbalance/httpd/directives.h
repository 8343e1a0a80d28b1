// directives.h - the directive table.
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   a directive with a bad value gets one sentence that httpd prints with file and line.
#pragma once

#include "httpd/httpd_api.h"

// Named by mod_wsbalance.c.
extern "C" const command_rec wsbalance_commands[];
