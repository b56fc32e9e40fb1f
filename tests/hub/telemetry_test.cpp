#include "hub/telemetry.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <tuple>

#include "support/catch.hpp"

using namespace std::chrono_literals;

TEST_CASE("processor times are read for all cores together and for each", "[hub][telemetry]") {
  const auto processors = hub::parse_stat(
      "cpu  130 20 50 700 60 4 6 30 15 5\n"
      "cpu0 100 10 30 300 20 2 3 15 10 5\n"
      "cpu10 30 10 20 400 40 2 3 15 5 0\n"
      "intr 1234 5 6\n"
      "btime 1700000000\n");
  REQUIRE(processors);
  CHECK(processors->all.total == 1000);
  CHECK(processors->all.busy == 240);
  REQUIRE(processors->cores.size() == 2);
  CHECK(processors->cores.at(0).total == 480);
  CHECK(processors->cores.at(0).busy == 160);
  CHECK(processors->cores.at(10).total == 520);
  CHECK(processors->cores.at(10).busy == 80);
}

TEST_CASE("processor times of a kernel with four figures are read, and other text gives none", "[hub][telemetry]") {
  const auto processors = hub::parse_stat("cpu 1 2 3 4\ncpu0 1 2 3 4");
  REQUIRE(processors);
  CHECK(processors->all.total == 10);
  CHECK(processors->all.busy == 6);
  CHECK_FALSE(hub::parse_stat(""));
  CHECK_FALSE(hub::parse_stat("cpu 1 2\n"));
  CHECK_FALSE(hub::parse_stat("cpu a b c d e\n"));
  CHECK_FALSE(hub::parse_stat("cpu0 1 2 3 4\n"));
}

TEST_CASE("busy percent is the share of the time between two readings", "[hub][telemetry]") {
  CHECK(hub::busy_percent({.busy = 100, .total = 1000}, {.busy = 133, .total = 1100}) == 33.0);
  CHECK(hub::busy_percent({.busy = 0, .total = 0}, {.busy = 1, .total = 3}) == 33.3);
  CHECK(hub::busy_percent({.busy = 5, .total = 10}, {.busy = 5, .total = 20}) == 0.0);
  CHECK(hub::busy_percent({.busy = 5, .total = 10}, {.busy = 15, .total = 20}) == 100.0);
}

TEST_CASE("busy percent stays between 0 and 100 when counters stand still or go back", "[hub][telemetry]") {
  CHECK(hub::busy_percent({.busy = 5, .total = 10}, {.busy = 5, .total = 10}) == 0.0);
  CHECK(hub::busy_percent({.busy = 5, .total = 10}, {.busy = 4, .total = 12}) == 0.0);
  CHECK(hub::busy_percent({.busy = 5, .total = 10}, {.busy = 9, .total = 12}) == 100.0);
  CHECK(hub::busy_percent({.busy = 5, .total = 10}, {.busy = 1, .total = 2}) == 0.0);
}

TEST_CASE("used memory is the total less what is available", "[hub][telemetry]") {
  const auto memory = hub::parse_meminfo(
      "MemTotal:        8000000 kB\n"
      "MemFree:          500000 kB\n"
      "MemAvailable:    6000000 kB\n"
      "SwapTotal:             0 kB\n");
  REQUIRE(memory);
  CHECK(memory->total == 8000000ULL * 1024);
  CHECK(memory->used == 2000000ULL * 1024);
  CHECK_FALSE(hub::parse_meminfo("MemTotal: 8000000 kB\nMemFree: 500000 kB\n"));
  CHECK_FALSE(hub::parse_meminfo("MemTotal: many kB\nMemAvailable: 1 kB\n"));
  CHECK_FALSE(hub::parse_meminfo(""));
}

TEST_CASE("load averages are the first three numbers", "[hub][telemetry]") {
  const auto load = hub::parse_loadavg("0.25 1.50 12.75 2/345 6789\n");
  REQUIRE(load);
  CHECK(*load == hub::LoadAverages{0.25, 1.5, 12.75});
  CHECK_FALSE(hub::parse_loadavg("0.25 1.50"));
  CHECK_FALSE(hub::parse_loadavg("low low low"));
  CHECK_FALSE(hub::parse_loadavg(""));
}

TEST_CASE("network traffic is read for every interface but the loopback", "[hub][telemetry]") {
  const auto interfaces = hub::parse_net_dev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "
      "carrier\n"
      "    lo:    3267      29    0    0    0     0          0         0     3267      29    0    0    0     0       "
      "0\n"
      "  eth0:18446744073709551615 12  0  0    0     0          0         0   167257    2141    0    0    0     0     "
      "0\n"
      " wlan0:     100       1    0    0    0     0          0         0      200       2    0    0    0     0       "
      "0\n"
      "broken: 1 2 3\n");
  REQUIRE(interfaces.size() == 2);
  CHECK(interfaces.at("eth0").in == std::numeric_limits<std::uint64_t>::max());
  CHECK(interfaces.at("eth0").out == 167257);
  CHECK(interfaces.at("wlan0").in == 100);
  CHECK(interfaces.at("wlan0").out == 200);
}

TEST_CASE("the loopback counts where it is the only interface", "[hub][telemetry]") {
  const auto interfaces = hub::parse_net_dev("    lo:    3267      29 0 0 0 0 0 0     4000      29 0 0 0 0 0 0\n");
  REQUIRE(interfaces.size() == 1);
  CHECK(interfaces.at("lo").in == 3267);
  CHECK(interfaces.at("lo").out == 4000);
  CHECK(hub::parse_net_dev("").empty());
}

TEST_CASE("disk traffic is read for whole devices alone", "[hub][telemetry]") {
  const auto disks = hub::parse_diskstats(
      "   7       0 loop0 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      "   1       0 ram0 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      " 251       0 zram0 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      " 253       0 dm-0 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      "   9     127 md127 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      "   9     127 md127p1 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      "   8       1 sda1 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      "   8       0 sda 71781 28142 40 31023 50129 20212 60 17700 0 26584 49662 9052 38 343992 755 3891 182\n"
      "   8      17 sda12 9 0 9 9 9 0 9 9 0 9 9 0 0 0 0 0 0\n"
      " 259       0 nvme0n1 1 0 2 0 1 0 3 0 0 0 0\n"
      " 259       1 nvme0n1p1 1 0 2 0 1 0 3 0 0 0 0\n"
      " 179       0 mmcblk0 1 0 4 0 1 0 5 0 0 0 0\n"
      " 179       1 mmcblk0p2 1 0 4 0 1 0 5 0 0 0 0\n"
      "   8      16 short 1 0 4\n");
  REQUIRE(disks.size() == 3);
  CHECK(disks.at("sda").in == 40 * 512);
  CHECK(disks.at("sda").out == 60 * 512);
  CHECK(disks.at("nvme0n1").in == 2 * 512);
  CHECK(disks.at("nvme0n1").out == 3 * 512);
  CHECK(disks.at("mmcblk0").in == 4 * 512);
}

TEST_CASE("a partition without its device counts as a device", "[hub][telemetry]") {
  const auto disks = hub::parse_diskstats(
      " 202       1 xvda1 1 0 4 0 1 0 5 0 0 0 0\n"
      " 202       2 xvda2 1 0 4 0 1 0 5 0 0 0 0\n");
  CHECK(disks.size() == 2);
  CHECK(hub::parse_diskstats("").empty());
}

TEST_CASE("rates are the growth of each counter over the time between two readings", "[hub][telemetry]") {
  const auto rate = hub::bytes_per_second({{"a", {.in = 1000, .out = 0}}, {"b", {.in = 0, .out = 500}}},
                                          {{"a", {.in = 3000, .out = 0}}, {"b", {.in = 10, .out = 1500}}}, 2s);
  CHECK(rate.in == 1005);
  CHECK(rate.out == 500);
}

TEST_CASE("rates leave out what came, what went and what began again", "[hub][telemetry]") {
  const auto rate = hub::bytes_per_second(
      {{"gone", {.in = 9, .out = 9}}, {"reset", {.in = 1000, .out = 1000}}, {"still", {.in = 1, .out = 1}}},
      {{"new", {.in = 1u << 30, .out = 1u << 30}}, {"reset", {.in = 5, .out = 5}}, {"still", {.in = 1, .out = 4}}}, 1s);
  CHECK(rate.in == 0);
  CHECK(rate.out == 3);
  const auto none = hub::bytes_per_second({{"a", {.in = 0, .out = 0}}}, {{"a", {.in = 5, .out = 5}}}, 0s);
  CHECK(none.in == 0);
  CHECK(none.out == 0);
}

TEST_CASE("a sample of this machine has every member, and each figure is plausible or null", "[hub][telemetry]") {
  hub::Telemetry telemetry;
  // Work until the kernel has counted some, so that there is something to tell.
  volatile unsigned work = 0;
  for (const auto end = std::chrono::steady_clock::now() + 100ms; std::chrono::steady_clock::now() < end;) {
    work = work + 1;
  }
  const auto before = std::chrono::system_clock::now().time_since_epoch() / 1ms;
  const auto text = telemetry.sample(3);
  const auto after = std::chrono::system_clock::now().time_since_epoch() / 1ms;
  INFO(text);
  const auto figures = nlohmann::json::parse(text);

  REQUIRE(figures.size() == 8);
  CHECK(figures.at("t") >= before);
  CHECK(figures.at("t") <= after);
  CHECK(figures.at("subscribers") == 3);

#ifdef __linux__
  for (const auto* name : {"cpu", "cpu_total", "memory", "load"}) CHECK_FALSE(figures.at(name).is_null());
#endif
  if (const auto& cores = figures.at("cpu"); !cores.is_null()) {
    CHECK_FALSE(cores.empty());
    for (const auto& percent : cores) {
      CHECK(percent >= 0.0);
      CHECK(percent <= 100.0);
    }
    CHECK(figures.at("cpu_total") > 0.0);
    CHECK(figures.at("cpu_total") <= 100.0);
  }
  if (const auto& memory = figures.at("memory"); !memory.is_null()) {
    CHECK(memory.at("used") > 0);
    CHECK(memory.at("used") < memory.at("total"));
    CHECK(memory.at("total") > (1 << 24));
  }
  if (const auto& load = figures.at("load"); !load.is_null()) {
    REQUIRE(load.size() == 3);
    for (const auto& value : load) {
      CHECK(value >= 0.0);
      CHECK(value < 100000.0);
    }
  }
  for (const auto& [name, in, out] :
       {std::tuple{"network", "received", "sent"}, std::tuple{"disk", "read", "written"}}) {
    const auto& rates = figures.at(name);
    if (rates.is_null()) continue;
    REQUIRE(rates.size() == 2);
    CHECK(rates.at(in).is_number_unsigned());
    CHECK(rates.at(out).is_number_unsigned());
    CHECK(rates.at(in) < 1'000'000'000'000);
    CHECK(rates.at(out) < 1'000'000'000'000);
  }
}

TEST_CASE("two samples with no time between them are still whole", "[hub][telemetry]") {
  hub::Telemetry telemetry;
  telemetry.sample(0);
  const auto figures = nlohmann::json::parse(telemetry.sample(1));
  CHECK(figures.size() == 8);
  CHECK(figures.at("subscribers") == 1);
}
