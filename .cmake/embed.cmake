# cmake -DOUTPUT=web.hpp "-DFILES=index_html=index.html;downlink_js=downlink.js" -P embed.cmake
#
# Writes a header with one std::string_view for each name=file: the file's bytes. They are written as characters and
# not as a string literal, which compilers limit in length and may take for text in another encoding.
cmake_minimum_required(VERSION 3.25)

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
