// good_fields.h - header fields that keep all rules, and the same with one thing changed.
#pragma once

#include <string_view>
#include <vector>

#include "protocol/field.h"

namespace wsbalance::test {

using FieldList = std::vector<protocol::Field>;

struct GoodFields {
  FieldList all;

  FieldList without(std::string_view name) const {
    FieldList fields = all;
    std::erase_if(fields, [name](const protocol::Field& field) { return field.name == name; });
    return fields;
  }

  FieldList with(protocol::Field field) const {
    FieldList fields = all;
    fields.push_back(field);
    return fields;
  }

  FieldList with_changed(std::string_view name, std::string_view value) const {
    FieldList fields = without(name);
    fields.push_back({name, value});
    return fields;
  }
};

}  // namespace wsbalance::test
