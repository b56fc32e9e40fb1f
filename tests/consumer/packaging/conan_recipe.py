"""conan_recipe.py <the project> <prefix> <folder> <option>,... -- <arguments of cmake>...

Runs the Conan recipe of .packaging/ in the order in which Conan calls its methods, and writes the CMake package that
find_package reads into <folder>/generators. Conan itself is not used: what the recipe imports of it are stand-ins below
that do what Conan documents, for this recipe, on this machine, with the checkout in place of the release's archive and
the packages in <prefix> in place of those required. What they can't show is Conan's own resolving of versions, and
what the recipes of Asio, llhttp, zlib, OpenSSL and liburing hold.
"""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import types

SOURCE, PREFIX, FOLDER, OPTIONS = sys.argv[1:5]
CMAKE_ARGUMENTS = sys.argv[sys.argv.index("--") + 1:]
RECIPE = os.path.join(SOURCE, ".packaging", "conan", "downlink")
# The CMake package and target of each component that the recipe may name.
PACKAGES = {"asio::asio": ("asio", "asio::asio"), "llhttp::llhttp": ("llhttp", "llhttp::llhttp"),
            "zlib::zlib": ("ZLIB", "ZLIB::ZLIB"), "openssl::ssl": ("OpenSSL", "OpenSSL::SSL"),
            "boost::headers": ("Boost", "Boost::headers"), "liburing::liburing": ("liburing", "liburing::liburing")}


class Info:
    """cpp_info and its components. Of the folders only the includes default to one."""

    def __init__(self):
        self.properties, self.components = {}, Components()
        self.requires, self.defines, self.system_libs, self.includedirs = [], [], [], ["include"]
        self.bindirs = self.libdirs = None

    def set_property(self, name, value):
        assert name in ("cmake_file_name", "cmake_target_name", "cmake_config_version_compat", "cmake_build_modules",
                        "pkg_config_name"), name
        self.properties[name] = value


class Components(dict):
    def __missing__(self, name):
        return self.setdefault(name, Info())


class Options(types.SimpleNamespace):
    def get_safe(self, name):
        return getattr(self, name, None)


class ConanFile:
    def requires(self, reference):
        self.required.append(reference)

    def tool_requires(self, reference):
        self.tools.append(reference)


class CMakeToolchain:
    def __init__(self, conanfile):
        self.conanfile, self.cache_variables = conanfile, {}

    def generate(self):
        self.conanfile.cache_variables = self.cache_variables


class CMakeDeps:
    def __init__(self, conanfile):
        self.conanfile = conanfile

    def generate(self):
        self.conanfile.has_dependencies = True


class CMake:
    def __init__(self, conanfile):
        self.conanfile = conanfile

    def configure(self):
        assert self.conanfile.has_dependencies
        variables = [f"-D{name}={'ON' if value is True else 'OFF' if value is False else value}"
                     for name, value in self.conanfile.cache_variables.items()]
        subprocess.run(["cmake", "-S", self.conanfile.source_folder, "-B", self.conanfile.build_folder,
                        *CMAKE_ARGUMENTS, f"-DCMAKE_PREFIX_PATH={PREFIX}", "-DCMAKE_BUILD_TYPE=Release",
                        f"-DCMAKE_INSTALL_PREFIX={self.conanfile.package_folder}", *variables], check=True)

    def build(self):
        subprocess.run(["cmake", "--build", self.conanfile.build_folder, "--parallel", "1"], check=True)

    def install(self):
        subprocess.run(["cmake", "--install", self.conanfile.build_folder], check=True)


def check_min_cppstd(conanfile, standard):
    assert standard == 20


def cmake_layout(conanfile, src_folder):
    assert src_folder == "src"


def get(conanfile, url, sha256, strip_root):
    assert strip_root and url and re.fullmatch("[0-9a-f]{64}", sha256)


def copy(conanfile, pattern, source, destination):
    os.makedirs(destination, exist_ok=True)
    shutil.copy(os.path.join(source, pattern), destination)


def rm(conanfile, pattern, folder):
    for name in fnmatch.filter(os.listdir(folder), pattern):
        os.remove(os.path.join(folder, name))


def rmdir(conanfile, folder):
    shutil.rmtree(folder, ignore_errors=True)


def save(conanfile, path, content):
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


def module(name, *members):
    sys.modules[name] = types.ModuleType(name)
    for member in members:
        setattr(sys.modules[name], member.__name__, member)


module("conan", ConanFile)
module("conan.tools")
module("conan.tools.build", check_min_cppstd)
module("conan.tools.cmake", CMake, CMakeDeps, CMakeToolchain, cmake_layout)
module("conan.tools.files", copy, get, rm, rmdir, save)


def sources():
    """conandata.yml, which is written so plainly that this reads it: the address and the hash of each version."""
    with open(os.path.join(RECIPE, "all", "conandata.yml"), encoding="utf-8") as file:
        text = file.read()
    return {version: {"url": url, "sha256": sha256} for version, url, sha256 in re.findall(
        r'^  "([^"]+)":\n    url: "([^"]+)"\n(?: +#.*\n)*    sha256: "([^"]+)"$', text, re.MULTILINE)}


def load():
    recipe = types.ModuleType("conanfile")
    path = os.path.join(RECIPE, "all", "conanfile.py")
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), recipe.__dict__)
    (kind,) = [value for value in vars(recipe).values()
               if isinstance(value, type) and issubclass(value, ConanFile) and value is not ConanFile]
    conanfile = kind()
    chosen = dict(kind.default_options)
    chosen.update((option, True) for option in OPTIONS.split(",") if option)
    assert set(chosen) == set(kind.options), "an option is unknown or has no default"
    conanfile.options = Options(**chosen)
    conanfile.settings = types.SimpleNamespace(os="Linux", arch="x86_64", compiler="gcc", build_type="Release")
    conanfile.required, conanfile.tools, conanfile.has_dependencies = [], [], False
    conanfile.info = types.SimpleNamespace(clear=lambda: None)
    conanfile.cpp_info = Info()
    conanfile.conan_data = {"sources": sources()}
    (conanfile.version,) = conanfile.conan_data["sources"]
    conanfile.source_folder = SOURCE
    conanfile.build_folder = os.path.join(FOLDER, "build")
    conanfile.package_folder = os.path.join(FOLDER, "package")
    return conanfile


def write_package(conanfile):
    """What CMakeDeps writes for who requires the package."""
    info, package = conanfile.cpp_info, conanfile.package_folder
    lines, targets = [], []
    for name, component in info.components.items():
        target = component.properties["cmake_target_name"]
        for dependency in component.requires:
            lines.append(f"find_package({PACKAGES[dependency][0]} REQUIRED)")
        lines += [f"if(NOT TARGET {target})", f"  add_library({target} INTERFACE IMPORTED)"]
        links = [PACKAGES[dependency][1] for dependency in component.requires] + component.system_libs
        includes = [os.path.join(package, folder) for folder in component.includedirs]
        for command, values in (("link_libraries", links), ("include_directories", includes),
                                ("compile_definitions", component.defines)):
            if values:
                lines.append(f"  target_{command}({target} INTERFACE {' '.join(values)})")
        lines.append("endif()")
        targets.append(target)
    for path in info.properties["cmake_build_modules"]:
        lines.append(f'include("{os.path.join(package, path)}")')
    folder = os.path.join(FOLDER, "generators")
    os.makedirs(folder)
    name = info.properties["cmake_file_name"]
    save(conanfile, os.path.join(folder, f"{name}-config.cmake"), "\n".join(lines) + "\n")
    assert info.properties["cmake_config_version_compat"] == "SameMinorVersion"
    save(conanfile, os.path.join(folder, f"{name}-config-version.cmake"),
         f'set(PACKAGE_VERSION "{conanfile.version}")\nset(PACKAGE_VERSION_COMPATIBLE TRUE)\n')
    return targets


def check_package(conanfile):
    """What conan-center's checks look for in a package."""
    package = conanfile.package_folder
    assert os.listdir(os.path.join(package, "licenses")) == ["LICENSE"]
    assert os.path.exists(os.path.join(package, "include", "downlink", "downlink.hpp"))
    for folder, _, files in os.walk(package):
        for name in files:
            assert not re.search(r"(\.pc|\.a|Config\.cmake|ConfigVersion\.cmake|Targets\.cmake)$", name), name
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = file.read()
            assert FOLDER not in text and SOURCE + "/" not in text, f"{name} names a folder of this machine"


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    conanfile = load()
    assert conanfile.package_type == "header-library" and "header-only" in conanfile.topics
    conanfile.config_options()
    conanfile.layout()
    conanfile.requirements()
    conanfile.build_requirements()
    for reference in conanfile.required + conanfile.tools:
        assert re.fullmatch(r"[a-z0-9]+/(\d+(\.\d+)+|\[[^\]]+\])", reference), reference
    conanfile.package_id()
    conanfile.validate()
    conanfile.source()
    conanfile.generate()
    conanfile.build()
    conanfile.package()
    conanfile.package_info()
    required = {reference.split("/")[0] for reference in conanfile.required}
    used = {name.split("::")[0] for component in conanfile.cpp_info.components.values() for name in component.requires}
    assert required == used, f"required are {required}, used are {used}"
    check_package(conanfile)
    print("targets:", *write_package(conanfile))


main()
