# Sets `arguments` to what stands behind the -- of a script's command line.

set(arguments "")
set(past_dashes OFF)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(index RANGE ${last})
  if(past_dashes)
    string(REPLACE ";" "\\;" argument "${CMAKE_ARGV${index}}")
    list(APPEND arguments "${argument}")
  elseif(CMAKE_ARGV${index} STREQUAL "--")
    set(past_dashes ON)
  endif()
endforeach()
