# cmake -DSOURCE=<the project> -DCOPY=build/... -DNPM=npm -P npm_install.cmake
#
# Copies the browser tests, and the page and the client that they read, and installs the tests' packages beside the
# copy. The network is used only when package.json or the lock file changed since the last time.
cmake_minimum_required(VERSION 3.25)

foreach(folder IN ITEMS tests/browser tests/proxies examples/hub/web include/downlink/browser)
  file(GLOB files "${SOURCE}/${folder}/*")
  list(FILTER files EXCLUDE REGEX "/node_modules$")
  file(MAKE_DIRECTORY "${COPY}/${folder}")
  file(COPY ${files} DESTINATION "${COPY}/${folder}")
endforeach()
set(SOURCE "${SOURCE}/tests/browser")
set(COPY "${COPY}/tests/browser")

set(stamp "")
foreach(file IN ITEMS package.json package-lock.json)
  if(EXISTS "${SOURCE}/${file}")
    file(SHA256 "${SOURCE}/${file}" hash)
    string(APPEND stamp "${hash}\n")
  endif()
endforeach()
set(installed "")
if(EXISTS "${COPY}/node_modules/.downlink-stamp")
  file(READ "${COPY}/node_modules/.downlink-stamp" installed)
endif()
if(installed STREQUAL stamp)
  message(STATUS "the packages are installed")
  return()
endif()

execute_process(COMMAND "${NPM}" install --no-audit --no-fund --ignore-scripts --omit=optional
  WORKING_DIRECTORY "${COPY}" RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "npm could not install the packages of tests/browser/package.json (is the network there?)")
endif()
file(WRITE "${COPY}/node_modules/.downlink-stamp" "${stamp}")
