# downlink_embed(<target> [<header>] [<name>=<file>...])
#
# Makes files part of a program: `#include "<header>"` (downlink_client.hpp by default) then gives `downlink_js`, the
# browser client, and one std::string_view more for each name. A file that changes is embedded anew.
#
# As a script (cmake -DOUTPUT=web.hpp "-DFILES=name=file;..." -P embed.cmake) it writes such a header. The bytes are
# written as characters and not as a string literal, which compilers limit in length and may take for text in another
# encoding.
cmake_minimum_required(VERSION 3.25)

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  set(header "#pragma once\n\n#include <string_view>\n")
  foreach(entry IN LISTS FILES)
    string(REGEX MATCH "^([A-Za-z0-9_]+)=(.+)$" matched "${entry}")
    set(name "${CMAKE_MATCH_1}")
    file(READ "${CMAKE_MATCH_2}" bytes HEX)
    string(LENGTH "${bytes}" size)
    math(EXPR size "${size} / 2")
    string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
    string(APPEND header "\ninline constexpr char ${name}_bytes[] = {\n${bytes}'\\0'};\n"
      "inline constexpr std::string_view ${name}{${name}_bytes, ${size}};\n")
  endforeach()
  file(WRITE "${OUTPUT}" "${header}")
  return()
endif()

function(downlink_embed target)
  set(header downlink_client.hpp)
  set(entries ${ARGN})
  if(ARGN AND NOT ARGV1 MATCHES "=")
    list(POP_FRONT entries header)
  endif()
  get_property(client GLOBAL PROPERTY downlink_browser_client)
  set(script "${CMAKE_CURRENT_FUNCTION_LIST_FILE}")
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}_embedded")
  set(files "")
  set(sources "${script}")
  foreach(entry IN LISTS entries ITEMS "downlink_js=${client}")
    if(NOT entry MATCHES "^([A-Za-z_][A-Za-z0-9_]*)=(.+)$")
      message(FATAL_ERROR "downlink_embed: \"${entry}\" is not of the form <name>=<file>")
    endif()
    set(name "${CMAKE_MATCH_1}")
    cmake_path(ABSOLUTE_PATH CMAKE_MATCH_2 OUTPUT_VARIABLE file)
    list(APPEND files "${name}=${file}")
    list(APPEND sources "${file}")
  endforeach()
  add_custom_command(OUTPUT "${folder}/${header}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${folder}/${header}" "-DFILES=${files}" -P "${script}"
    DEPENDS ${sources} COMMENT "Embedding files in ${target}" VERBATIM)
  target_sources(${target} PRIVATE "${folder}/${header}")
  target_include_directories(${target} PRIVATE "${folder}")
endfunction()
