"""How the C half of the plan's contract is read: a row of its table, and the letters of the kinds."""

from __future__ import annotations

import re

ROW = re.compile(r'OP\(([A-Z0-9_]+), "([a-z0-9-]+)", "([A-Za-z]*)", (\d+), ([01])\)')
LETTERS = {
    "name": "n", "path": "p", "uint": "u", "octal": "o", "env": "e", "text": "t", "hex": "h", "letter": "l",
    "letters": "L", "class": "c", "base64": "b", "address": "a", "accepted": "E", "int:1:2147483647": "g",
    "int:0:19": "k", "int:1:999999": "s", "int:1:31622400": "d", "int:1:9223372036854775807": "z", "int:1:127": "D",
    "int:0:1440": "M", "int:-86400:86400": "S", "int:0:1024": "O", "enum:0,126": "A", "enum:allow,require": "j",
    "enum:no,yes": "y", "enum:none,host,loopback,account": "N",
    "enum:ro,rw": "w", "enum:exec,noexec": "x", "enum:user,root": "U", "enum:must,optional,make": "m",
    "enum:as,core,cpu,data,fsize,memlock,nofile,nproc,stack": "r",
}  # fmt: skip
