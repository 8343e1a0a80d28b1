"""The modules that a file of conf/ asks for, as Debian's a2enmod would load them."""

import re

# Of the modules that Debian's httpd has without a2enmod, those that can make a difference.
ALWAYS = ("authn_core", "authz_core", "authz_host", "authz_user", "auth_basic", "authn_file", "alias",
          "dir", "env", "filter", "mime", "reqtimeout", "setenvif", "status")

# What a2enmod enables with a module ("# Depends:").
COMES_WITH = {"proxy_http": ["proxy"], "proxy_balancer": ["proxy", "slotmem_shm"],
              "lbmethod_byrequests": ["proxy_balancer"], "ssl": ["socache_shmcb"]}


def needs(text):
    """What each of its lines "# Needs: proxy_http ssl" names."""
    return [names.split() for names in re.findall(r"^# Needs: +(.+)$", text, re.MULTILINE)]


def with_others(names):
    """These modules, each behind those that come with it."""
    found = []
    for name in names:
        for one in [*with_others(COMES_WITH.get(name, [])), name]:
            if one not in found:
                found.append(one)
    return found
