#include <downlink/session/list.hpp>

#include <algorithm>
#include <iterator>
#include <list>
#include <memory>
#include <random>
#include <vector>

#include "support/catch.hpp"

using downlink::detail::List;
using downlink::detail::ListNode;

namespace {

struct Item : ListNode {
  explicit Item(int number) : value(number) {}
  int value;
};

/// Empties the list from the front, as whoever walks one does.
std::vector<int> drain(List<Item>& list) {
  std::vector<int> values;
  while (!list.empty()) {
    values.push_back(list.front().value);
    list.front().unlink();
  }
  return values;
}

using Values = std::vector<int>;

}  // namespace

TEST_CASE("a list gives its nodes in the order in which they came", "[session][DESIGN-3.7]") {
  List<Item> list;
  CHECK(list.empty());
  Item one(1), two(2), three(3);
  CHECK_FALSE(one.linked());
  for (Item* item : {&two, &one, &three}) list.push_back(*item);
  CHECK_FALSE(list.empty());
  CHECK(one.linked());
  CHECK(drain(list) == Values{2, 1, 3});
  CHECK_FALSE(one.linked());
}

TEST_CASE("a node may leave a list from anywhere, and leave twice", "[session][DESIGN-3.7]") {
  for (int leaving = 0; leaving < 4; ++leaving) {
    List<Item> list;
    Item items[] = {Item(0), Item(1), Item(2), Item(3)};
    Values expected;
    for (auto& item : items) {
      list.push_back(item);
      if (item.value != leaving) expected.push_back(item.value);
    }
    items[leaving].unlink();
    items[leaving].unlink();
    CHECK_FALSE(items[leaving].linked());
    CHECK(drain(list) == expected);
  }
}

TEST_CASE("a node that is destroyed leaves its list", "[session][DESIGN-3.7]") {
  List<Item> list;
  Item first(1), last(3);
  list.push_back(first);
  {
    Item middle(2);
    list.push_back(middle);
    list.push_back(last);
  }
  CHECK(drain(list) == Values{1, 3});
}

TEST_CASE("nodes outlive their list", "[session][DESIGN-3.7]") {
  Item one(1), two(2);
  {
    List<Item> list;
    list.push_back(one);
    list.push_back(two);
  }
  one.unlink();
  two.unlink();
  List<Item> other;
  other.push_back(two);
  CHECK(drain(other) == Values{2});
}

TEST_CASE("pushing a node moves it out of the list that it was in", "[session][DESIGN-3.7]") {
  List<Item> from, to;
  Item one(1), two(2), three(3);
  for (Item* item : {&one, &two, &three}) from.push_back(*item);
  to.push_back(two);
  to.push_back(one);
  from.push_back(three);
  CHECK(drain(from) == Values{3});
  CHECK(drain(to) == Values{2, 1});

  for (Item* item : {&one, &two}) from.push_back(*item);
  from.push_back(one);
  CHECK(drain(from) == Values{2, 1});
}

TEST_CASE("taking all of another list appends it in order and empties it", "[session][DESIGN-3.7]") {
  List<Item> list, other;
  Item one(1), two(2), three(3), four(4);
  list.take_all(other);
  CHECK(list.empty());

  other.push_back(one);
  other.push_back(two);
  list.take_all(other);
  CHECK(other.empty());
  other.push_back(three);
  other.push_back(four);
  list.take_all(other);
  CHECK(other.empty());
  three.unlink();
  other.push_back(three);
  CHECK(drain(list) == Values{1, 2, 4});
  CHECK(drain(other) == Values{3});

  list.push_back(one);
  list.take_all(other);
  CHECK(drain(list) == Values{1});
}

TEST_CASE("lists that nodes move between at random hold what a plain list would", "[session][DESIGN-3.7]") {
  std::mt19937 random(3);
  List<Item> lists[3];
  std::list<int> model[3];
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 40; ++i) items.push_back(std::make_unique<Item>(i));

  for (int step = 0; step < 50'000; ++step) {
    const auto to = random() % 3;
    const auto item = random() % items.size();
    switch (random() % 8) {
      case 0: {
        const auto from = (to + 1) % 3;
        lists[to].take_all(lists[from]);
        model[to].splice(model[to].end(), model[from]);
        break;
      }
      case 1:
      case 2:
        items[item]->unlink();
        for (auto& values : model) values.remove(static_cast<int>(item));
        break;
      case 3:
        items[item] = std::make_unique<Item>(static_cast<int>(item));
        for (auto& values : model) values.remove(static_cast<int>(item));
        break;
      default:
        lists[to].push_back(*items[item]);
        for (auto& values : model) values.remove(static_cast<int>(item));
        model[to].push_back(static_cast<int>(item));
    }
    if (lists[to].empty() != model[to].empty()) FAIL("step " << step);
    if (!lists[to].empty() && lists[to].front().value != model[to].front()) FAIL("step " << step);
  }
  for (int i = 0; i < 3; ++i) {
    for (const auto& item : items) {
      if (std::count(model[i].begin(), model[i].end(), item->value)) CHECK(item->linked());
    }
  }
  for (int i = 0; i < 3; ++i) CHECK(drain(lists[i]) == Values(model[i].begin(), model[i].end()));
}
