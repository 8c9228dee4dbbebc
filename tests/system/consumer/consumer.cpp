// SPDX-License-Identifier: MIT
// As consumer.c, in C++.
#include <iostream>
#include <string>

#include "kv_status.h"
#include <concordkv/kv_version.h>

int main()
{
    if (std::string(kv_version()) != KV_VERSION_STRING) {
        return 1;
    }
    std::cout << kv_status_text(KV_OK) << '\n';
    return 0;
}
