from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, get, rm, rmdir, save
import os

required_conan_version = ">=2.0.9"


class DownlinkConan(ConanFile):
    name = "downlink"
    description = "Server push over short polling, long polling, SSE and WebSocket on Asio"
    license = "MIT"
    url = "https://github.com/conan-io/conan-center-index"
    homepage = "https://github.com/downlink/downlink"
    topics = ("server-push", "server-sent-events", "websocket", "long-polling", "asio", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {
        "with_boost": [True, False],
        "with_liburing": [True, False],
        "with_openssl": [True, False],
        "with_zlib": [True, False],
    }
    default_options = {
        "with_boost": False,
        "with_liburing": False,
        "with_openssl": False,
        "with_zlib": False,
    }

    @property
    def _cmake_folder(self):
        return os.path.join("share", "cmake", "downlink")

    @property
    def _client_module(self):
        return os.path.join(self._cmake_folder, "client.cmake")

    def config_options(self):
        if self.settings.os != "Linux":
            del self.options.with_liburing

    def layout(self):
        cmake_layout(self, src_folder="src")

    def requirements(self):
        self.requires("asio/1.38.2")
        self.requires("llhttp/9.3.0")
        if self.options.with_boost:
            self.requires("boost/1.83.0")
        if self.options.get_safe("with_liburing"):
            self.requires("liburing/[>=2.2 <3]")
        if self.options.with_openssl:
            self.requires("openssl/[>=3 <4]")
        if self.options.with_zlib:
            self.requires("zlib/[>=1.2.11 <2]")

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)

    def build_requirements(self):
        self.tool_requires("cmake/[>=3.25]")

    def source(self):
        get(self, **self.conan_data["sources"][self.version], strip_root=True)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["DOWNLINK_BUILD_TESTS"] = False
        toolchain.cache_variables["DOWNLINK_BUILD_EXAMPLES"] = False
        toolchain.cache_variables["DOWNLINK_COMPILED"] = False
        toolchain.cache_variables["DOWNLINK_FETCH_DEPENDENCIES"] = False
        toolchain.cache_variables["DOWNLINK_INSTALL"] = True
        toolchain.cache_variables["DOWNLINK_BOOST"] = bool(self.options.with_boost)
        toolchain.cache_variables["DOWNLINK_DEFLATE"] = bool(self.options.with_zlib)
        toolchain.cache_variables["DOWNLINK_IO_URING"] = bool(self.options.get_safe("with_liburing"))
        toolchain.cache_variables["DOWNLINK_TLS"] = bool(self.options.with_openssl)
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        cmake = CMake(self)
        cmake.install()
        # Conan writes what find_package and pkg-config read; downlink_embed() stays, as the module that it is.
        rmdir(self, os.path.join(self.package_folder, "lib"))
        for pattern in ("downlinkConfig*.cmake", "downlinkDependencies.cmake", "downlinkTargets*.cmake"):
            rm(self, pattern, os.path.join(self.package_folder, self._cmake_folder))
        save(self, os.path.join(self.package_folder, self._client_module),
             "# Where downlink_embed() finds the browser client.\n"
             "set_property(GLOBAL PROPERTY downlink_browser_client\n"
             "  \"${CMAKE_CURRENT_LIST_DIR}/../../../include/downlink/browser/downlink.js\")\n")

    def _add_library(self, name, asio):
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", f"downlink::{name}")
        component.requires = [asio, "llhttp::llhttp"]
        component.bindirs = []
        component.libdirs = []
        if self.settings.os in ["Linux", "FreeBSD"]:
            component.system_libs = ["pthread"]
        return component

    def _add_dependency(self, name, dependency):
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", f"downlink::{name}")
        component.requires = [dependency]
        component.bindirs = []
        component.includedirs = []
        component.libdirs = []

    def package_info(self):
        # The names of the targets are those of the library's own CMake package.
        self.cpp_info.set_property("cmake_file_name", "downlink")
        self.cpp_info.set_property("cmake_target_name", "downlink::all")
        self.cpp_info.set_property("cmake_config_version_compat", "SameMinorVersion")
        self.cpp_info.set_property("cmake_build_modules", [
            self._client_module, os.path.join(self._cmake_folder, "embed.cmake")])

        library = self._add_library("downlink", "asio::asio")
        library.set_property("pkg_config_name", "downlink")
        library.defines = ["ASIO_STANDALONE"]
        if self.settings.compiler in ["clang", "apple-clang"]:
            # As the CMake package does, for the oldest Asio that the library takes.
            library.defines.extend(["ASIO_HAS_CO_AWAIT=1", "ASIO_HAS_STD_COROUTINE=1"])
        if self.options.with_boost:
            self._add_library("downlink_boost", "boost::headers").defines = ["DOWNLINK_BOOST_ASIO"]
        if self.options.with_zlib:
            self._add_dependency("deflate", "zlib::zlib")
        if self.options.get_safe("with_liburing"):
            self._add_dependency("io_uring", "liburing::liburing")
        if self.options.with_openssl:
            self._add_dependency("tls", "openssl::ssl")
