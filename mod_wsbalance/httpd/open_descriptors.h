// open_descriptors.h - what of a process stays open when it becomes another one.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  a process with one thread.
// Errors:   none: what cannot be closed was not open.
#pragma once

#include <vector>

namespace wsbalance::httpd {

// Closes every descriptor but these, in any order.
void close_all_but(std::vector<int> kept) noexcept;

}  // namespace wsbalance::httpd
