# Finds the httpd to build for: asks apxs, and APR's own config programs.
#
#   -DHttpd_APXS=/opt/httpd/bin/apxs   selects another server
#
# Gives Httpd_VERSION, Httpd_MMN, Httpd_MODULEDIR (apxs -q LIBEXECDIR), Httpd_SERVER (the program)
# and the targets Httpd::Headers (for the module: it finds httpd's and APR's functions in the
# process that loads it) and Httpd::APRLibs (for programs that run without httpd).
include(FindPackageHandleStandardArgs)

find_program(Httpd_APXS NAMES apxs apxs2 PATHS /usr/sbin /usr/local/apache2/bin
             DOC "apxs of the httpd to build for")

function(_httpd_ask_apxs out key)
  set(${out} "" PARENT_SCOPE)
  if(Httpd_APXS)
    execute_process(COMMAND "${Httpd_APXS}" -q ${key} OUTPUT_VARIABLE answer ERROR_QUIET
                    RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(status EQUAL 0)
      set(${out} "${answer}" PARENT_SCOPE)
    endif()
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
_httpd_ask_apxs(_sbindir SBINDIR)
_httpd_ask_apxs(_progname PROGNAME)
_httpd_ask_apxs(_apr_config APR_CONFIG)
_httpd_ask_apxs(_apu_config APU_CONFIG)

set(Httpd_MODULEDIR "${_libexecdir}" CACHE PATH "the server's own modules (apxs -q LIBEXECDIR)")
set(Httpd_APR_CONFIG "${_apr_config}" CACHE FILEPATH "apr-1-config")
set(Httpd_APU_CONFIG "${_apu_config}" CACHE FILEPATH "apu-1-config")
find_path(Httpd_INCLUDE_DIR ap_mmn.h HINTS "${_includedir}" NO_DEFAULT_PATH)
find_path(Httpd_SSL_INCLUDE_DIR mod_ssl_openssl.h HINTS "${_includedir}" NO_DEFAULT_PATH)
if(Httpd_INCLUDE_DIR AND NOT Httpd_SSL_INCLUDE_DIR)
  message(STATUS "mod_ssl_openssl.h is missing beside httpd's headers (Debian: apache2-ssl-dev)")
endif()
find_program(Httpd_SERVER NAMES ${_progname} apache2 httpd HINTS "${_sbindir}" PATHS /usr/sbin)

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

find_package_handle_standard_args(Httpd
  REQUIRED_VARS Httpd_APXS Httpd_INCLUDE_DIR Httpd_SSL_INCLUDE_DIR Httpd_MODULEDIR Httpd_APR_CONFIG Httpd_APU_CONFIG
  VERSION_VAR Httpd_VERSION)

if(Httpd_FOUND AND NOT TARGET Httpd::Headers)
  _httpd_ask_config(_apr_include "${Httpd_APR_CONFIG}" --includedir)
  _httpd_ask_config(_apu_include "${Httpd_APU_CONFIG}" --includedir)
  _httpd_ask_config(_apr_defines "${Httpd_APR_CONFIG}" --cppflags)
  _httpd_ask_config(_apr_libs "${Httpd_APR_CONFIG}" --link-ld)
  set(_includes ${_apr_include} ${_apu_include})
  list(REMOVE_DUPLICATES _includes)

  add_library(Httpd::APR INTERFACE IMPORTED)
  target_include_directories(Httpd::APR SYSTEM INTERFACE ${_includes})
  target_compile_options(Httpd::APR INTERFACE ${_apr_defines})

  add_library(Httpd::Headers INTERFACE IMPORTED)
  target_include_directories(Httpd::Headers SYSTEM INTERFACE "${Httpd_INCLUDE_DIR}")
  target_link_libraries(Httpd::Headers INTERFACE Httpd::APR)

  add_library(Httpd::APRLibs INTERFACE IMPORTED)
  target_link_libraries(Httpd::APRLibs INTERFACE Httpd::APR -laprutil-1 ${_apr_libs})
endif()
mark_as_advanced(Httpd_INCLUDE_DIR Httpd_SSL_INCLUDE_DIR Httpd_APR_CONFIG Httpd_APU_CONFIG)
