# Finds the httpd to build for: asks apxs, and APR's own config programs.
#
#   -DHttpd_APXS=/opt/httpd/bin/apxs   selects another server, in an existing build folder too
#
# Gives Httpd_VERSION, Httpd_MMN, Httpd_MODULEDIR (apxs -q LIBEXECDIR) and the target
# Httpd::Headers: a module finds httpd's and APR's functions in the process that loads it.
include(FindPackageHandleStandardArgs)

find_program(Httpd_APXS NAMES apxs apxs2 PATHS /usr/sbin /usr/local/apache2/bin
             DOC "apxs of the httpd to build for")

# What was found with the apxs before belongs to another server.
if(DEFINED _Httpd_APXS_BEFORE AND NOT "${Httpd_APXS}" STREQUAL "${_Httpd_APXS_BEFORE}")
  foreach(name IN ITEMS MODULEDIR APR_CONFIG APU_CONFIG INCLUDE_DIR SSL_INCLUDE_DIR)
    unset(Httpd_${name} CACHE)
  endforeach()
endif()
set(_Httpd_APXS_BEFORE "${Httpd_APXS}" CACHE INTERNAL "")

set(_httpd_why "")
if(NOT Httpd_APXS)
  set(_httpd_why "apxs is not there: install httpd's development files (Debian: apache2-dev, RHEL and Fedora: httpd-devel), or say -DHttpd_APXS=<httpd's prefix>/bin/apxs")
endif()

# Empty if apxs does not know; what it says is told if it does not run at all (it needs perl).
function(_httpd_ask_apxs out key)
  set(${out} "" PARENT_SCOPE)
  if(_httpd_why)
    return()
  endif()
  execute_process(COMMAND "${Httpd_APXS}" -q ${key} OUTPUT_VARIABLE answer ERROR_VARIABLE said
                  RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(status EQUAL 0)
    set(${out} "${answer}" PARENT_SCOPE)
  else()
    set(_httpd_why "${Httpd_APXS} -q ${key} failed (${status}): ${said}" PARENT_SCOPE)
  endif()
endfunction()

# apr-1-config prints one answer per call only.
function(_httpd_ask_config out program option)
  execute_process(COMMAND "${program}" ${option} OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  separate_arguments(answer UNIX_COMMAND "${answer}")
  set(${out} "${answer}" PARENT_SCOPE)
endfunction()

_httpd_ask_apxs(_includedir INCLUDEDIR)
_httpd_ask_apxs(_libexecdir LIBEXECDIR)
_httpd_ask_apxs(_apr_config APR_CONFIG)
_httpd_ask_apxs(_apu_config APU_CONFIG)

set(Httpd_MODULEDIR "${_libexecdir}" CACHE PATH "the server's own modules (apxs -q LIBEXECDIR)")
set(Httpd_APR_CONFIG "${_apr_config}" CACHE FILEPATH "apr-1-config")
set(Httpd_APU_CONFIG "${_apu_config}" CACHE FILEPATH "apu-1-config")
find_path(Httpd_INCLUDE_DIR ap_mmn.h HINTS "${_includedir}" NO_DEFAULT_PATH)
find_path(Httpd_SSL_INCLUDE_DIR mod_ssl_openssl.h HINTS "${_includedir}" NO_DEFAULT_PATH)
if(NOT _httpd_why)
  if(NOT Httpd_INCLUDE_DIR)
    set(_httpd_why "httpd's headers are not in ${_includedir}, where apxs says: ap_mmn.h is missing")
  elseif(NOT Httpd_SSL_INCLUDE_DIR)
    set(_httpd_why "mod_ssl_openssl.h is not in ${_includedir}. httpd's own installation puts it there, with or without mod_ssl. On Debian it comes with the package apache2-ssl-dev")
  endif()
endif()

if(Httpd_INCLUDE_DIR)
  file(STRINGS "${Httpd_INCLUDE_DIR}/ap_mmn.h" _mmn
       REGEX "^#define MODULE_MAGIC_NUMBER_M(AJOR|INOR) ")
  string(REGEX MATCH "MAJOR +([0-9]+)" _ "${_mmn}")
  set(Httpd_MMN "${CMAKE_MATCH_1}")
  string(REGEX MATCH "MINOR +([0-9]+)" _ "${_mmn}")
  string(APPEND Httpd_MMN "-${CMAKE_MATCH_1}")
  file(STRINGS "${Httpd_INCLUDE_DIR}/ap_release.h" _release
       REGEX "^#define AP_SERVER_(MAJOR|MINOR|PATCHLEVEL)")
  string(REGEX REPLACE
         ".*MAJORVERSION_NUMBER +([0-9]+).*MINORVERSION_NUMBER +([0-9]+).*PATCHLEVEL_NUMBER +([0-9]+).*"
         "\\1.\\2.\\3" Httpd_VERSION "${_release}")
endif()

string(REPLACE ";" "," _httpd_why "${_httpd_why}")  # It would end the argument.
find_package_handle_standard_args(Httpd
  REQUIRED_VARS Httpd_APXS Httpd_INCLUDE_DIR Httpd_SSL_INCLUDE_DIR Httpd_MODULEDIR Httpd_APR_CONFIG Httpd_APU_CONFIG
  VERSION_VAR Httpd_VERSION REASON_FAILURE_MESSAGE "${_httpd_why}")

if(Httpd_FOUND AND NOT TARGET Httpd::Headers)
  _httpd_ask_config(_apr_include "${Httpd_APR_CONFIG}" --includedir)
  _httpd_ask_config(_apu_include "${Httpd_APU_CONFIG}" --includedir)
  _httpd_ask_config(_apr_defines "${Httpd_APR_CONFIG}" --cppflags)
  set(_includes ${_apr_include} ${_apu_include})
  list(REMOVE_DUPLICATES _includes)

  add_library(Httpd::Headers INTERFACE IMPORTED)
  target_include_directories(Httpd::Headers SYSTEM INTERFACE "${Httpd_INCLUDE_DIR}" ${_includes})
  target_compile_options(Httpd::Headers INTERFACE ${_apr_defines})
endif()
mark_as_advanced(Httpd_INCLUDE_DIR Httpd_SSL_INCLUDE_DIR Httpd_APR_CONFIG Httpd_APU_CONFIG)
