// The sanitizers' options, compiled in so that they hold however a test is started. The environment's
// ASAN_OPTIONS, UBSAN_OPTIONS and TSAN_OPTIONS come on top. Without a sanitizer nothing calls these.

// NOLINTBEGIN(bugprone-reserved-identifier): the names are the sanitizers'.
extern "C" {
const char* __asan_default_options();
const char* __ubsan_default_options();
const char* __tsan_default_options();
const char* __tsan_default_suppressions();

const char* __asan_default_options() { return "detect_leaks=1:strict_string_checks=1"; }
const char* __ubsan_default_options() { return "halt_on_error=1:print_stacktrace=1"; }
const char* __tsan_default_options() { return "halt_on_error=1:second_deadlock_stack=1"; }

// Who lets go of an exception last frees it, which only the count of its owners orders after their use of it; that
// count is in libstdc++, which is not instrumented. So an exception that comes through a future looks like a race.
const char* __tsan_default_suppressions() { return "race:std::__exception_ptr::exception_ptr::_M_release\n"; }
}
// NOLINTEND(bugprone-reserved-identifier)
