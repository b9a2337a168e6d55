#pragma once

#include <string>

namespace skald::ruler {

// Where Grafana shows what an expression finds: /explore?left={"queries":[…]}, the query percent-encoded. To be put behind
// ruler.external_url.
std::string explore_link(const std::string& expr, const std::string& datasource_uid);

}  // namespace skald::ruler
